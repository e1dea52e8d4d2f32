#pragma once
// What was computed so far, kept beside the result until that is whole: a line that says what is computed, then a record for
// each picture, its number and its values. Whatever ends the process, whole records stay.
#include <span>
#include <string>
#include <vector>

#include "examples/common/record.h"
#include "runtime/non_copyable.h"
#include "runtime/tensor.h"

namespace demi::examples {

class PartialFile : NonCopyable {
  public:
    // Opens `path`, or makes it; `values` per picture. What is there is gone on from where its settings are the same,
    // refused where they are not, and thrown away without `resume`. Locked against a second process.
    PartialFile(const std::string& path, const Record& settings, int64_t values, bool resume);
    ~PartialFile();  // removes the file where it holds no record

    const std::string& path() const { return path_; }
    const std::vector<int64_t>& pictures() const { return pictures_; }  // one for each record, rising
    // Pictures after those that are there; rows is f32 [pictures, values] on the CPU.
    void append(std::span<const int64_t> pictures, const Tensor& rows);
    // Values [begin, begin + width) of the records [first, first + count): f32 [count, width].
    Tensor read(int64_t first, int64_t count, int64_t begin, int64_t width) const;
    void remove();  // the result is whole

  private:
    int64_t record_bytes() const { return 8 + 4 * values_; }
    void read_at(int64_t offset, void* data, int64_t bytes) const;
    void read_header(const Record& settings);

    std::string path_;
    int64_t values_ = 0, start_ = 0;
    int fd_ = -1;
    std::vector<int64_t> pictures_;
};

}  // namespace demi::examples
