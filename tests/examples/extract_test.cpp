// What extract_features computes and how it stops and goes on.
#include "examples/features/extract.h"

#include <doctest/doctest.h>

#include <csignal>
#include <cstring>

#include "autograd/grad_mode.h"
#include "examples/data/decode.h"
#include "examples/data/framing.h"
#include "examples/data/read_file.h"
#include "ops/reduce/reduce.h"
#include "runtime/json.h"
#include "tests/examples/extract_support.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"

using namespace demi;
using namespace demi::examples;
using namespace demi::test;

namespace {

Tensor image_of(const std::string& path, int64_t height, int64_t width) {
    data::FramingOptions framing;
    framing.height = height;
    framing.width = width;
    const data::Image image = data::frame(data::decode_image(data::read_file(path), path), framing);
    Tensor out = Tensor::empty({1, 3, height, width});
    data::normalize(image, {}, out.mutable_data<float>());
    return out;
}

bool same(const Tensor& a, const Tensor& b) { return a.to_vector<float>() == b.to_vector<float>(); }

}  // namespace

TEST_CASE("all outputs are what the network gives for each picture, of a size that is no square") {
    const NoGrad no_grad;
    ExtractFolder folder;
    ExtractOptions& o = folder.options;
    o.layers = "0,-1";
    o.patch_mean = o.patch_tokens = o.registers = o.attention = true;
    o.image_size = 12;
    o.image_width = 20;
    o.batch = 1;
    CHECK(extract_features(o) == 0);
    const SafetensorsFile file(o.out);
    const DinoVisionTransformer model = made_vit();
    ForwardContext context;
    context.boundary.mode = BoundaryMode::off;
    for (int i = 0; i < 10; ++i) {
        const std::string name = (i < 5 ? "cat/" : "dog/") + std::to_string(i % 5) + ".png";
        const Tensor image = image_of(o.data + "/" + name, 12, 20);
        const auto found = model.get_intermediate_layers(Variable(image), context, {0, -1});
        const auto row = [&](const char* output) {
            return file.load(output).slice(0, i, i + 1).contiguous();
        };
        const Tensor features = row("features");
        REQUIRE(features.shape() == Shape({1, 24}));
        CHECK(same(features.slice(1, 0, 8).contiguous(), found[0].cls_token.value()));
        CHECK(same(features.slice(1, 8, 16).contiguous(), found[1].cls_token.value()));
        CHECK(same(features.slice(1, 16, 24).contiguous(), mean(found[1].patches, {1}).value()));
        const Tensor patches = row("patches"), registers = row("registers"), attention = row("attention");
        REQUIRE(patches.shape() == Shape({1, 3, 5, 16}));
        REQUIRE(registers.shape() == Shape({1, 2, 16}));
        REQUIRE(attention.shape() == Shape({1, 2, 3, 5}));
        const Tensor flat = patches.view({15, 16});
        CHECK(same(flat.slice(1, 0, 8).contiguous(), found[0].patches.value()));
        CHECK(same(flat.slice(1, 8, 16).contiguous(), found[1].patches.value()));
        CHECK(same(registers.slice(2, 8, 16).contiguous(), found[1].registers.value()));
        CHECK(same(attention, model.get_last_selfattention(image).slice(2, 3, 18).contiguous()));
    }
    CHECK(file.load("labels").to_vector<int64_t>() == std::vector<int64_t>{0, 0, 0, 0, 0, 1, 1, 1, 1, 1});
    CHECK(file.metadata().at("files").starts_with("cat/0.png\ncat/1.png\n"));
    CHECK(file.metadata().at("class.1") == "dog");
    const Json framing = parse_json(file.metadata().at("preprocessing"), 4);
    CHECK(framing.find("framing")->text == "square");
    CHECK(framing.find("image_size")->items[1].natural == 20);
    CHECK(parse_json(file.metadata().at("columns"), 4).items[1].find("layer")->natural == 2);
}

TEST_CASE(".npy has a .json beside it, and a file for each further output") {
    ExtractFolder folder;
    ExtractOptions& o = folder.options;
    CHECK(extract_features(o) == 0);
    const Tensor want = SafetensorsFile(o.out).load("features");
    o.out = folder / "deep/er/f.npy";
    o.registers = true;
    CHECK(extract_features(o) == 0);
    const std::string bytes = get_file(o.out);
    const size_t begin = bytes.find('\n') + 1;
    CHECK(begin % 64 == 0);
    CHECK(bytes.substr(begin) ==
          std::string(static_cast<const char*>(want.raw()), static_cast<size_t>(want.numel()) * 4));
    CHECK(has(get_file(folder / "deep/er/f.registers.npy"), "'shape': (10, 2, 8, )"));
    const Json json = parse_json(get_file(folder / "deep/er/f.json"), 8);
    CHECK(json.find("labels")->items.size() == 10);
    CHECK(json.find("split")->items.size() == 10);
    CHECK(json.find("files")->items[9].text == "dog/4.png");
    CHECK(json.find("classes")->items[0].text == "cat");
    CHECK(json.find("preprocessing")->find("mean")->items.size() == 3);
}

