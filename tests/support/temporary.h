#pragma once
// A folder that is gone after the test and whole files as strings.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "runtime/non_copyable.h"

namespace demi::test {

class TemporaryFolder : NonCopyable {
  public:
    TemporaryFolder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "demi-test-XXXXXX").string();
        path_ = ::mkdtemp(pattern.data());
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }
    const std::string& path() const { return path_; }
    int files() const {
        const auto begin = std::filesystem::directory_iterator(path_);
        return static_cast<int>(std::distance(begin, std::filesystem::directory_iterator()));
    }

  private:
    std::string path_;
};

inline void put_file(const std::string& path, const std::string& bytes) {
    std::filesystem::remove(path);  // writing over a file makes some file systems sync it
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::string get_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace demi::test
