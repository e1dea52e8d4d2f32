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
