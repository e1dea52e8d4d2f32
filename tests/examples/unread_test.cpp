#include <doctest/doctest.h>

#include <algorithm>

#include "examples/data/decode.h"
#include "examples/data/folder.h"
#include "examples/data/open.h"
#include "examples/train/classifier.h"
#include "tests/examples/image_files.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary.h"

using namespace demi::data;
using namespace demi::test;

namespace {

void put(const TemporaryFolder& folder, const std::string& name, const Bytes& bytes) {
    write_file(folder / name, bytes);
}

std::string open_error(const std::string& path, const OpenOptions& options = {}) {
    return error_of([&] { open_dataset(path, options); });
}

}  // namespace

TEST_CASE("pictures of other kinds are read, or counted by ending and class") {
    const TemporaryFolder folder;
    const Bytes jpeg = jpeg_of(pattern(9, 9, 3)), png = png_of(pattern(9, 9, 3));
    for (const char* name :
         {"cat/a.jpg", "cat/b.JFIF", "cat/c.jpe", "cat/d.jpg_large", "cat/e", "dog/f.jpeg"})
        put(folder, name, jpeg);
    put(folder, "dog/g.png", png);
    put(folder, "dog/h.bmp", bmp_of(pattern(9, 9, 3)));
    put(folder, "cat/i.heic", {'x'});
    put(folder, "dog/j.HEIC", {'x'});
    put(folder, "dog/k.heic", {'x'});
    put(folder, "dog/notes.txt", {'x'});
    put(folder, "dog/noise", {'x'});
    put(folder, "bird/l.avif", {'x'});
    const FolderListing listing = list_folder(folder.path());
    CHECK(listing.files.size() == (readable(FileType::bmp) ? 8 : 7));
    CHECK(listing.classes == std::vector<std::string>{"cat", "dog"});
    const std::string line = unread_line(listing);
    CHECK(has(line, "1 .avif file (bird 1)"));
    CHECK(has(line, "3 .heic files (cat 1, dog 2)"));
    CHECK(!has(line, "txt"));
    const OpenedData data = open_dataset(folder.path());
    CHECK(std::count(data.notes.begin(), data.notes.end(), line) == 1);
    const TemporaryFolder phone;
    put(phone, "a/x.heic", {'x'});
    CHECK(has(open_error(phone.path()), "1 .heic file (a 1)"));
}

TEST_CASE("broken pictures are found ahead, named together, and left out where asked") {
    const TemporaryFolder folder;
    for (int i = 0; i < 6; ++i)
        put(folder, "a/" + std::to_string(i) + ".jpg", jpeg_of(pattern(20, 20, 3, i)));
    for (int i = 0; i < 6; ++i) put(folder, "b/" + std::to_string(i) + ".png", png_of(pattern(20, 20, 3, i)));
    Bytes half = jpeg_of(pattern(20, 20, 3));
    half.resize(half.size() / 2);
    put(folder, "a/cut.jpg", half);
    put(folder, "b/empty.png", {});
    const std::string error = open_error(folder.path());
    CHECK(has(error, "2 broken pictures"));
    CHECK(has(error, "a/cut.jpg: broken JPEG"));
    CHECK(has(error, "b/empty.png: neither PNG nor JPEG: the file is empty"));
    CHECK(has(error, "--skip-broken"));
    CHECK(error.find("[data]", 1) == std::string::npos);
    OpenOptions options;
    options.skip_broken = true;
    const OpenedData data = open_dataset(folder.path(), options);
    CHECK(data.train->size() + data.test->size() == 12);
    CHECK(data.files.size() == 12);
    REQUIRE(data.notes.size() == 1);
    CHECK(has(data.notes[0], "skipped 2 broken pictures"));
    CHECK(has(data.notes[0], "b/empty.png"));

    // The quick look of sets that are read as they are needed.
    const FolderDataSet lazy(list_folder(folder.path()), 8, 3);
    const std::vector<BrokenPicture> quick = find_broken(lazy, true);
    REQUIRE(quick.size() == 2);
    CHECK(has(quick[0].why, "a/cut.jpg"));
    CHECK(find_broken(lazy, false).size() == 2);
    Bytes longer = jpeg_of(pattern(20, 20, 3));  // a phone's short film behind the picture
    longer.resize(longer.size() + 5000);
    put(folder, "a/film.jpg", longer);
    CHECK(find_broken(FolderDataSet(list_folder(folder.path()), 8, 3), true).size() == 2);
    const FolderDataSet patient(list_folder(folder.path()), 8, 3, true, true);
    for (int64_t i = 0; i < patient.size(); ++i) CHECK(patient.sample(i).label == patient.label(i));
}

TEST_CASE("every size gets a patch that makes a grid, or an error that names sizes") {
    using demi::examples::natural_patch;
    for (const auto& [side, patch] : {std::pair<int64_t, int64_t>{28, 4},
                                      {32, 4},
                                      {64, 4},
                                      {224, 14},
                                      {256, 16},
                                      {512, 32},
                                      {100, 10},
                                      {150, 10},
                                      {500, 20},
                                      {1000, 40},
                                      {9, 3}})
        CHECK(natural_patch(side) == patch);
    for (int64_t side = 8; side <= 2048; ++side) {
        const int64_t patch = natural_patch(side);
        if (patch == 0) continue;
        CHECK(side % patch == 0);
        CHECK(side / patch >= 2);
        CHECK(side / patch <= 32);
    }
    demi::examples::TrainOptions options;
    options.dim = 48, options.depth = 1, options.heads = 3;
    const std::string error = error_of([&] { demi::examples::model_config(options, 97, 3); });
    CHECK(has(error, "--image-size 96 or 98"));
    options.patch = 16;
    CHECK(has(error_of([&] { demi::examples::model_config(options, 100, 3); }),
              "--patch 10, or --image-size 96 or 112"));
}
