// --init-from: training that goes on from weights.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "examples/common/metrics.h"
#include "examples/train/selfsupervised.h"
#include "examples/train/supervised.h"
#include "tests/examples/start.h"
#include "tests/support/compare.h"

using namespace demi;
using namespace demi::examples;
using namespace demi::test;

TEST_CASE("fine-tuning starts on larger pictures where training ended") {
    TemporaryFolder folder;
    TrainOptions o;
    o.dim = 32;
    o.depth = 2;
    o.heads = 2;
    o.batch = 32;
    o.lr = 3e-3;
    o.image_size = 16;
    o.train_images = 1600;
    o.test_images = 1000;
    o.steps = 250;
    o.tensorboard = false;
    o.out = folder / "small";
    const auto score = [&](int64_t step) {
        for (const Record& r : read_metrics(o.out + "/metrics.jsonl"))
            if (r.find("test_accuracy") && r.number("step") == static_cast<double>(step))
                return r.number("test_accuracy");
        return -1.0;
    };
    CHECK(train_supervised(o, {}) == 0);
    const double end = score(250);
    CHECK(end > 0.25);  // of ten classes
    TrainOptions larger = o;
    larger.init_from = o.out + "/model.safetensors";
    larger.image_size = 24;
    larger.steps = 1;
    o.out = larger.out = folder / "large";
    CHECK(train_supervised(larger, {}) == 0);
    CHECK(std::abs(score(0) - end) < 0.02);
}

TEST_CASE("weights of DINOv3 are fine-tuned in every precision, and what is frozen stays") {
    TemporaryFolder folder;
    ViTConfig c = small();
    c.num_register_tokens = 2;
    c.num_heads = 2;  // of 12 elements: rope needs a multiple of four
    c.norm_eps = 1e-5;
    c.rope.emplace();
    c.mask_k_bias = c.drop_path_subsets = true;
    Start start(c);
    for (const auto& [precision, boundary] : {std::pair{"f32", "off"}, {"bf16", "wide"}, {"f16", "strict"}}) {
        TrainOptions o = start.options;
        o.precision = precision;
        o.boundary = boundary;
        o.freeze = "1";
        o.batch = 16;
        o.train_images = o.test_images = 32;
        o.steps = 2;
        o.lr = 1e-3;
        o.overwrite = true;
        o.tensorboard = false;
        CHECK(train_supervised(o, {}) == 0);
        const Pretrained made(o.out + "/model.safetensors");
        CHECK(made.config().dinov3);
        CHECK(made.config().mask_k_bias);
        CHECK(made.config().norm_eps == 1e-5);
        CHECK(made.config().classes.size() == 10);
        for (const auto& [name, tensor] : start.tensors())
            if (!name.starts_with("head.") && name != "mask_token")
                CHECK((same_bits(made.file().load(name), tensor) == "") ==
                      !(name.starts_with("blocks.1.") || name.starts_with("blocks.2.") ||
                        name.starts_with("norm.")));
    }
}

TEST_CASE("self-supervised training goes on from a backbone, which waits until new heads have learnt") {
    Start start;
    NamedTensors backbone = start.tensors();
    std::erase_if(backbone, [](const auto& entry) { return entry.first.starts_with("head."); });
    start.write(backbone);
    TrainOptions o = start.options;
    o.lr = -1;
    o.batch = 16;
    o.train_images = o.test_images = 32;
    o.prototypes = 16;
    o.head_hidden = 16;
    o.bottleneck = 8;
    o.warmup_heads = 2;
    o.linear_probe = o.tensorboard = false;
    o.overwrite = true;
    const auto moved = [&](int64_t steps,
                           const char* part) {  // the largest change of the backbone, of the heads
        o.steps = steps;
        CHECK(train_selfsupervised(o, {}) == 0);
        const SafetensorsFile file(o.out + "/checkpoint.safetensors");
        double change = 0;
        for (const auto& [name, tensor] : backbone) {
            const Tensor now = file.load(std::string(part) + name);
            const std::vector<float> a = now.to_vector<float>(), b = tensor.to_vector<float>();
            for (size_t i = 0; i < a.size(); ++i)
                change = std::max(change, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
        }
        return change;
    };
    CHECK(moved(2, "student.backbone.") == 0);
    CHECK(moved(2, "backbone.") < 1e-6);  // an average of equal numbers rounds
    CHECK(moved(4, "student.backbone.") > 1e-5);
    // With heads of these sizes in the file nothing waits.
    o.init_from = start.folder / "whole.safetensors";
    std::filesystem::copy_file(o.out + "/teacher.safetensors", o.init_from);
    backbone.clear();
    const SafetensorsFile whole(o.init_from);
    for (const std::string& name : whole.names())
        if (name.starts_with("backbone.")) backbone.emplace_back(name.substr(9), whole.load(name));
    o.warmup_heads = -1;
    CHECK(moved(1, "student.backbone.") > 1e-6);
}
