#include "tests/examples/image_files.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

using demi::data::Image;

namespace {

Bytes write_png(int64_t height, int64_t width, png_uint_32 format, const void* pixels, const void* colors,
                int count) {
    png_image image;
    std::memset(&image, 0, sizeof image);
    image.version = PNG_IMAGE_VERSION;
    image.width = static_cast<png_uint_32>(width);
    image.height = static_cast<png_uint_32>(height);
    image.format = format;
    image.colormap_entries = static_cast<png_uint_32>(count);
    png_alloc_size_t size = 0;
    if (!png_image_write_get_memory_size(image, size, 0, pixels, 0, colors))
        throw std::runtime_error(image.message);
    Bytes out(size);
    if (!png_image_write_to_memory(&image, out.data(), &size, 0, pixels, 0, colors))
        throw std::runtime_error(image.message);
    out.resize(size);
    return out;
}

void put32(Bytes& out, int64_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<uint8_t>(value >> shift));
}

}  // namespace

Bytes png_of(const Image& image) {
    const png_uint_32 formats[] = {PNG_FORMAT_GRAY, PNG_FORMAT_GA, PNG_FORMAT_RGB, PNG_FORMAT_RGBA};
    return write_png(image.height, image.width, formats[image.channels - 1], image.pixels.data(), nullptr, 0);
}

Bytes png16_of(const Image& gray) {
    // Through the low-level interface: the simple one takes 16 bits for linear light.
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
    png_infop info = png_create_info_struct(png);
    Bytes out;
    png_set_write_fn(
        png, &out,
        [](png_structp p, png_bytep data, size_t n) {
            auto* to = static_cast<Bytes*>(png_get_io_ptr(p));
            to->insert(to->end(), data, data + n);
        },
        [](png_structp) {});
    png_set_IHDR(png, info, static_cast<png_uint_32>(gray.width), static_cast<png_uint_32>(gray.height), 16,
                 PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int64_t y = 0; y < gray.height; ++y) {
        Bytes row;
        for (int64_t x = 0; x < gray.width; ++x) row.insert(row.end(), 2, gray.at(y, x, 0));
        png_write_row(png, row.data());
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return out;
}

Bytes png_palette_of(int64_t height, int64_t width, const Bytes& indices, const Bytes& colors) {
    return write_png(height, width, PNG_FORMAT_RGB_COLORMAP, indices.data(), colors.data(),
                     static_cast<int>(colors.size() / 3));
}

Bytes jpeg_of(const Image& image, int quality, bool progressive) {
    jpeg_compress_struct info;
    jpeg_error_mgr errors;
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    unsigned char* memory = nullptr;
    unsigned long size = 0;
    jpeg_mem_dest(&info, &memory, &size);
    info.image_width = static_cast<JDIMENSION>(image.width);
    info.image_height = static_cast<JDIMENSION>(image.height);
    info.input_components = static_cast<int>(image.channels);
    info.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : image.channels == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, quality, TRUE);
    if (image.channels == 4) info.write_Adobe_marker = TRUE;
    if (progressive) jpeg_simple_progression(&info);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
        auto* row =
            const_cast<uint8_t*>(image.pixels.data()) +
            static_cast<size_t>(info.next_scanline) * static_cast<size_t>(image.width * image.channels);
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    Bytes out(memory, memory + size);
    jpeg_destroy_compress(&info);
    std::free(memory);
    return out;
}

Bytes with_chunk(const Bytes& png, const std::string& type, const Bytes& data) {
    Bytes body(type.begin(), type.end()), chunk;
    body.insert(body.end(), data.begin(), data.end());
    put32(chunk, static_cast<int64_t>(data.size()));
    chunk.insert(chunk.end(), body.begin(), body.end());
    put32(chunk, static_cast<int64_t>(crc32(0, body.data(), static_cast<uInt>(body.size()))));
    Bytes out = png;
    out.insert(out.begin() + 33, chunk.begin(), chunk.end());  // 8 of the signature, 25 of IHDR
    return out;
}

Bytes exif_block(int orientation, bool big) {
    const auto o = static_cast<uint8_t>(orientation);
    if (big) return {'M', 'M', 0, '*', 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, o, 0, 0, 0, 0, 0, 0};
    return {'I', 'I', '*', 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, o, 0, 0, 0, 0, 0, 0, 0};
}

Bytes with_orientation(const Bytes& jpeg, int orientation) {
    Bytes block = {'E', 'x', 'i', 'f', 0, 0};
    const Bytes tiff = exif_block(orientation);
    block.insert(block.end(), tiff.begin(), tiff.end());
    Bytes segment = {0xff, 0xe1, 0, static_cast<uint8_t>(block.size() + 2)};
    segment.insert(segment.end(), block.begin(), block.end());
    Bytes out = jpeg;
    out.insert(out.begin() + 2, segment.begin(), segment.end());
    return out;
}

