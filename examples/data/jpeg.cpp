#include <algorithm>
#include <csetjmp>
#include <cstdio>  // jpeglib.h needs size_t and FILE
#include <cstring>
#include <memory>

#include <jpeglib.h>

#include <jerror.h>

#include "examples/data/decode.h"
#include "runtime/check.h"

namespace demi::data {
namespace {

constexpr int kMaxScans = 200;  // a small progressive file can ask for endless work

// Everything that libjpeg's callbacks need. Errors jump back to the function that called libjpeg; between
// that call and the jump lie only C frames, and the functions below keep no objects with destructors.
struct JpegReader {
    jpeg_decompress_struct info;
    jpeg_error_mgr errors;
    jpeg_progress_mgr progress;
    std::jmp_buf back;
    char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr common) {
    auto* reader = static_cast<JpegReader*>(common->client_data);
    common->err->format_message(common, reader->message);
    std::longjmp(reader->back, 1);
}

// Warnings about lost picture data are errors here; the harmless ones (stray bytes between markers) pass.
void on_message(j_common_ptr common, int level) {
    if (level >= 0) return;
    switch (common->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_NOT_SEQUENTIAL:
    case JWRN_BOGUS_PROGRESSION: on_error(common);
    default: break;
    }
}

void on_output(j_common_ptr) {}

void on_progress(j_common_ptr common) {
    if (reinterpret_cast<j_decompress_ptr>(common)->input_scan_number > kMaxScans) {
        auto* reader = static_cast<JpegReader*>(common->client_data);
        std::snprintf(reader->message, sizeof reader->message, "more than %d scans", kMaxScans);
        std::longjmp(reader->back, 1);
    }
}

void start(JpegReader* reader) {
    std::memset(reader, 0, sizeof *reader);
    reader->info.err = jpeg_std_error(&reader->errors);
    reader->errors.error_exit = on_error;
    reader->errors.emit_message = on_message;
    reader->errors.output_message = on_output;
    reader->info.client_data = reader;
}

bool read_header(JpegReader* reader, const uint8_t* data, unsigned long size) {
    if (setjmp(reader->back) != 0) return false;
    jpeg_create_decompress(&reader->info);
    reader->info.client_data = reader;
    reader->progress.progress_monitor = on_progress;
    reader->info.progress = &reader->progress;
    jpeg_mem_src(&reader->info, data, size);
    jpeg_read_header(&reader->info, TRUE);
    return true;
}

bool start_rows(JpegReader* reader, unsigned shrink) {
    if (setjmp(reader->back) != 0) return false;
    jpeg_decompress_struct& info = reader->info;
    info.scale_num = 1;
    info.scale_denom = shrink;
    info.dct_method = JDCT_ISLOW;
    const bool inked = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
    info.out_color_space = inked ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&info);
    return true;
}

bool read_rows(JpegReader* reader, uint8_t* out, size_t row_bytes) {
    if (setjmp(reader->back) != 0) return false;
    while (reader->info.output_scanline < reader->info.output_height) {
        JSAMPROW row = out + reader->info.output_scanline * row_bytes;
        jpeg_read_scanlines(&reader->info, &row, 1);
    }
    jpeg_finish_decompress(&reader->info);
    return true;
}

struct Destroy {
    void operator()(JpegReader* reader) const {
        jpeg_destroy_decompress(&reader->info);
        delete reader;
    }
};

// Adobe stores inks inverted (255 = no ink).
Image inks_to_rgb(const Image& cmyk, bool inverted) {
    Image rgb(cmyk.height, cmyk.width, 3);
    const size_t pixels = rgb.pixels.size() / 3;
    for (size_t p = 0; p < pixels; ++p) {
        const uint8_t* ink = cmyk.pixels.data() + 4 * p;
        const int black = inverted ? ink[3] : 255 - ink[3];
        for (size_t c = 0; c < 3; ++c) {
            const int light = inverted ? ink[c] : 255 - ink[c];
            rgb.pixels[3 * p + c] = static_cast<uint8_t>((light * black + 127) / 255);
        }
    }
    return rgb;
}

}  // namespace

Image decode_jpeg(std::span<const uint8_t> file, const std::string& name, int64_t target) {
    std::unique_ptr<JpegReader, Destroy> reader(new JpegReader);
    start(reader.get());
    const auto must = [&](bool ok) { check(ok, "data", name, ": broken JPEG: ", reader->message); };
    must(read_header(reader.get(), file.data(), file.size()));
    const jpeg_decompress_struct& info = reader->info;
    check_image_size(info.image_width, info.image_height, name);
    unsigned shrink = 1;
    const int64_t shorter = std::min<int64_t>(info.image_width, info.image_height);
    while (target > 0 && shrink < 8 && shorter / (2 * shrink) >= 2 * target) shrink *= 2;
    must(start_rows(reader.get(), shrink));
    check_image_size(info.output_width, info.output_height, name);
    const int64_t channels = info.output_components;
    check(channels == 3 || channels == 4, "data", name, ": broken JPEG: ", channels, " channels");
    Image image(info.output_height, info.output_width, channels);
    must(read_rows(reader.get(), image.pixels.data(),
                   static_cast<size_t>(info.output_width) * static_cast<size_t>(channels)));
    return channels == 3 ? std::move(image) : inks_to_rgb(image, info.saw_Adobe_marker);
}

}  // namespace demi::data
