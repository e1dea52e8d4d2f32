#include "examples/data/folder.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "examples/data/open.h"
#include "tests/examples/image_files.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary.h"

using namespace demi::data;
using namespace demi::test;
namespace fs = std::filesystem;

namespace {

void fill(const TemporaryFolder& folder, const std::string& inside, int count) {
    for (int i = 0; i < count; ++i) {
        const std::string name = folder / (inside + "/" + std::to_string(i));
        if (i % 2 == 0) write_file(name + ".png", png_of(pattern(10 + i, 12, i % 4 + 1, i)));
        if (i % 2 == 1) write_file(name + ".JPG", jpeg_of(pattern(20, 16 + i, 3, i)));
    }
}

std::string open_error(const std::string& path) {
    return error_of([&] { open_dataset(path); });
}

}  // namespace

TEST_CASE("class folders become classes, sorted by name") {
    const TemporaryFolder folder;
    fill(folder, "dog", 6);
    fill(folder, "cat", 10);
    write_file(folder / "readme.txt", {'x'});
    write_file(folder / "cat/notes.txt", {'x'});
    OpenOptions options;
    options.image_size = 8;
    const OpenedData data = open_dataset(folder.path(), options);
    CHECK(data.kind == "images");
    CHECK(data.labelled);
    CHECK(data.train->classes() == std::vector<std::string>{"cat", "dog"});
    CHECK(data.train->size() == 14);
    CHECK(data.test->size() == 2);
    CHECK(data.train->height() == 8);
    CHECK(data.train->channels() == 3);
    CHECK(data.train->sample(0).image.pixels.size() == 192);
    CHECK(data.train->fingerprint() == open_dataset(folder.path(), options).train->fingerprint());
}

TEST_CASE("train and val folders are used as they are") {
    const TemporaryFolder folder;
    fill(folder, "train/a", 2);
    fill(folder, "train/b", 3);
    fill(folder, "val/b", 2);
    const OpenedData data = open_dataset(folder.path());
    CHECK(data.train->size() == 5);
    CHECK(data.test->size() == 2);
    CHECK(data.test->label(0) == 1);
    fill(folder, "val/c", 1);
    CHECK(has(open_error(folder.path()), "class 'c' is not among the training classes"));
}

TEST_CASE("a flat folder is one class without labels") {
    const TemporaryFolder folder;
    fill(folder, ".", 12);
    const OpenedData data = open_dataset(folder.path());
    CHECK_FALSE(data.labelled);
    CHECK(data.train->classes().size() == 1);
    CHECK(data.train->size() + data.test->size() == 12);
    fill(folder, "cat", 1);
    CHECK(has(open_error(folder.path()), "one or the other is needed"));
}

TEST_CASE("broken pictures are named") {
    const TemporaryFolder folder;
    fill(folder, "cat", 3);
    write_file(folder / "cat/broken.png", {0x89, 'P', 'N', 'G', 13, 10, 26, 10, 0, 0});
    CHECK(has(open_error(folder.path()), "cat/broken.png: broken PNG"));
    fs::remove(folder / "cat/broken.png");
    write_file(folder / "cat/empty.jpg", {});
    CHECK(has(open_error(folder.path()), "cat/empty.jpg: neither PNG nor JPEG: the file is empty"));
}

TEST_CASE("links that go round or nowhere do no harm") {
    const TemporaryFolder folder;
    fill(folder, "cat", 3);
    fs::create_directory_symlink(folder.path(), folder / "cat/loop");
    fs::create_directory_symlink(folder / "cat", folder / "cat/self");
    fs::create_symlink("round.png", folder / "cat/round");
    CHECK(list_folder(folder.path()).files.size() == 3);
    fs::create_symlink("nothing-here.png", folder / "cat/gone.png");
    CHECK(has(open_error(folder.path()), "gone.png: not a readable file"));
}

TEST_CASE("what is no data set is described") {
    const TemporaryFolder folder;
    CHECK(has(open_error(folder.path()), "the folder is empty"));
    CHECK(has(open_error(folder / "missing"), "missing: no such file or folder"));
    for (const char* name : {"a.txt", "b.txt", "c.txt", "d.txt", "e.txt", "f.txt"})
        write_file(folder / name, {'x'});
    const std::string error = open_error(folder.path());
    CHECK(has(error, "6 entries: a.txt, b.txt, c.txt, d.txt, e.txt, ..."));
    CHECK(has(error, "data_batch_*.bin (CIFAR-10)"));
    CHECK(has(open_error(folder / "a.txt"), "a single file must be"));
    CHECK(has(open_error("/dev/null"), "neither a folder nor a file"));
}

TEST_CASE("pictures of any size are cut to a square and resized") {
    const TemporaryFolder folder;
    Image wide(4, 12, 3);  // black, but white in the middle 4 columns
    for (int64_t y = 0; y < 4; ++y)
        for (int64_t x = 4; x < 8; ++x)
            for (int64_t c = 0; c < 3; ++c) wide.at(y, x, c) = 255;
    write_file(folder / "a/wide.png", png_of(wide));
    const FolderDataSet data(list_folder(folder.path()), 2, 1);
    CHECK(data.sample(0).image.pixels == Bytes{255, 255, 255, 255});
}
