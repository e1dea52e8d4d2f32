#pragma once
// Small picture and data files for the tests, made with the libraries that the readers use.
#include <cstdint>
#include <string>
#include <vector>

#include "examples/data/image.h"

using Bytes = std::vector<uint8_t>;

// 8 bits a channel: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA.
Bytes png_of(const demi::data::Image& image);
// 16 bits, grey; every value is the byte twice (0xab becomes 0xabab).
Bytes png16_of(const demi::data::Image& gray);
// A palette of the given RGB colours, one index per pixel.
Bytes png_palette_of(int64_t height, int64_t width, const Bytes& indices, const Bytes& colors);
// 1 grey, 3 RGB, 4 CMYK with Adobe's inverted inks.
Bytes jpeg_of(const demi::data::Image& image, int quality = 95, bool progressive = false);
// A chunk put into a PNG behind its header, and EXIF's orientation put into a JPEG.
Bytes with_chunk(const Bytes& png, const std::string& type, const Bytes& data);
Bytes with_orientation(const Bytes& jpeg, int orientation);
// A TIFF block with one tag: EXIF's orientation.
Bytes exif_block(int orientation, bool big = true);
Bytes bmp_of(const demi::data::Image& image);  // 24 bits
Bytes gif_of(int64_t side, int color);         // one colour of a palette of four: black, red, green, blue
Bytes tiff_of(const demi::data::Image& image, int orientation = 1);  // RGB, uncompressed
Bytes gzip_of(const Bytes& bytes);

// [rows x columns] with a pattern that depends on the seed.
demi::data::Image pattern(int64_t rows, int64_t columns, int64_t channels, int seed = 0);

Bytes idx_images(int64_t count, int64_t rows, int64_t columns, int seed = 0);
Bytes idx_labels(const Bytes& labels);
Bytes cifar_records(const Bytes& labels);

void write_file(const std::string& path, const Bytes& bytes);
