#pragma once
// The safetensors format: u64 header length, JSON header, raw little-endian row-major data.
// Reading trusts nothing: header length, JSON, duplicate keys, dtypes, shapes, holes, overlaps and the file's
// size are checked, and the Error names file and tensor. Writing is atomic (see atomic_file.h).
// Format: https://github.com/huggingface/safetensors
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/tensor.h"

namespace demi {

using Metadata = std::map<std::string, std::string>;
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

class InputFile;

class SafetensorsFile {
  public:
    explicit SafetensorsFile(const std::string& path);  // reads and checks the header; data is read on load()

    struct Info {
        std::string dtype;  // as in the file: "F32", "BF16", ...
        Shape shape;        // of a rank above Shape::kMaxRank, which load() refuses: (number of elements)
        int64_t rank = 0;
        int64_t begin = 0, end = 0;  // bytes from the start of the data
    };

    const std::string& path() const { return path_; }
    const Metadata& metadata() const { return metadata_; }
    const std::vector<std::string>& names() const { return names_; }  // sorted
    bool contains(const std::string& name) const { return infos_.count(name) > 0; }
    const Info& info(const std::string& name) const;
    // The tensor on the CPU. Throws for a name that is not there, or a dtype that demi does not have, or
    // where the data does not match the writer's checksum.
    Tensor load(const std::string& name) const;

  private:
    void parse_header(const std::string& text, int64_t data_bytes);
    void check_checksums(std::string text);

    std::string path_;
    std::shared_ptr<const InputFile> file_;
    int64_t data_start_ = 0;
    Metadata metadata_, checksums_;
    std::vector<std::string> names_;
    std::map<std::string, Info> infos_;
};

// Tensors of any device and strides; the order in the file is the format's own (dtype size, then name).
// With checksums, a CRC-32C of each tensor's bytes is left in the metadata as "crc32c.NAME", and one of the
// whole header (its own digits counted as zeros) as "crc32c": any damaged bit is found. Keys that begin so
// are reserved, and reading keeps them out of metadata().
void write_safetensors(const std::string& path, const NamedTensors& tensors, const Metadata& metadata = {},
                       bool checksums = false);

// The same for tensors that are made one at a time: `make(i)` gives the tensor of specs[i], in the order of the
// file, and is called once for each. An empty path writes nothing and only calls make, as ranks of a job do that
// have a part of each tensor and no file.
struct TensorSpec {
    std::string name;
    DType dtype = DType::f32;
    Shape shape;
};
void stream_safetensors(const std::string& path, const std::vector<TensorSpec>& specs,
                        const std::function<Tensor(size_t)>& make, const Metadata& metadata = {},
                        bool checksums = false);
// The same for tensors that are too large to be made whole: `make(i, row)` gives rows of specs[i] from `row` on, as
// many as it likes, until all are there. Tensors of rank 0 are given whole.
void stream_safetensors_rows(const std::string& path, const std::vector<TensorSpec>& specs,
                             const std::function<Tensor(size_t i, int64_t row)>& make,
                             const Metadata& metadata = {}, bool checksums = false);

// CRC-32C (Castagnoli); `start` is the result for the bytes before.
uint32_t crc32c(const void* data, size_t bytes, uint32_t start = 0);

}  // namespace demi
