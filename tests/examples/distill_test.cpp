// --distill: what a run makes of a teacher's file.
#include "examples/train/distill.h"

#include <doctest/doctest.h>

#include "examples/train/selfsupervised.h"
#include "examples/train/ssl_options.h"
#include "models/dino_head.h"
#include "tests/examples/extract_support.h"
#include "tests/support/check_error.h"

using namespace demi;
using namespace demi::examples;
using namespace demi::test;

namespace {

TrainOptions run_options(const ExtractFolder& folder) {
    TrainOptions o;
    o.more = &self_supervised_options;
    o.data = folder / "pictures";
    o.image_size = 16;
    o.patch = 8;
    o.dim = 8;
    o.depth = 1;
    o.heads = 2;
    o.batch = 4;
    o.steps = 2;
    o.lr = -1;
    o.local_crops = 1;
    o.prototypes = o.head_hidden = o.bottleneck = 4;
    o.linear_probe = o.tensorboard = false;
    o.distill = folder / "model.safetensors";
    o.out = folder / "run";
    return o;
}

void add_heads(const std::string& path, int64_t prototypes, bool ibot) {
    const SafetensorsFile file(path);
    NamedTensors all;
    for (const std::string& name : file.names()) all.emplace_back(name, file.load(name));
    Generator g{1};
    DINOHead head({8, prototypes, 6, 5, 2}, g);
    for (const char* name : {"dino_head.", "ibot_head."})
        if (ibot || name[0] == 'd')
            for (const auto& [n, p] : parameters_of(head, name)) all.emplace_back(n, p.value());
    const Metadata metadata = file.metadata();
    write_safetensors(path + "2", all, metadata);
    std::filesystem::rename(path + "2", path);
}

}  // namespace

TEST_CASE("the options take what the teacher's heads are; without heads its features are matched") {
    ExtractFolder folder;
    TrainOptions o = run_options(folder);
    data::ChannelStats stats;
    stats.std = {0.5f, 0.25f, 0.25f};
    stats.mean = {0.5f, 0.75f, 0.5f};
    auto teacher = open_teacher(o, stats, 3);
    REQUIRE(teacher.has_value());
    CHECK(!teacher->has_heads());
    CHECK(o.prototypes == 4);
    CHECK(teacher->scale == std::vector<float>{2, 1, 1});  // the file says 0.5 and 0.25
    CHECK(teacher->shift == std::vector<float>{0, 1, 0});
    CHECK(open_teacher(o, {}, 3)->scale.empty());
    CHECK(has(error_of([&] { open_teacher(o, {}, 1); }), "3 channels"));

    add_heads(o.distill, 9, true);
    o.ibot_weight = 1;
    CHECK(open_teacher(o, stats, 3)->has_heads());
    CHECK(o.prototypes == 9);
    CHECK(o.ibot_head);
    o.distill.clear();
    CHECK(!open_teacher(o, stats, 3).has_value());
}

TEST_CASE("a run with a teacher trains, and goes on with no other teacher") {
    for (const bool heads : {false, true}) {
        ExtractFolder folder;
        TrainOptions o = run_options(folder);
        if (heads) add_heads(o.distill, 9, false);
        o.ibot_weight = 0.5;
        CHECK(train_selfsupervised(o, {}) == 0);
        const SafetensorsFile file(o.out + "/teacher.safetensors");
        CHECK(file.contains("feature_head.weight") != heads);
        if (heads) CHECK(file.info("dino_head.last_layer.weight_v").shape == Shape({9, 4}));
        CHECK(has(get_file(o.out + "/config.json"), "\"distill\""));
        CHECK(has(get_file(o.out + "/metrics.jsonl"), "dino_local"));
        TrainOptions again = o;
        again.resume = "yes";
        CHECK(train_selfsupervised(again, {}) == 0);
        Generator g{12};
        DinoVisionTransformer model(small_vit(), g);
        NamedTensors all = state_dict(parameters_of(model));
        std::filesystem::remove(o.distill);
        write_safetensors(o.distill, all, model_metadata("test", small_vit(), {}));
        if (heads) add_heads(o.distill, 9, false);
        CHECK(has(error_of([&] { train_selfsupervised(again, {}); }),
                  "not the teacher that the run began with"));
    }
}
