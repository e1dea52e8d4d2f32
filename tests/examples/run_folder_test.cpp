#include "examples/common/run_folder.h"

#include <doctest/doctest.h>

#include <fstream>

#include "examples/common/files.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary.h"

using namespace demi::examples;
using namespace demi::test;

namespace {

RunConfig config(int seed, int epochs) {
    RunConfig c;
    c.program = "train_vit";
    c.options.add("seed", seed).add("lr", 1e-3).add("epochs", epochs).add("data", "a \"b\"");
    c.environment.add("threads", 2);
    c.may_change = {"epochs"};
    return c;
}

void touch(const std::string& path) { std::ofstream(path) << "x"; }

}  // namespace

TEST_CASE("a run is not overwritten unless asked to") {
    TemporaryFolder folder;
    const std::string path = folder / "runs/first/";
    { RunFolder(path, RunStart::fresh, config(1, 5)); }
    touch(path + "last.safetensors");
    touch(path + "notes.txt");
    const std::string error = error_of([&] { RunFolder(path, RunStart::fresh, config(2, 5)); });
    CHECK(has(error, "--resume"));
    CHECK(has(error, "--overwrite"));
    CHECK(has(read_text(path + "config.json"), "\"seed\": 1"));
    { RunFolder(path, RunStart::overwrite, config(2, 5)); }
    CHECK(has(read_text(path + "config.json"), "\"seed\": 2"));
    CHECK(!exists(path + "last.safetensors"));
    CHECK(exists(path + "notes.txt"));
}

TEST_CASE("a run without a name of its own takes the next number") {
    TemporaryFolder folder;
    const std::string path = folder / "run";
    CHECK(default_run(path, false) == path);
    CHECK(default_run(path, true) == path);
    { RunFolder(path, RunStart::fresh, config(1, 5)); }
    CHECK(default_run(path, false) == path + "-2");
    CHECK(default_run(path, true) == path);
    { RunFolder(path + "-2", RunStart::fresh, config(1, 5)); }
    CHECK(default_run(path, false) == path + "-3");
    CHECK(default_run(path, true) == path + "-2");
}

TEST_CASE("only the same run is resumed") {
    TemporaryFolder folder;
    const std::string path = folder / "run";
    CHECK(has(error_of([&] { RunFolder(path, RunStart::resume, config(1, 5)); }), "nothing to resume"));
    CHECK(!exists(path));
    { RunFolder(path, RunStart::fresh, config(1, 5)); }
    {
        const RunFolder resumed(path, RunStart::resume, config(1, 9));
        CHECK(has(read_text(path + "/config.json"), "\"epochs\": 5"));  // the checkpoint may not fit
        resumed.accept();
    }
    CHECK(has(read_text(path + "/config.json"), "\"epochs\": 9"));
    CHECK(has(error_of([&] { RunFolder(path, RunStart::resume, config(3, 9)); }), "seed is 1 there, 3 here"));
    RunConfig other = config(1, 9);
    other.program = "train_dinov2";
    CHECK(has(error_of([&] { RunFolder(path, RunStart::resume, other); }), "train_vit"));
    std::ofstream(path + "/config.json") << "{";
    CHECK(has(error_of([&] { RunFolder(path, RunStart::resume, config(1, 9)); }), "not a run"));
}

TEST_CASE("a run that was killed before its first checkpoint is started again by the same command only") {
    TemporaryFolder folder;
    const std::string path = folder / "run";
    { RunFolder(path, RunStart::fresh, config(1, 5)); }
    touch(path + "/metrics.jsonl");
    CHECK(has(error_of([&] { RunFolder(path, RunStart::fresh, config(2, 5)); }), "already holds a run"));
    { RunFolder(path, RunStart::fresh, config(1, 5)); }
    CHECK(!exists(path + "/metrics.jsonl"));
    touch(path + "/checkpoint.safetensors");
    CHECK(has(error_of([&] { RunFolder(path, RunStart::fresh, config(1, 5)); }), "already holds a run"));
}

TEST_CASE("an option that an earlier version had not counts as its default") {
    RunConfig here = config(1, 5);
    const Record there = here.options;
    here.options.add("mixup", 0.0);
    here.defaults.add("mixup", 0.0);
    CHECK(differences(there, here.options, {}, here.defaults).empty());
    here.options.add("mixup", 0.8);
    CHECK(differences(there, here.options, {}, here.defaults).size() == 1);
}

TEST_CASE("one process per folder, and a file in the way") {
    TemporaryFolder folder;
    const RunFolder first(folder / "run", RunStart::fresh, config(1, 5));
    CHECK(first.file("metrics.jsonl") == (folder / "run/metrics.jsonl"));
    CHECK(has(error_of([&] { RunFolder(folder / "run", RunStart::resume, config(1, 5)); }), "in use"));
    touch(folder / "plain");
    CHECK(
        has(error_of([&] { RunFolder(folder / "plain", RunStart::fresh, config(1, 5)); }), "cannot create"));
    CHECK(has(error_of([&] { RunFolder(folder / "plain/deeper", RunStart::fresh, config(1, 5)); }),
              "cannot create"));
}

TEST_CASE("what a killed process left half written goes at the next start") {
    TemporaryFolder folder;
    const std::string path = folder / "run";
    { RunFolder(path, RunStart::fresh, config(1, 5)); }
    for (const char* name :
         {"/checkpoint.safetensors.tmp.123.0", "/config.json.tmp99", "/mine.tmp", "/notes.tmpl"})
        touch(path + name);
    { RunFolder(path, RunStart::resume, config(1, 5)); }
    CHECK(!exists(path + "/checkpoint.safetensors.tmp.123.0"));
    CHECK(!exists(path + "/config.json.tmp99"));
    CHECK(exists(path + "/mine.tmp"));
    CHECK(exists(path + "/notes.tmpl"));
}

TEST_CASE("atomic writing leaves no temporary file behind") {
    TemporaryFolder folder;
    write_atomically(folder / "a", "one");
    write_atomically(folder / "a", "two");
    CHECK(read_text(folder / "a") == "two");
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
    CHECK(has(error_of([&] { write_atomically(folder / "b/c", "x"); }), "No such file"));
    CHECK(has(error_of([&] { read_text(folder / "none"); }), "No such file"));
}

TEST_CASE("folders that a file needs are made") {
    TemporaryFolder folder;
    make_parent_folders(folder / "a/b/file");
    CHECK(std::filesystem::is_directory(folder / "a/b"));
    CHECK(!exists(folder / "a/b/file"));
    make_parent_folders("file");  // in the working folder
    touch(folder / "plain");
    CHECK(has(error_of([&] { make_parent_folders(folder / "plain/file"); }), "cannot create folder"));
}

TEST_CASE("a resumed run may raise what may rise, and hears what may change") {
    Record there, here;
    there.add("epochs", 3).add("steps", 0).add("seed", 1);
    const auto found = [&](int64_t epochs, int64_t steps) {
        return differences(there, Record().add("epochs", epochs).add("steps", steps).add("seed", 1), {}, {},
                           {"epochs", "steps"});
    };
    CHECK(found(3, 0).empty());
    CHECK(found(5, 0).empty());
    REQUIRE(found(2, 0).size() == 1);
    CHECK(found(2, 0)[0] == "epochs is 3 there, 2 here (it may only be raised)");
    CHECK(found(3, 10).size() == 1);  // steps in place of epochs: another run
}
