// recompute() of real ops: what they read besides Variables, and random numbers in captured steps.
#include "autograd/recompute.h"

#include <doctest/doctest.h>

#include "ops/cross_entropy/cross_entropy.h"
#include "ops/dropout/dropout.h"
#include "ops/elementwise/functions.h"
#include "ops/elementwise/where.h"
#include "ops/index/gather.h"
#include "ops/index/index_select.h"
#include "ops/index_select_cat/index_select_cat.h"
#include "ops/linear/linear.h"
#include "ops/memory_efficient_attention/memory_efficient_attention.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "ops/scaled_index_add/scaled_index_add.h"
#include "ops/views/views.h"
#include "runtime/captured_step.h"
#include "runtime/copy.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/skip.h"

namespace demi::test {
namespace {

using Vars = std::vector<Variable>;

}  // namespace

TEST_CASE("recompute: row numbers, labels, masks and biases that changed since are refused") {
    const Variable x(drawn({2, 3}, 1).to(test_device()), true);
    for (const DType dtype : {DType::i32, DType::i64}) {
        const Tensor rows = Tensor::zeros({2}, dtype, test_device()),
                     labels = Tensor::zeros({2}, DType::i64, test_device()),
                     places = Tensor::zeros({2, 3}, dtype, test_device()),
                     mask = Tensor::zeros({2, 3}, DType::boolean, test_device()),
                     bias = drawn({1, 1, 2, 2}, 2).to(test_device());
        const auto attention = [&](const Vars& in) {
            const Variable q = reshape(in[0], {1, 2, 1, 3});
            return sum(memory_efficient_attention(q, q, q, AttentionBias(bias)));
        };
        const std::vector<std::pair<Tensor, std::function<Variable(const Vars&)>>> cases{
            {rows, [&](const Vars& in) { return sum(index_select(in[0], 0, rows)); }},
            {places, [&](const Vars& in) { return sum(gather(in[0], 1, places)); }},
            {rows, [&](const Vars& in) { return sum(index_select_cat({in[0]}, {rows})); }},
            {rows,
             [&](const Vars& in) {
                 const Variable y = reshape(in[0], {2, 1, 3});
                 return sum(scaled_index_add(y, rows, y, Variable()));
             }},
            {labels, [&](const Vars& in) { return cross_entropy(in[0], labels); }},
            {mask, [&](const Vars& in) { return sum(where(mask, in[0], in[0] * 2.0)); }},
            {mask, [&](const Vars& in) { return sum(masked_fill(in[0], mask, 1)); }},
            {bias, attention},
        };
        for (size_t i = 0; i < cases.size(); ++i) {
            CAPTURE(i);
            const auto& [captured, fn] = cases[i];
            const Variable same = recompute(fn, {x}), y = recompute(fn, {x});
            CHECK(error_of([&] { same.backward(); }) == "");
            fill(captured, 1);
            CHECK(has(
                error_of([&] { y.backward(); }),
                "[recompute] backward: [saved] a tensor that the recomputed function reads was modified"));
        }
    }
}

TEST_CASE("recompute: a small layer has the values and gradients of the same layer as it is") {
    const Variable x(drawn({5, 8}, 1).to(test_device()), true), w(drawn({8, 8}, 2).to(test_device()), true),
        b(drawn({8}, 3).to(test_device()), true);
    const Tensor dy = drawn({5, 8}, 4).to(test_device());
    Tensor plain[4], again[4];
    for (Tensor* out : {plain, again}) {
        Generator g{7};
        const auto layer = [&](const Vars& in) { return in[0] + dropout(gelu(linear(in[0], w, b)), 0.3, g); };
        const auto fn = [&](const Vars& in) { return out == plain ? layer(in) : recompute(layer, in, &g); };
        const Variable y = fn({fn({x})});
        const Tensors grads = grad({y}, {x, w, b}, {dy});
        out[0] = y.value();
        std::copy(grads.begin(), grads.end(), out + 1);
    }
    for (int i = 0; i < 4; ++i) CHECK(same_bits(again[i], plain[i]) == "");
}

TEST_CASE("recompute in a captured step draws its numbers twice, and others in each replay") {
    if (test_device().is_cpu()) DEMI_SKIP("on the CPU nothing is captured");
    const Variable x(drawn({40}, 1).to(test_device()), true);
    Generator one{9}, two{9};
    Tensor got;
    const auto run = [&](Generator& g) {
        const auto layer = [&](const Vars& in) { return dropout(in[0], 0.5, g) * in[0]; };
        const Variable y = recompute(layer, {dropout(x, 0.1, g)}, &g);
        const Tensor dx = grad({sum(y)}, {x})[0];
        (void)dropout(x, 0.5, g);  // the generator stands where the forward pass left it
        return dx;
    };
    CapturedStep step(
        test_device(), [&] { got = run(one); }, 1);
    Tensor before;
    for (int i = 0; i < 4; ++i) {
        step();
        const Tensor want = run(two);
        CHECK(same_bits(got, want) == "");
        CHECK(one == two);
        if (before.defined()) CHECK(same_bits(want, before) != "");
        before = want;
    }
}

}  // namespace demi::test
