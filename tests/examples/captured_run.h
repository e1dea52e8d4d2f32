#pragma once
// Trainers whose steps are CUDA graphs, against the same steps taken as they are: every file, byte for byte.
#include <doctest/doctest.h>

#include <utility>

#include "examples/train/common.h"
#include "tests/support/check_error.h"
#include "tests/support/skip.h"
#include "tests/support/temporary.h"

namespace demi::test {
using namespace examples;

#define DEMI_NEEDS_GPU \
    if (device_count(DeviceType::cuda) == 0) DEMI_SKIP("on the CPU nothing is captured")

using Train = int (*)(TrainOptions, const Communicator&);

// Everything that moves from step to step: rates, decay, stochastic depth by rows.
inline TrainOptions small_run() {
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

struct Files {
    std::string metrics, checkpoint;
    bool operator==(const Files&) const = default;
};

inline Files run(Train train, TrainOptions o, const std::string& out, bool graph, bool captured) {
    o.out = out;
    o.graph = graph;
    CHECK(train(o, {}) == 0);
    CHECK(has(get_file(out + "/report.html"), kNotCounted) == captured);
    return {get_file(out + "/metrics.jsonl"), get_file(out + "/checkpoint.safetensors")};
}

inline Files same_run(Train train, const TrainOptions& o, bool captured = true) {
    TemporaryFolder folder;
    const Files plain = run(train, o, folder / "plain", false, false),
                graph = run(train, o, folder / "graph", true, captured);
    CHECK(graph.metrics == plain.metrics);
    CHECK(graph.checkpoint == plain.checkpoint);
    return graph;
}

// A run that ends after four steps and goes on.
inline Files broken_run(Train train, TrainOptions o, const std::string& out, bool graph) {
    const int64_t all = std::exchange(o.steps, 4);
    run(train, o, out, graph, graph);
    o.steps = all;
    o.overwrite = false;
    o.resume = "yes";
    return run(train, o, out, graph, graph);
}

}  // namespace demi::test
