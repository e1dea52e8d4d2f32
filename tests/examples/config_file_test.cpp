#include "examples/train/config_file.h"

#include <doctest/doctest.h>

#include "examples/train/options.h"
#include "examples/train/supervised_options.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary.h"

using namespace demi::examples;
using namespace demi::test;

namespace {

std::string error_in(const TemporaryFolder& folder, const std::string& text) {
    put_file(folder / "c", text);
    return error_of([&] { read_config(folder / "c"); });
}

int parse(std::vector<std::string> words, TrainOptions& options) {
    words.insert(words.begin(), "train_vit");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    options.more = &supervised_options;
    options.dim = 96, options.depth = 4, options.heads = 3;
    options.lr = 2e-3;
    return parse_options(static_cast<int>(argv.size()), argv.data(), "test", options);
}

}  // namespace

TEST_CASE("config: lines of names and values, dashes or underscores, quotes and comments") {
    const TemporaryFolder folder;
    put_file(folder / "c",
             "# recipe\nlr = 0.01\nlabel_smoothing = 0.2 # less\r\n; more\ndata = \"a # b\"\n\nswiglu=true");
    const ConfigFile file = read_config(folder / "c");
    REQUIRE(file.entries.size() == 4);
    CHECK(file.entries[1].name == "label-smoothing");
    CHECK(file.entries[1].value == "0.2");
    CHECK(file.entries[2].value == "a # b");
    CHECK(file.entries[3].value == "true");
}

TEST_CASE("config: what cannot be read is an error that names the line") {
    const TemporaryFolder folder;
    CHECK(has(error_in(folder, "lr = 1\n[model]\ndim = 3\n"), "line 2: sections are not known"));
    CHECK(has(error_in(folder, "lr: 0.1\n"), "line 1: 'lr: 0.1' is not \"name = value\""));
    CHECK(has(error_in(folder, "lr = [1, 2]\n"), "lr must have one value"));
    CHECK(has(error_in(folder, "lr =\n"), "lr has no value"));
    CHECK(has(error_in(folder, "lr = 1\nlr = 2\n"), "lr is given twice"));
    CHECK(has(error_in(folder, "label-smoothing = 1\nlabel_smoothing = 1\n"), "is given twice"));
    CHECK(has(error_in(folder, "{\"lr\": 1"), "begins like JSON, but"));
    CHECK(has(error_in(folder, "{\"lr\": [1]}"), "lr must have one value"));
    CHECK(has(error_in(folder, "data = \"x\n"), "a closing \" is missing"));
    CHECK(has(error_of([&] { read_config(folder / "none"); }), "No such file"));
}

TEST_CASE("config: the command line goes before the file, unknown names are refused") {
    const TemporaryFolder folder;
    put_file(folder / "c", "lr = 0.01\nepochs = 7\naugment = false\ntrain_images = 5\n");
    TrainOptions options;
    CHECK(parse({"--config", folder / "c", "--epochs=3", "--out", folder / "out"}, options) == -1);
    CHECK(options.lr == 0.01);
    CHECK(options.epochs == 3);
    CHECK(options.augment == -1);
    CHECK(options.train_images == 5);
    for (const char* text : {"epohcs = 3\n", "labelSmoothing = 0.1\n", "Training.lr = 1\n", "config = x\n"}) {
        put_file(folder / "c", text);
        TrainOptions other;
        CHECK(parse({"--config", folder / "c"}, other) == 2);
    }
    TrainOptions sized;
    CHECK(parse({"--model", "vit_small", "--dim", "64"}, sized) == 2);
    TrainOptions underscores;
    CHECK(parse({"--train_images", "9", "--out", folder / "out"}, underscores) == -1);
    CHECK(underscores.train_images == 9);
}

TEST_CASE("config: a run's own config.json starts the same run elsewhere, and --resume needs no flags") {
    const TemporaryFolder folder;
    std::filesystem::create_directories(folder / "run");
    put_file(
        folder / "run/config.json",
        R"({"program": "train_vit", "options": {"data": "", "model": "vit_small", "dim": 384, "depth": 12,
                 "heads": 6, "mlp_ratio": 4, "lr": 0.5, "epochs": 0, "steps": 9, "augment": true, "out": "run", "swiglu": false}})");
    TrainOptions again;
    CHECK(parse({"--config", folder / "run/config.json", "--out", folder / "other"}, again) == -1);
    CHECK(again.lr == 0.5);
    CHECK(again.steps == 9);
    CHECK(again.model == "vit_small");
    CHECK(again.out == (folder / "other"));
    CHECK_FALSE(again.resuming());

    TrainOptions early;  // no checkpoint yet
    CHECK(parse({"--resume", "--out", folder / "run"}, early) == -1);
    CHECK_FALSE(early.resuming());
    CHECK(early.steps == 9);
    put_file(folder / "run/checkpoint.safetensors", "x");
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"--resume"}, {"--resume", "auto"}, {"--resume=auto"}}) {
        TrainOptions resumed;
        std::vector<std::string> all = words;
        all.insert(all.end(), {"--out", folder / "run", "--steps", "12"});
        CHECK(parse(all, resumed) == -1);
        CHECK(resumed.resuming());
        CHECK(resumed.lr == 0.5);
        CHECK(resumed.steps == 12);  // which the run folder refuses
        CHECK(resumed.out == (folder / "run"));
    }
    TrainOptions started;
    CHECK(parse({"--resume", "auto", "--out", folder / "new"}, started) == -1);
    CHECK_FALSE(started.resuming());
    TrainOptions wrong;
    CHECK(parse({"--resume", "later", "--out", folder / "run"}, wrong) == 2);
}