TEST_CASE("a run that was stopped or cut off goes on, to the same bytes") {
    ExtractFolder folder;
    ExtractOptions o = folder.options;
    o.batch = 3;
    CHECK(extract_features(o) == 0);
    const std::string want = get_file(o.out);
    std::filesystem::remove(o.out);
    const std::string partial = o.out + ".partial";
    CHECK(!std::filesystem::exists(partial));

    o.watch = [](int64_t done, int64_t) {
        if (done == 6) std::raise(SIGTERM);
    };
    CHECK(extract_features(o) == 128 + SIGTERM);
    CHECK(!std::filesystem::exists(o.out));
    const std::string kept = get_file(partial);
    int64_t first = -1;
    o.watch = [&](int64_t done, int64_t) { first = first < 0 ? done : first; };
    CHECK(extract_features(o) == 0);
    CHECK(first == 9);  // six were done
    CHECK(get_file(o.out) == want);
    CHECK(!std::filesystem::exists(partial));

    // killed within a record, at every place: whole records stay
    for (size_t cut = 0; cut < kept.size(); cut += 37) {
        put_file(partial, kept.substr(0, cut));
        std::filesystem::remove(o.out);
        CHECK(extract_features(o) == 0);
        CHECK(get_file(o.out) == want);
    }
    // other settings are refused by name, or thrown away
    put_file(partial, kept);
    o.framing = "stretch";
    CHECK(has(error_of([&] { extract_features(o); }), "preprocessing"));
    CHECK(get_file(partial) == kept);
    o.resume = false;
    CHECK(extract_features(o) == 0);
    put_file(partial, "some other file\n");
    o.resume = true;
    CHECK(has(error_of([&] { extract_features(o); }), "did not write"));
}

TEST_CASE("what cannot be is refused before anything is computed") {
    ExtractFolder folder;
    const auto refused = [&](auto change) {
        ExtractOptions o = folder.options;
        o.watch = [](int64_t, int64_t) { FAIL("a batch was computed"); };
        change(o);
        const std::string text = error_of([&] { extract_features(o); });
        CHECK(!std::filesystem::exists(o.out));
        CHECK(!std::filesystem::exists(o.out + ".partial"));
        return text;
    };
    CHECK(has(refused([](ExtractOptions& o) { o.image_size = 18; }), "near are 16 and 20"));
    CHECK(has(refused([](ExtractOptions& o) { o.image_size = 16, o.image_width = 3; }), "multiple"));
    CHECK(has(refused([](ExtractOptions& o) { o.layers = "4"; }), "at most the 3 blocks"));
    CHECK(has(refused([](ExtractOptions& o) { o.layers = "1,3"; }), "block 3"));
    CHECK(has(refused([](ExtractOptions& o) { o.layers = "-4,"; }), "block -4"));
    CHECK(has(refused([](ExtractOptions& o) { o.layers = "last"; }), "'last'"));
    CHECK(has(refused([](ExtractOptions& o) { o.layers = ""; }), "''"));
    CHECK(has(refused([](ExtractOptions& o) { o.framing = "fit", o.patch_tokens = true; }), "fit"));
    CHECK(has(refused([](ExtractOptions& o) { o.framing = "fit", o.image_size = 16, o.image_width = 20; }),
              "fit"));
    CHECK(has(refused([](ExtractOptions& o) { o.resize = 20; }), "--resize"));
    CHECK(has(refused([](ExtractOptions& o) { o.out = "features.txt"; }), ".npy"));
    CHECK(has(refused([&](ExtractOptions& o) { o.out = o.checkpoint + "/f.npy"; }), "cannot create folder"));
    CHECK(has(refused([](ExtractOptions& o) { o.data += "/none"; }), "no such file"));
    CHECK(has(refused([](ExtractOptions& o) {
                  o.split = "nothing";
                  o.data += "/cat/0.png";
              }),
              "--split"));
    std::filesystem::create_directories(folder / "f.json");
    CHECK(has(refused([&](ExtractOptions& o) { o.out = folder / "f.npy"; }), "a folder is in the way"));
}
