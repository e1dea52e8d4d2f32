#include "models/grad_scaler.h"

#include <doctest/doctest.h>

#include "ops/operators.h"
#include "ops/sum/sum.h"
#include "runtime/random.h"

namespace demi::test {

TEST_CASE("grad_scaler follows PyTorch's rules on a random sequence of overflows") {
    GradScalerOptions options;
    options.growth_interval = 7;
    GradScaler scaler(options);
    Generator g{11};
    float scale = 65536;
    int64_t good = 0;
    for (int step = 0; step < 10000; ++step) {
        const bool overflow = g.next_uniform() < 0.12f;
        CHECK(scaler.update(overflow) == overflow);
        if (overflow) {
            scale = std::max(scale * 0.5f, 1.0f);
            good = 0;
        } else if (++good == 7) {
            scale = std::min(scale * 2, 16777216.0f);
            good = 0;
        }
        REQUIRE(scaler.scale() == double(scale));
    }
}

TEST_CASE("grad_scaler stays between floor and cap and counts skips") {
    GradScaler scaler;
    for (int i = 0; i < 40; ++i) scaler.update(true);
    CHECK(scaler.scale() == 1);
    CHECK(scaler.skipped_in_a_row() == 40);
    scaler.update(false);
    CHECK(scaler.skipped_in_a_row() == 0);
    CHECK(scaler.skipped() == 40);
    GradScalerOptions fast;
    fast.growth_interval = 1;
    GradScaler growing(fast);
    for (int i = 0; i < 40; ++i) growing.update(false);
    CHECK(growing.scale() == 16777216);
}

TEST_CASE("grad_scaler multiplies the gradients, and its state survives saving") {
    Variable x(Tensor::full({3}, 2), true);
    GradScaler scaler;
    scaler.backward(sum(x * 3.0));
    CHECK(x.grad().to_vector<float>() == std::vector<float>(3, 3 * 65536.0f));
    scaler.update(true);
    scaler.update(false);
    GradScaler other;
    other.load(scaler.state());
    CHECK(other.scale() == scaler.scale());
    CHECK(other.state() == scaler.state());
    CHECK_THROWS_WITH_AS(other.load({}), "[checkpoint] metadata has no 'scaler.scale'", Error);
    GradScalerOptions off;
    off.enabled = false;
    CHECK(GradScaler(off).scale() == 1);
}

}  // namespace demi::test
