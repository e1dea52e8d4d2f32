#include "examples/data/decode.h"

#ifdef DEMI_TIFF
#include <tiffio.h>

#include <cstdio>
#include <cstring>
#include <memory>

#include "runtime/check.h"

namespace demi::data {
namespace {

thread_local std::string trouble;  // what libtiff last complained of

void on_error(const char*, const char* format, va_list arguments) {
    char text[256];
    std::vsnprintf(text, sizeof text, format, arguments);
    trouble = text;
}

// A file in memory, for libtiff's callbacks.
struct Memory {
    std::span<const uint8_t> bytes;
    uint64_t at = 0;
};

Memory* memory(thandle_t handle) { return static_cast<Memory*>(handle); }

tmsize_t read_some(thandle_t handle, void* out, tmsize_t count) {
    Memory* m = memory(handle);
    if (count <= 0 || m->at >= m->bytes.size()) return 0;
    const auto n = std::min<uint64_t>(static_cast<uint64_t>(count), m->bytes.size() - m->at);
    std::memcpy(out, m->bytes.data() + m->at, n);
    m->at += n;
    return static_cast<tmsize_t>(n);
}

tmsize_t write_nothing(thandle_t, void*, tmsize_t) { return 0; }

toff_t seek(thandle_t handle, toff_t offset, int whence) {
    Memory* m = memory(handle);
    m->at = whence == SEEK_SET ? offset : whence == SEEK_CUR ? m->at + offset : m->bytes.size() + offset;
    return m->at;
}

int close_nothing(thandle_t) { return 0; }
toff_t size_of(thandle_t handle) { return memory(handle)->bytes.size(); }

}  // namespace

Image decode_tiff(std::span<const uint8_t> file, const std::string& path) {
    static const bool quiet = [] {
        TIFFSetErrorHandler(on_error);
        TIFFSetWarningHandler(nullptr);
        return true;
    }();
    (void)quiet;
    trouble.clear();
    Memory source{file};
    const std::unique_ptr<TIFF, void (*)(TIFF*)> tiff(TIFFClientOpen("picture", "rm", &source, read_some,
                                                                     write_nothing, seek, close_nothing,
                                                                     size_of, nullptr, nullptr),
                                                      TIFFClose);
    const auto must = [&](bool ok) {
        check(ok, "data", path, ": broken TIFF, or of a kind that is not read", trouble.empty() ? "" : ": ",
              trouble);
    };
    must(tiff != nullptr);
    uint32_t width = 0, height = 0;
    uint16_t orientation = ORIENTATION_TOPLEFT;
    must(TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &width) != 0 &&
         TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &height) != 0);
    check_image_size(width, height, path);
    TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_ORIENTATION, &orientation);
    std::vector<uint32_t> rows(static_cast<size_t>(width) * height);
    // Asked for in the file's own orientation, libtiff leaves the pixels where they are.
    must(TIFFReadRGBAImageOriented(tiff.get(), width, height, rows.data(), orientation, 1) != 0);
    Image image(height, width, 3);
    for (size_t i = 0; i < rows.size(); ++i)
        for (size_t c = 0; c < 3; ++c) {  // the colours are multiplied by alpha already
            const uint32_t color = rows[i] >> (8 * c) & 255, alpha = rows[i] >> 24;
            image.pixels[3 * i + c] = static_cast<uint8_t>(std::min(color + 255 - alpha, uint32_t{255}));
        }
    return image;
}

}  // namespace demi::data
#endif
