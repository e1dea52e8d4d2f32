// Captured steps of supervised training.
#include "examples/train/supervised.h"
#include "tests/examples/captured_run.h"

using namespace demi;
using namespace demi::examples;
using namespace demi::test;

TEST_CASE("captured training: supervised with an average and mixed targets") {
    DEMI_NEEDS_GPU;
    TrainOptions o = small_run();
    o.ema = 0.9;
    o.mixup = 0.5;
    same_run(train_supervised, o);
}

TEST_CASE("captured training: supervised in f16 with steps that overflow") {
    DEMI_NEEDS_GPU;
    TrainOptions o = small_run();
    o.precision = "f16";
    o.ema = 0.9;
    o.lr = 3;
    o.warmup = 0;
    const Files files = same_run(train_supervised, o);
    CHECK(has(files.metrics, "\"skipped\": true"));
    CHECK(has(files.metrics, "\"skipped\": false"));
}

TEST_CASE("captured training: steps that are skipped move no average") {
    DEMI_NEEDS_GPU;
    TrainOptions o = small_run();
    TemporaryFolder folder;
    o.precision = "f16";
    o.ema = 0.9;
    o.lr = 100;  // the first step spoils all that follow
    o.warmup = 0;
    const auto averages = [&](int64_t steps) {
        o.steps = steps;
        o.out = folder / "run";
        CHECK(train_supervised(o, {}) == 1);
        const SafetensorsFile file(o.out + "/checkpoint.safetensors");
        std::vector<float> all;
        for (const std::string& name : file.names())
            if (name.starts_with("ema."))
                for (const float x : file.load(name).to_vector<float>()) all.push_back(x);
        return all;
    };
    const std::vector<float> once = averages(2);
    CHECK(once.size() > 1000);
    CHECK(averages(5) == once);
}

TEST_CASE("captured training: supervised and continued in the middle") {
    DEMI_NEEDS_GPU;
    TrainOptions o = small_run();
    TemporaryFolder folder;
    o.precision = "f16";
    o.ema = 0.9;
    o.min_lr = o.lr;  // rates that do not depend on the run's length
    o.warmup = 0;
    const Files whole = run(train_supervised, o, folder / "whole", false, false);
    CHECK(broken_run(train_supervised, o, folder / "broken", true).checkpoint == whole.checkpoint);
}

TEST_CASE("captured training: what cannot be captured runs as it is") {
    DEMI_NEEDS_GPU;
    TrainOptions o = small_run();
    o.steps = 3;
    o.grad_scale = "auto";
    same_run(train_supervised, o, false);
}

TEST_CASE("captured training: a gradient that is not finite ends the run at its step") {
    DEMI_NEEDS_GPU;
    TrainOptions o = small_run();
    TemporaryFolder folder;
    o.out = folder / "run";
    o.lr = 100;
    o.warmup = 0;
    o.clip_grad = 0;
    o.optimizer = "sgd";
    o.log_every = 100;
    std::string errors[2];
    for (const bool graph : {false, true}) {
        o.graph = graph;
        errors[graph] = error_of([&] { train_supervised(o, {}); });
    }
    CHECK(has(errors[0], "[train] the gradient is not finite at step "));
    CHECK(errors[1] == errors[0]);
}
