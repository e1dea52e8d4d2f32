// Trainers whose steps are CUDA graphs, against the same steps taken as they are: every file, byte for byte.
#include <doctest/doctest.h>

#include <utility>

#include "examples/common/metrics.h"
#include "examples/train/common.h"
#include "examples/train/selfsupervised.h"
#include "examples/train/supervised.h"
#include "tests/support/check_error.h"
#include "tests/support/skip.h"
#include "tests/support/temporary.h"

using namespace demi;
using namespace demi::examples;
using namespace demi::test;

namespace {

#define DEMI_NEEDS_GPU \
    if (device_count(DeviceType::cuda) == 0) DEMI_SKIP("on the CPU nothing is captured")

using Train = int (*)(TrainOptions, const Communicator&);

// Everything that moves from step to step: rates, decay, stochastic depth by rows.
TrainOptions small_run() {
    TrainOptions o;
    o.device = "cuda";
    o.grad_scale = "none";
    o.dim = 16;
    o.depth = o.heads = 1;
    o.batch = 4;
    o.image_size = 8;
    o.train_images = 12;
    o.test_images = 4;
    o.steps = 7;
    o.lr = 1e-2;
    o.warmup = 0.2;
    o.drop_path = 0.3;
    o.layer_scale = 0.5;
    o.log_every = 3;
    o.tensorboard = false;
    o.overwrite = true;
    return o;
}

TrainOptions small_ssl_run() {
    TrainOptions o = small_run();
    o.local_crops = 2;
    o.prototypes = o.head_hidden = 16;
    o.bottleneck = 8;
    o.eval_every = 4;
    o.eval_images = 10;
    o.linear_probe = false;
    return o;
}

struct Files {
    std::string metrics, checkpoint;
    bool operator==(const Files&) const = default;
};

Files run(Train train, TrainOptions o, const std::string& out, bool graph, bool captured) {
    o.out = out;
    o.graph = graph;
    CHECK(train(o, {}) == 0);
    CHECK(has(get_file(out + "/report.html"), kNotCounted) == captured);
    return {get_file(out + "/metrics.jsonl"), get_file(out + "/checkpoint.safetensors")};
}

Files same_run(Train train, const TrainOptions& o, bool captured = true) {
    TemporaryFolder folder;
    const Files plain = run(train, o, folder / "plain", false, false),
                graph = run(train, o, folder / "graph", true, captured);
    CHECK(graph.metrics == plain.metrics);
    CHECK(graph.checkpoint == plain.checkpoint);
    return graph;
}

// A run that ends after four steps and goes on.
Files broken_run(Train train, TrainOptions o, const std::string& out, bool graph) {
    const int64_t all = std::exchange(o.steps, 4);
    run(train, o, out, graph, graph);
    o.steps = all;
    o.overwrite = false;
    o.resume = "yes";
    return run(train, o, out, graph, graph);
}

}  // namespace

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

TEST_CASE("captured training: self-supervised with schedules of temperature and momentum") {
    DEMI_NEEDS_GPU;
    same_run(train_selfsupervised, small_ssl_run());
}

TEST_CASE("captured training: self-supervised in f16 with masked patches and steps that overflow") {
    DEMI_NEEDS_GPU;
    TrainOptions o = small_ssl_run();
    o.precision = "f16";
    o.ibot_weight = 1;
    const Files files = same_run(train_selfsupervised, o);
    CHECK(has(files.metrics, "\"skipped\": true"));
}

TEST_CASE("captured training: self-supervised and continued in the middle") {
    DEMI_NEEDS_GPU;
    TemporaryFolder folder;
    const TrainOptions o = small_ssl_run();
    CHECK(broken_run(train_selfsupervised, o, folder / "graph", true) ==
          broken_run(train_selfsupervised, o, folder / "plain", false));
}

TEST_CASE("captured training: what cannot be captured runs as it is") {
    DEMI_NEEDS_GPU;
    TrainOptions o = small_run();
    o.steps = 3;
    o.grad_scale = "auto";
    same_run(train_supervised, o, false);
    o = small_ssl_run();
    o.steps = 3;
    o.centering = "centering";
    same_run(train_selfsupervised, o, false);
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
