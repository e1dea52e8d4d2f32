#include "examples/data/idx.h"

#include <doctest/doctest.h>

#include "tests/examples/image_files.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary.h"

using namespace demi::data;
using namespace demi::test;

namespace {

struct Pair {
    TemporaryFolder folder;
    IdxFiles files{folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte"};

    Pair(const Bytes& images, const Bytes& labels) {
        write_file(files.images.string(), images);
        write_file(files.labels.string(), labels);
    }
    std::string error() const {
        return error_of([this] { read_idx_dataset(files); });
    }
};

const Bytes kLabels = {0, 1, 2, 9, 4};

}  // namespace

TEST_CASE("IDX is read, plain and gzipped alike") {
    const Pair plain(idx_images(5, 4, 6), idx_labels(kLabels));
    const Pair packed(gzip_of(idx_images(5, 4, 6)), gzip_of(idx_labels(kLabels)));
    const DataSetPtr a = read_idx_dataset(plain.files);
    const DataSetPtr b = read_idx_dataset(packed.files);
    CHECK(a->size() == 5);
    CHECK(a->height() == 4);
    CHECK(a->width() == 6);
    CHECK(a->channels() == 1);
    CHECK(a->classes().size() == 10);
    CHECK(a->label(3) == 9);
    CHECK(a->sample(1).image.pixels[0] == (24 * 7) % 256);
    CHECK(a->fingerprint() == b->fingerprint());
    CHECK(has(error_of([&] { a->sample(5); }), "out of range [0, 5)"));
}

TEST_CASE("IDX with broken headers and sizes is refused") {
    Bytes images = idx_images(5, 4, 6);
    SUBCASE("truncated") {
        images.pop_back();
        CHECK(has(Pair(images, idx_labels(kLabels)).error(),
                  "train-images-idx3-ubyte: 5x4x6 needs 136 bytes, the file has 135: truncated"));
    }
    SUBCASE("the file is longer") {
        images.push_back(0);
        CHECK(has(Pair(images, idx_labels(kLabels)).error(), "the file is longer"));
    }
    SUBCASE("magic") {
        images[0] = 1;
        CHECK(has(Pair(images, idx_labels(kLabels)).error(), "not an IDX file"));
    }
    SUBCASE("sizes that overflow") {
        for (size_t i = 4; i < 16; ++i) images[i] = 0xff;
        CHECK(has(Pair(images, idx_labels(kLabels)).error(), "does not fit 64 bits"));
    }
    SUBCASE("swapped files") { CHECK(has(Pair(idx_labels(kLabels), images).error(), "images must be")); }
    SUBCASE("counts") { CHECK(has(Pair(images, idx_labels({1, 2})).error(), "has 2 labels, but")); }
    SUBCASE("no images") { CHECK(has(Pair(idx_images(0, 4, 6), idx_labels({})).error(), "no images")); }
    SUBCASE("empty files") { CHECK(has(Pair({}, {}).error(), "at least 4 bytes")); }
}

TEST_CASE("a stray label is out of range") {
    CHECK(has(Pair(idx_images(5, 2, 2), idx_labels({0, 1, 200, 3, 4})).error(),
              "label 200 of image 2 is out of range"));
    Bytes many(14);  // 0 ... 12 and a stray 14
    for (size_t i = 0; i < 14; ++i) many[i] = static_cast<uint8_t>(i == 13 ? 14 : i);
    CHECK(has(Pair(idx_images(14, 2, 2), idx_labels(many)).error(),
              "label 14 of image 13 is out of range: the file has only 14 different labels"));
    many[13] = 13;
    CHECK(Pair(idx_images(14, 2, 2), idx_labels(many)).error().empty());
    const Pair pair(idx_images(5, 2, 2), idx_labels(kLabels));
    CHECK(
        has(error_of([&] { read_idx_dataset(pair.files, 5); }), "label 9 of image 3 is out of range [0, 5)"));
}

TEST_CASE("broken gzip files are refused") {
    const Bytes good = gzip_of(idx_images(5, 4, 6));
    for (size_t cut = 3; cut < good.size(); ++cut)
        CHECK(!Pair(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(cut)), idx_labels(kLabels))
                   .error()
                   .empty());
    const uint64_t fingerprint = read_idx_dataset(Pair(good, idx_labels(kLabels)).files)->fingerprint();
    for (size_t at = 10; at < good.size(); ++at) {
        Bytes bad = good;
        bad[at] ^= 0x10;
        const Pair pair(bad, idx_labels(kLabels));
        const std::string error = pair.error();
        // Padding bits may go unnoticed; whatever changes the content does not pass gzip's checksum.
        if (!error.empty()) CHECK(has(error, "train-images-idx3-ubyte"));
        if (error.empty()) CHECK(read_idx_dataset(pair.files)->fingerprint() == fingerprint);
    }
}

TEST_CASE("a small gzip file cannot fill the memory") {
    Bytes images = idx_images(5, 4, 6);
    images.resize(size_t{1} << 25);
    const Pair pair(gzip_of(images), idx_labels(kLabels));
    CHECK(has(pair.error(), "5x4x6 needs 136 bytes, the file is longer"));
}

TEST_CASE("images of floats must be finite and in [0, 1]") {
    Bytes images = {0, 0, 0x0d, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0x3f, 0x00, 0, 0, 0x3f, 0x80, 0, 0};
    const Pair good(images, idx_labels({3}));
    const DataSetPtr data = read_idx_dataset(good.files);
    CHECK(data->sample(0).image.pixels == Bytes{128, 255});
    images[20] = 0x7f, images[21] = 0xc0;  // NaN
    CHECK(has(Pair(images, idx_labels({3})).error(), "element 1 is nan"));
    images[20] = 0x40;  // 6
    CHECK(has(Pair(images, idx_labels({3})).error(), "must lie in [0, 1], element 1 is 6"));
}
