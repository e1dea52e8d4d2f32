// What extract_features reads: folders, parts, one picture, lists, broken pictures, shapes of their own.
#include <doctest/doctest.h>

#include "examples/data/framing.h"
#include "examples/features/source.h"
#include "tests/examples/extract_support.h"
#include "tests/support/check_error.h"

using namespace demi;
using namespace demi::examples;
using namespace demi::test;

namespace {

std::vector<float> features(ExtractOptions o) {
    CHECK(extract_features(o) == 0);
    return SafetensorsFile(o.out).load("features").to_vector<float>();
}

std::vector<float> row(const std::vector<float>& all, size_t i) {
    return {all.begin() + static_cast<std::ptrdiff_t>(8 * i),
            all.begin() + static_cast<std::ptrdiff_t>(8 * i + 8)};
}

}  // namespace

TEST_CASE("one picture and a list give the rows of the folder") {
    ExtractFolder folder;
    ExtractOptions o = folder.options;
    o.batch = 1;
    const std::vector<float> all = features(o);
    o.data = folder / "pictures/dog/2.png";
    CHECK(features(o) == row(all, 7));
    // from the list's folder, with a class behind a tab, line ends of Windows, a byte order mark
    put_file(folder / "list.txt",
             "\xef\xbb\xbfpictures/dog/2.png\tdog\r\n\r\npictures/cat/0.png\tcat\n" + o.data + "\n");
    o.data = folder / "list.txt";
    const std::vector<float> listed = features(o);
    CHECK(row(listed, 0) == row(all, 7));
    CHECK(row(listed, 1) == row(all, 0));
    CHECK(row(listed, 2) == row(all, 7));
    const SafetensorsFile file(o.out);
    CHECK(file.load("labels").to_vector<int64_t>() == std::vector<int64_t>{1, 0, -1});
    CHECK(file.metadata().at("class.0") == "cat");
    CHECK(has(file.metadata().at("files"), "dog/2.png\n"));
    put_file(folder / "list.txt", "pictures/dog/2.png\nnone.png\nnor this.png\n");
    CHECK(has(error_of([&] { extract_features(o); }), "2 of 3 pictures"));
    o.skip_broken = true;
    CHECK(features(o) == row(all, 7));
    put_file(folder / "list.txt", "\n\n");
    CHECK(has(error_of([&] { extract_features(o); }), "empty"));
}

TEST_CASE("broken pictures are refused, or left out and named") {
    ExtractFolder folder;
    ExtractOptions o = folder.options;
    o.batch = 1;
    const std::vector<float> all = features(o);
    const std::string bytes = get_file(folder / "pictures/cat/3.png");
    put_file(folder / "pictures/cat/3.png", bytes.substr(0, bytes.size() / 2));
    // whole by its first and last bytes: only decoding tells
    std::string inside = get_file(folder / "pictures/dog/1.png");
    for (size_t i = inside.size() / 2; i < inside.size() / 2 + 20; ++i)
        inside[i] = static_cast<char>(inside[i] ^ 0x55);
    put_file(folder / "pictures/dog/1.png", inside);
    std::filesystem::remove(o.out);
    CHECK(has(error_of([&] { extract_features(o); }), "cat/3.png"));
    CHECK(!std::filesystem::exists(o.out));
    o.skip_broken = true;
    const std::vector<float> some = features(o);
    REQUIRE(some.size() == 8 * 8);
    CHECK(row(some, 3) == row(all, 4));
    CHECK(row(some, 5) == row(all, 7));
    const SafetensorsFile file(o.out);
    CHECK(file.load("labels").to_vector<int64_t>() == std::vector<int64_t>{0, 0, 0, 0, 1, 1, 1, 1});
    CHECK(has(file.metadata().at("skipped"), "dog/1.png"));
    CHECK(!has(file.metadata().at("files"), "dog/1.png"));
    o.data = folder / "pictures/dog/1.png";
    CHECK(has(error_of([&] { extract_features(o); }), "1 pictures are broken"));
}

TEST_CASE("parts of a data set: one, or all with a number for each row") {
    ExtractFolder folder;
    ExtractOptions o = folder.options;
    std::filesystem::create_directories(folder / "set");
    std::filesystem::rename(folder / "pictures", folder / "set/train");
    std::filesystem::copy(folder / "set/train", folder / "set/test",
                          std::filesystem::copy_options::recursive);
    std::filesystem::remove(folder / "set/test/cat/0.png");
    o.data = folder / "set";
    CHECK(features(o).size() == 9 * 8);
    o.split = "train";
    CHECK(features(o).size() == 10 * 8);
    o.split = "all";
    CHECK(features(o).size() == 19 * 8);
    const SafetensorsFile file(o.out);
    const std::vector<int64_t> split = file.load("split").to_vector<int64_t>();
    CHECK(std::count(split.begin(), split.end(), 1) == 9);
    CHECK(file.metadata().at("split_names") == "[\"train\", \"test\"]");
    CHECK(has(file.metadata().at("files"), "train/cat/0.png\n"));
    CHECK(!has(file.metadata().at("files"), "test/cat/0.png\n"));
}

TEST_CASE("fit keeps the shape of each picture, whatever shares its batch") {
    ExtractFolder folder;
    ExtractOptions o = folder.options;
    for (int i = 0; i < 5; ++i)
        write_file(folder / ("pictures/cat/" + std::to_string(i) + ".png"),
                   png_of(pattern(16 + 12 * (i / 2), 40, 3, i)));
    o.framing = "fit";
    o.batch = 1;
    const std::vector<float> alone = features(o);
    o.batch = 7;
    const std::vector<float> together = features(o);
    REQUIRE(together.size() == alone.size());
    for (size_t i = 0; i < alone.size(); ++i) CHECK(together[i] == doctest::Approx(alone[i]).epsilon(1e-5));
    o.framing = "stretch";
    CHECK(features(o) != together);
}

TEST_CASE("without labels there are none") {
    ExtractFolder folder;
    SourceOptions options;
    options.data = folder / "pictures/cat";
    const PictureSource source(options);
    CHECK(source.size() == 5);
    CHECK(source.label(0) == -1);
    CHECK(source.name(4) == "4.png");
    CHECK(has(error_of([&] { source.label(5); }), "out of range"));
    options.data = "drawn";
    options.split = "test";
    const PictureSource drawn(options);
    CHECK(drawn.name(7) == "test/7");
    CHECK(drawn.label(0) >= 0);
    CHECK(drawn.image(0).height == 224);
}
