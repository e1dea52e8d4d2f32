#include "examples/data/read_file.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <system_error>

#include "runtime/check.h"
#include "runtime/non_copyable.h"

namespace demi::data {
namespace fs = std::filesystem;

std::vector<uint8_t> read_file(const fs::path& path, int64_t max_bytes) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    check(fs::exists(status), "data", path.string(), ": no such file");
    check(fs::is_regular_file(status), "data", path.string(), ": not a regular file");
    const auto size = static_cast<int64_t>(fs::file_size(path, error));
    check(!error, "data", path.string(), ": ", error.message());
    check(size <= max_bytes, "data", path.string(), ": at most ", max_bytes, " bytes are read, the file has ",
          size);
    std::ifstream in(path, std::ios::binary);
    check(in.is_open(), "data", path.string(), ": cannot open: ", std::strerror(errno));
    std::vector<uint8_t> bytes(static_cast<size_t>(size));
    in.read(reinterpret_cast<char*>(bytes.data()), size);
    check(in.gcount() == size, "data", path.string(), ": ", size, " bytes expected, read ", in.gcount());
    return bytes;
}

namespace {

struct Inflater : NonCopyable {
    z_stream stream{};
    explicit Inflater(const fs::path& path) {
        check(inflateInit2(&stream, 16 + MAX_WBITS) == Z_OK, "data", path.string(), ": zlib cannot start");
    }
    ~Inflater() { inflateEnd(&stream); }
};

}  // namespace

std::vector<uint8_t> read_file_or_gz(const fs::path& path, int64_t enough) {
    std::vector<uint8_t> packed = read_file(path);
    if (packed.size() < 2 || packed[0] != 0x1f || packed[1] != 0x8b) return packed;
    check(packed.size() <= std::numeric_limits<uInt>::max(), "data", path.string(), ": gzip file too large");
    Inflater inflater(path);
    z_stream& z = inflater.stream;
    z.next_in = packed.data();
    z.avail_in = static_cast<uInt>(packed.size());
    std::vector<uint8_t> bytes;
    int result = Z_OK;
    while (result != Z_STREAM_END && static_cast<int64_t>(bytes.size()) < enough) {
        const size_t done = bytes.size();
        bytes.resize(std::min(std::max<size_t>(done * 2, size_t{1} << 16), static_cast<size_t>(enough)));
        z.next_out = bytes.data() + done;
        z.avail_out = static_cast<uInt>(std::min<size_t>(bytes.size() - done, size_t{1} << 30));
        const uInt room = z.avail_out;
        result = inflate(&z, Z_NO_FLUSH);
        bytes.resize(done + (room - z.avail_out));
        if (result == Z_STREAM_END && z.avail_in > 0) {  // gzip files may be put after each other
            check(inflateReset(&z) == Z_OK, "data", path.string(), ": zlib cannot go on");
            result = Z_OK;
            continue;
        }
        const bool starved = result == Z_BUF_ERROR || (result == Z_OK && z.avail_in == 0 && z.avail_out > 0);
        check(!starved, "data", path.string(), ": the gzip file is truncated");
        check(result == Z_OK || result == Z_STREAM_END, "data", path.string(), ": broken gzip file",
              z.msg ? ": " : "", z.msg ? z.msg : "");
    }
    return bytes;
}

}  // namespace demi::data
