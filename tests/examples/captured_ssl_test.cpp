// Captured steps of self-supervised training.
#include "examples/train/selfsupervised.h"
#include "tests/examples/captured_run.h"

using namespace demi;
using namespace demi::examples;
using namespace demi::test;

static TrainOptions small_ssl_run() {
    TrainOptions o = small_run();
    o.local_crops = 2;
    o.prototypes = o.head_hidden = 16;
    o.bottleneck = 8;
    o.eval_every = 4;
    o.eval_images = 10;
    o.linear_probe = false;
    return o;
}

TEST_CASE("captured training: self-supervised with schedules of temperature and momentum") {
    DEMI_NEEDS_GPU;
    TrainOptions o = small_ssl_run();
    o.steps = o.eval_every = 10;
    o.teacher_temp_start = 0.3;
    o.teacher_temp = 0.05;
    o.teacher_momentum = 0.5;
    same_run(train_selfsupervised, o);
}

TEST_CASE("captured training: self-supervised in f16 with masked patches and steps that overflow") {
    DEMI_NEEDS_GPU;
    TrainOptions o = small_ssl_run();
    o.precision = "f16";
    o.patch = 2;  // room for masks
    o.ibot_weight = 1;
    o.eval_every = 7;
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

TEST_CASE("captured training: self-supervised with centers that move runs as it is") {
    DEMI_NEEDS_GPU;
    TrainOptions o = small_ssl_run();
    o.steps = 3;
    o.centering = "centering";
    same_run(train_selfsupervised, o, false);
}