namespace {

void low_end_first(Bytes& out, int64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

}  // namespace

Bytes bmp_of(const Image& image) {
    const int64_t row = (image.width * 3 + 3) / 4 * 4, size = 54 + row * image.height;
    Bytes out = {'B', 'M'};
    for (const int64_t v : {size, int64_t{0}, int64_t{54}, int64_t{40}, image.width, image.height})
        low_end_first(out, v, 4);
    low_end_first(out, 1, 2);
    low_end_first(out, 24, 2);
    for (int i = 0; i < 6; ++i) low_end_first(out, 0, 4);
    for (int64_t y = image.height - 1; y >= 0; --y) {
        for (int64_t x = 0; x < image.width; ++x)
            for (int64_t c = 2; c >= 0; --c) out.push_back(image.at(y, x, c));
        out.resize(out.size() + static_cast<size_t>(row - 3 * image.width));
    }
    return out;
}

Bytes gif_of(int64_t side, int color) {
    Bytes out = {'G', 'I', 'F', '8', '9', 'a'};
    low_end_first(out, side, 2);
    low_end_first(out, side, 2);
    for (const int v : {0x91, 0, 0, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 0x2c, 0, 0, 0, 0})
        out.push_back(static_cast<uint8_t>(v));
    low_end_first(out, side, 2);
    low_end_first(out, side, 2);
    out.push_back(0);
    out.push_back(2);
    // Codes of three bits, the table cleared before every pixel, so that it never grows.
    Bytes packed;
    int bits = 0, have = 0;
    const auto put = [&](int code) {
        bits |= code << have;
        for (have += 3; have >= 8; have -= 8, bits >>= 8) packed.push_back(static_cast<uint8_t>(bits & 255));
    };
    for (int64_t i = 0; i < side * side; ++i) put(4), put(color);
    put(5);
    if (have > 0) packed.push_back(static_cast<uint8_t>(bits & 255));
    for (size_t at = 0; at < packed.size(); at += 255) {
        const size_t n = std::min<size_t>(255, packed.size() - at);
        out.push_back(static_cast<uint8_t>(n));
        out.insert(out.end(), packed.begin() + static_cast<std::ptrdiff_t>(at),
                   packed.begin() + static_cast<std::ptrdiff_t>(at + n));
    }
    out.push_back(0);
    out.push_back(0x3b);
    return out;
}

Bytes tiff_of(const Image& image, int orientation) {
    Bytes out = {'I', 'I', '*', 0, 8, 0, 0, 0};
    const int64_t tags = 10, pixels = 8 + 2 + 12 * tags + 4 + 6;
    low_end_first(out, tags, 2);
    const auto tag = [&](int id, int type, int64_t count, int64_t value) {
        low_end_first(out, id, 2);
        low_end_first(out, type, 2);
        low_end_first(out, count, 4);
        low_end_first(out, value, 4);
    };
    tag(256, 4, 1, image.width);
    tag(257, 4, 1, image.height);
    tag(258, 3, 3, pixels - 6);
    tag(259, 3, 1, 1);
    tag(262, 3, 1, 2);
    tag(273, 4, 1, pixels);
    tag(274, 3, 1, orientation);
    tag(277, 3, 1, 3);
    tag(278, 4, 1, image.height);
    tag(279, 4, 1, static_cast<int64_t>(image.pixels.size()));
    low_end_first(out, 0, 4);
    for (int i = 0; i < 3; ++i) low_end_first(out, 8, 2);
    out.insert(out.end(), image.pixels.begin(), image.pixels.end());
    return out;
}

Bytes gzip_of(const Bytes& bytes) {
    z_stream z{};
    deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    Bytes out(bytes.size() + 1024);
    z.next_in = const_cast<uint8_t*>(bytes.data());
    z.avail_in = static_cast<uInt>(bytes.size());
    z.next_out = out.data();
    z.avail_out = static_cast<uInt>(out.size());
    deflate(&z, Z_FINISH);
    out.resize(z.total_out);
    deflateEnd(&z);
    return out;
}

Image pattern(int64_t rows, int64_t columns, int64_t channels, int seed) {
    Image image(rows, columns, channels);
    for (int64_t y = 0; y < rows; ++y)
        for (int64_t x = 0; x < columns; ++x)
            for (int64_t c = 0; c < channels; ++c)
                image.at(y, x, c) = static_cast<uint8_t>((y * 5 + x * 3 + c * 60 + seed * 17) % 256);
    return image;
}

Bytes idx_images(int64_t count, int64_t rows, int64_t columns, int seed) {
    Bytes out = {0, 0, 8, 3};
    put32(out, count);
    put32(out, rows);
    put32(out, columns);
    for (int64_t i = 0; i < count * rows * columns; ++i)
        out.push_back(static_cast<uint8_t>((i * 7 + seed) % 256));
    return out;
}

Bytes idx_labels(const Bytes& labels) {
    Bytes out = {0, 0, 8, 1};
    put32(out, static_cast<int64_t>(labels.size()));
    out.insert(out.end(), labels.begin(), labels.end());
    return out;
}

Bytes cifar_records(const Bytes& labels) {
    Bytes out;
    for (size_t i = 0; i < labels.size(); ++i) {
        out.push_back(labels[i]);
        for (size_t p = 0; p < 3072; ++p) out.push_back(static_cast<uint8_t>((p / 1024) * 50 + i));
    }
    return out;
}

void write_file(const std::string& path, const Bytes& bytes) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}
