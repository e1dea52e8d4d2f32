#include "examples/data/open.h"

#include <doctest/doctest.h>

#include <cmath>

#include "examples/data/cifar.h"
#include "examples/data/stats.h"
#include "examples/data/stored.h"
#include "tests/examples/image_files.h"
#include "tests/support/check_error.h"
#include "tests/support/env.h"
#include "tests/support/skip.h"
#include "tests/support/temporary.h"

using namespace demi::data;
using namespace demi::test;

TEST_CASE("without a path the drawn data set is opened") {
    OpenOptions options;
    options.drawn_train = 50;
    options.drawn_test = 20;
    const OpenedData data = open_dataset("", options);
    CHECK(data.kind == "drawn");
    CHECK(data.train->size() == 50);
    CHECK(data.test->size() == 20);
    CHECK(data.train->sample(3).image.pixels != data.test->sample(3).image.pixels);
    options.channels = 1;
    options.image_size = 16;
    const OpenedData small = open_dataset("drawn", options);
    CHECK(small.train->channels() == 1);
    CHECK(small.train->width() == 16);
}

TEST_CASE("CIFAR-10 files are recognised and checked") {
    const TemporaryFolder folder;
    write_file(folder / "data_batch_1.bin", cifar_records({0, 1, 2}));
    write_file(folder / "data_batch_2.bin", cifar_records({3, 9}));
    write_file(folder / "test_batch.bin", cifar_records({4}));
    const OpenedData data = open_dataset(folder.path());
    CHECK(data.kind == "CIFAR-10");
    CHECK(data.flip);
    CHECK(data.train->size() == 5);
    CHECK(data.test->size() == 1);
    CHECK(data.train->label(4) == 9);
    const Image image = data.train->sample(1).image;
    CHECK(image.at(31, 31, 0) == 1);
    CHECK(image.at(0, 0, 1) == 51);
    CHECK(image.at(0, 0, 2) == 101);
    CHECK(data.train->classes()[3] == "class 3");

    const auto error = [&] { return error_of([&] { open_dataset(folder.path()); }); };
    Bytes bad = cifar_records({3, 9});
    bad.pop_back();
    write_file(folder / "data_batch_2.bin", bad);
    CHECK(has(error(), "data_batch_2.bin: CIFAR-10 needs records of 3073 bytes, the file has 6145 bytes"));
    write_file(folder / "data_batch_2.bin", {});
    CHECK(has(error(), "data_batch_2.bin"));
    write_file(folder / "data_batch_2.bin", cifar_records({3, 10}));
    CHECK(has(error(), "label 10 of record 1 is out of range [0, 10)"));
    write_file(folder / "batches.meta.txt", {'c', 'a', 't', '\n', '\n', 'd', 'o', 'g'});
    CHECK(has(error(), "label 2 of record 2 is out of range [0, 2)"));
}

TEST_CASE("one file is set apart by class") {
    const TemporaryFolder folder;
    Bytes labels(40);
    for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<uint8_t>(i % 4);
    write_file(folder / "mine.bin", cifar_records(labels));
    const OpenedData data = open_dataset(folder / "mine.bin");
    CHECK(data.train->size() == 36);
    CHECK(data.test->size() == 4);
    for (int64_t i = 0; i < 4; ++i) CHECK(data.test->label(i) == data.test->label(i) % 4);
    write_file(folder / "x-images-idx3-ubyte", idx_images(4, 3, 3));
    CHECK(has(error_of([&] { open_dataset(folder / "x-images-idx3-ubyte"); }), "x-labels-idx1-ubyte"));
    write_file(folder / "x-labels-idx1-ubyte", idx_labels({1, 1, 2, 2}));
    CHECK(open_dataset(folder / "x-images-idx3-ubyte").test->size() == 2);
}

TEST_CASE("IDX needs both of its files") {
    const TemporaryFolder folder;
    write_file(folder / "train-images-idx3-ubyte.gz", gzip_of(idx_images(20, 3, 3)));
    CHECK(has(error_of([&] { open_dataset(folder.path()); }),
              "the labels are missing: train-labels-idx1-ubyte"));
    Bytes labels(20);
    for (size_t i = 0; i < 20; ++i) labels[i] = i % 2;
    write_file(folder / "train-labels-idx1-ubyte", idx_labels(labels));
    const OpenedData halves = open_dataset(folder.path());
    CHECK(halves.train->size() == 18);
    CHECK_FALSE(halves.flip);
    write_file(folder / "t10k-images-idx3-ubyte", idx_images(2, 3, 4));
    write_file(folder / "t10k-labels-idx1-ubyte", idx_labels({0, 1}));
    CHECK(
        has(error_of([&] { open_dataset(folder.path()); }), "training images are 3x3x1, test images 3x4x1"));
}

TEST_CASE("the given MNIST part") {
    const std::string folder = demi::test::shared_path("data/mnist-10k");
    if (folder.empty()) DEMI_SKIP("DEMI_SHARED names no folder with data/mnist-10k");
    const OpenedData data = open_dataset(folder);
    CHECK(data.kind == "IDX");
    CHECK(data.train->size() == 8000);
    CHECK(data.test->size() == 2000);
    CHECK(data.train->height() == 28);
    CHECK_FALSE(data.flip);
    const ChannelStats stats = channel_stats(*data.train);
    CHECK(stats.mean[0] == doctest::Approx(0.1307).epsilon(0.02));
    CHECK(stats.std[0] == doctest::Approx(0.3081).epsilon(0.02));
}

TEST_CASE("the given CIFAR-10 part") {
    const std::string folder = demi::test::shared_path("data/cifar10");
    if (folder.empty()) DEMI_SKIP("DEMI_SHARED names no folder with data/cifar10");
    const OpenedData data = open_dataset(folder);
    CHECK(data.train->size() == 20000);
    CHECK(data.test->size() == 10000);
    CHECK(data.train->classes()[0] == "airplane");
    CHECK(data.train->classes()[9] == "truck");
    const ChannelStats stats = channel_stats(*data.train);
    CHECK(stats.mean[0] == doctest::Approx(0.4914).epsilon(0.01));
    CHECK(stats.mean[2] == doctest::Approx(0.4465).epsilon(0.01));
    CHECK(stats.std[1] == doctest::Approx(0.2435).epsilon(0.01));
}

TEST_CASE("statistics of a constant picture divide by nothing") {
    Stored content{2, 2, 1, {7, 7, 7, 7}, {0}, {"only"}};
    const StoredDataSet data(std::move(content), "constant");
    const ChannelStats stats = channel_stats(data);
    CHECK(stats.mean[0] == doctest::Approx(7.0 / 255));
    CHECK(stats.std[0] > 0);
    float out[4];
    normalize(data.sample(0).image, stats, out);
    for (const float x : out) CHECK(std::fabs(x) < 1e-4f);
}
