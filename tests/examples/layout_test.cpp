#include "examples/data/layout.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "examples/data/open.h"
#include "examples/data/part.h"
#include "tests/examples/image_files.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary.h"

using namespace demi::data;
using namespace demi::test;

namespace {

void fill(const TemporaryFolder& folder, std::initializer_list<const char*> places, int count = 4) {
    for (const char* place : places)
        for (int i = 0; i < count; ++i)
            write_file(folder / (std::string(place) + "/" + std::to_string(i) + ".png"),
                       png_of(pattern(9, 9, 3, i)));
}

bool noted(const OpenedData& data, const std::string& text) {
    return std::any_of(data.notes.begin(), data.notes.end(),
                       [&](const auto& note) { return has(note, text); });
}

OpenedData without_labels(const std::string& path) {
    OpenOptions options;
    options.need_labels = false;
    return open_dataset(path, options);
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("layout: train as a class among others") {
    const TemporaryFolder folder;
    fill(folder, {"train", "car", "bus"});
    CHECK(open_dataset(folder.path()).train->classes() == Names{"bus", "car", "train"});
    fill(folder, {"test"});  // "test" and "train" are both classes here: cars lie beside them
    CHECK(open_dataset(folder.path()).train->classes() == Names{"bus", "car", "test", "train"});
}

TEST_CASE("layout: the names of the parts in any spelling") {
    for (const auto& [train, val] :
         std::vector<std::pair<std::string, std::string>>{{"Train", "Val"},
                                                          {"train", "dev"},
                                                          {"TRAINING", "Validation"},
                                                          {"train", "valid"},
                                                          {"Training", "Test"}}) {
        CAPTURE(train);
        const TemporaryFolder folder;
        for (const char* name : {"a", "b"}) {
            fill(folder, {(train + "/" + name).c_str()}, 6);
            fill(folder, {(val + "/" + name).c_str()}, 2);
        }
        const OpenedData data = open_dataset(folder.path());
        CHECK(data.train->size() == 12);
        CHECK(data.test->size() == 4);
        CHECK(data.train->classes() == Names{"a", "b"});
        CHECK(data.layout == train + "/ for training, " + val + "/ for tests");
    }
}

TEST_CASE("layout: ImageNet's, with a flat test") {
    const TemporaryFolder folder;
    fill(folder, {"train/a", "train/b"}, 6);
    fill(folder, {"val/a", "val/b"}, 2);
    fill(folder, {"test"}, 5);
    for (const OpenedData& data : {open_dataset(folder.path()), without_labels(folder.path())}) {
        CHECK(data.train->size() == 12);
        CHECK(data.test->size() == 4);
        CHECK(data.final_test == nullptr);
        CHECK(noted(data, "left out: test/"));
    }
}

TEST_CASE("layout: all three parts with labels") {
    const TemporaryFolder folder;
    fill(folder, {"train/a", "train/b"}, 6);
    fill(folder, {"val/a", "val/b"}, 2);
    fill(folder, {"test/a", "test/b"}, 3);
    const OpenedData data = open_dataset(folder.path());
    CHECK(data.test->size() == 4);
    CHECK(data.final_test->size() == 6);
    CHECK(data.layout == "train/ for training, val/ after every epoch, test/ for the end");
}

TEST_CASE("layout: a part without a partner, folders around, and what is left out") {
    {
        const TemporaryFolder folder;
        fill(folder, {"train/a", "train/b"}, 10);
        const OpenedData data = open_dataset(folder.path());
        CHECK(data.train->classes() == Names{"a", "b"});
        CHECK(data.test->size() == 2);
    }
    {
        const TemporaryFolder folder;
        fill(folder, {"around/it/train/a", "around/it/train/b", "around/it/val/a", "around/it/val/b",
                      "around/it/extra"});
        const OpenedData data = open_dataset(folder.path());
        CHECK(data.train->size() == 8);
        CHECK(data.test->size() == 8);
        CHECK(noted(data, "left out: extra/"));
    }
    {
        const TemporaryFolder folder;
        fill(folder, {"val/a", "val/b", "test/a"});
        CHECK(has(error_of([&] { open_dataset(folder.path()); }), "no train"));
    }
    {
        const TemporaryFolder folder;
        fill(folder, {"train/a", "train/b", "val/a", "val/b", "dev/a"});
        CHECK(noted(open_dataset(folder.path()), "left out: dev/ (there is another of its kind)"));
    }
}

TEST_CASE("layout: without labels nothing has to fit and nothing is set apart") {
    const TemporaryFolder flat, mixed, parts;
    fill(flat, {"."}, 12);
    CHECK(without_labels(flat.path()).train->size() == 12);
    CHECK(without_labels(flat.path()).test == nullptr);
    fill(mixed, {".", "cat"}, 3);
    CHECK(without_labels(mixed.path()).train->size() == 6);
    CHECK_FALSE(without_labels(mixed.path()).labelled);
    CHECK(has(error_of([&] { open_dataset(mixed.path()); }), "one or the other is needed"));
    fill(parts, {"train/a", "train/b", "val/c"});
    CHECK(without_labels(parts.path()).test == nullptr);
    CHECK(noted(without_labels(parts.path()), "its classes are not those of training"));
    CHECK(has(error_of([&] { open_dataset(parts.path()); }), "class 'c'"));
}

TEST_CASE("--val names a folder, and sets nothing apart") {
    const TemporaryFolder folder, held;
    fill(folder, {"a", "b"}, 10);
    fill(held, {"a", "b"}, 3);
    OpenOptions options;
    options.val = held.path();
    const OpenedData data = open_dataset(folder.path(), options);
    CHECK(data.train->size() == 20);
    CHECK(data.test->size() == 6);
    options.val = held / "missing";
    CHECK(!error_of([&] { open_dataset(folder.path(), options); }).empty());
    options.val.clear();
    options.test_fraction = 0.3;
    CHECK(open_dataset(folder.path(), options).test->size() == 6);
}
