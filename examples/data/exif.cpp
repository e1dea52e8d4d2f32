#include "examples/data/exif.h"

#include <cstring>
#include <string_view>

#include "examples/data/decode.h"

namespace demi::data {
namespace {

using Bytes = std::span<const uint8_t>;

// Numbers of a file; 0 beyond its end.
struct Reader {
    Bytes bytes;
    bool big = true;
    uint64_t byte(size_t at) const { return at < bytes.size() ? bytes[at] : 0; }
    uint64_t two(size_t at) const {
        return big ? byte(at) << 8 | byte(at + 1) : byte(at + 1) << 8 | byte(at);
    }
    uint64_t four(size_t at) const { return big ? two(at) << 16 | two(at + 2) : two(at + 2) << 16 | two(at); }
    bool is(size_t at, std::string_view text) const {
        return at + text.size() <= bytes.size() &&
               std::memcmp(bytes.data() + at, text.data(), text.size()) == 0;
    }
    Bytes from(size_t at, size_t count) const {
        if (at >= bytes.size()) return {};
        return bytes.subspan(at, std::min(count, bytes.size() - at));
    }
};

// The first directory of a TIFF file, which is what an EXIF block is.
int of_tiff(Bytes bytes) {
    Reader r{bytes};
    if (r.is(0, {"Exif\0\0", 6})) r.bytes = bytes.subspan(6);
    r.big = r.is(0, "MM");
    if (!r.is(0, r.big ? std::string_view{"MM\0*", 4} : std::string_view{"II*\0", 4})) return 1;
    const uint64_t directory = r.four(4);
    for (uint64_t i = 0; i < r.two(directory); ++i) {
        const uint64_t entry = directory + 2 + 12 * i;
        if (r.two(entry) != 0x0112) continue;
        const uint64_t value = r.two(entry + 2) == 3 ? r.two(entry + 8) : 1;  // a SHORT
        return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
    return 1;
}

int of_jpeg(const Reader& r) {
    for (size_t at = 2; r.byte(at) == 0xff;) {
        const uint64_t marker = r.byte(at + 1);
        if (marker == 0xff) {  // padding
            ++at;
            continue;
        }
        if (marker == 0xda || marker == 0xd9) break;  // the picture itself
        const uint64_t length = r.two(at + 2);
        if (marker == 0xe1 && r.is(at + 4, {"Exif\0\0", 6})) return of_tiff(r.from(at + 4, length - 2));
        at += 2 + length;
        if (length < 2) break;
    }
    return 1;
}

int of_png(const Reader& r) {
    for (uint64_t at = 8; at + 12 <= r.bytes.size(); at += 12 + r.four(at))
        if (r.is(at + 4, "eXIf")) return of_tiff(r.from(at + 8, r.four(at)));
    return 1;
}

int of_webp(Reader r) {
    r.big = false;
    for (uint64_t at = 12; at + 8 <= r.bytes.size(); at += 8 + r.four(at + 4) + r.four(at + 4) % 2)
        if (r.is(at, "EXIF")) return of_tiff(r.from(at + 8, r.four(at + 4)));
    return 1;
}

}  // namespace

int exif_orientation(Bytes file) {
    switch (file_type(file)) {
    case FileType::jpeg: return of_jpeg({file});
    case FileType::png: return of_png({file});
    case FileType::webp: return of_webp({file});
    case FileType::tiff: return of_tiff(file);
    default: return 1;
    }
}

Image turned(Image image, int orientation) {
    if (orientation <= 1 || orientation > 8) return image;
    const bool sideways = orientation >= 5;
    const int64_t h = image.height, w = image.width;
    const bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    const bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    Image out(sideways ? w : h, sideways ? h : w, image.channels);
    for (int64_t y = 0; y < out.height; ++y)
        for (int64_t x = 0; x < out.width; ++x) {
            int64_t from_y = sideways ? x : y, from_x = sideways ? y : x;
            if (flip_y) from_y = h - 1 - from_y;
            if (flip_x) from_x = w - 1 - from_x;
            for (int64_t c = 0; c < image.channels; ++c) out.at(y, x, c) = image.at(from_y, from_x, c);
        }
    return out;
}

}  // namespace demi::data
