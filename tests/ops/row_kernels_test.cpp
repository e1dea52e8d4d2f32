// What only the GPU's row kernels tell apart: whole 16-byte packs or not, a warp or a block to a row, rows
// longer than registers hold, memory off a 16-byte line. The device against the CPU.
#include <doctest/doctest.h>

#include "ops/cross_entropy/cross_entropy.h"
#include "ops/elementwise/functions.h"
#include "ops/l2_normalize/l2_normalize.h"
#include "ops/layer_scale/layer_scale.h"
#include "ops/layernorm/layernorm.h"
#include "ops/softmax/softmax.h"
#include "ops/swiglu/swiglu.h"
#include "runtime/copy.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/env.h"
#include "tests/support/gradcheck.h"
#include "tests/support/skip.h"

namespace demi::test {
namespace {

Tensor draw(const Shape& shape, DType dtype, uint64_t seed) {
    Generator generator{seed};
    Tensor x = Tensor::empty(shape, DType::f64);
    uniform(x, generator, -2, 2);
    return x.to(dtype);
}

// On the device; shifted: contiguous, but one element off the start of its memory.
Tensor placed(const Tensor& x, bool shifted) {
    if (!shifted) return x.to(test_device());
    const Tensor room = Tensor::empty({x.numel() + 1}, x.dtype(), test_device());
    Tensor there = room.slice(0, 1, x.numel() + 1).view(x.shape());
    copy(there, x);
    return there;
}

struct Outcome {
    Tensor value;
    std::vector<Tensor> grads;
};

Outcome run(const OpFunction& fn, const std::vector<Tensor>& inputs, const Tensor& dy, bool device,
            bool shifted) {
    Vars leaves;
    for (const Tensor& x : inputs) leaves.emplace_back(device ? placed(x, shifted) : x, is_float(x.dtype()));
    Variable y = fn(leaves)[0];
    y.backward(device ? placed(dy, shifted) : dy);
    Outcome out{y.value(), {}};
    for (const Variable& x : leaves) out.grads.push_back(x.grad());
    return out;
}

void check_device(const OpFunction& fn, const std::vector<Tensor>& inputs, const Shape& result, DType dtype,
                  double factor = 4) {
    const Tensor dy = draw(result, dtype, 99);
    const Outcome want = run(fn, inputs, dy, false, false);
    Outcome again;  // in the other order of an emulated GPU's threads
    for (bool shifted : {false, true}) {
        CAPTURE(shifted);
        const Outcome got = run(fn, inputs, dy, true, shifted);
        if (!shifted) again = run(fn, inputs, dy, true, false);
        CHECK(compare(got.value, want.value, rounding_of(dtype, factor)) == "");
        CHECK(same_bits(got.value, again.value) == "");
        for (size_t i = 0; i < inputs.size(); ++i) {
            if (!is_float(inputs[i].dtype())) continue;
            CAPTURE(i);
            CHECK(compare(got.grads[i], want.grads[i], rounding_of(dtype, 8 * factor)) == "");
            CHECK(same_bits(got.grads[i], again.grads[i]) == "");
        }
    }
}

std::vector<Shape> row_shapes() {
    std::vector<Shape> shapes{{5, 8}, {40, 48}, {3, 384}, {2, 1040}, {17, 7}, {1, 8203}};
    if (!quick()) shapes.insert(shapes.end(), {{70, 48}, {2, 1024}, {37, 7}, {3, 8192}, {2, 8200}});
    return shapes;
}

template <class F> void for_all(F&& fn) {
    static Sample taken(5);  // goes on from one test to the next
    for (const Shape& shape : row_shapes())
        for (DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64}) {
            if (!taken()) continue;
            INFO("shape ", shape[0], " x ", shape[1], ", ", name(dtype));
            fn(shape, dtype, draw(shape, dtype, 1));
        }
}

#define DEMI_NEEDS_GPU \
    if (test_device().is_cpu()) DEMI_SKIP("compares a GPU with the CPU")

}  // namespace

TEST_CASE("row kernels: softmax and log_softmax") {
    DEMI_NEEDS_GPU;
    for_all([](const Shape& shape, DType dtype, const Tensor& x) {
        check_device([](const Vars& v) { return softmax(v[0]); }, {x}, shape, dtype);
        check_device([](const Vars& v) { return log_softmax(v[0]); }, {x}, shape, dtype);
    });
}

TEST_CASE("row kernels: layernorm") {
    DEMI_NEEDS_GPU;
    for_all([](const Shape& shape, DType dtype, const Tensor& x) {
        const DType compute = dtype == DType::f64 ? DType::f64 : DType::f32;
        const Tensor weight = draw({shape[1]}, compute, 2), bias = draw({shape[1]}, compute, 3);
        check_device([](const Vars& v) { return layernorm(v[0], v[1], v[2]); }, {x, weight, bias}, shape,
                     dtype, 16);
        check_device([](const Vars& v) { return layernorm(v[0]); }, {x}, shape, dtype, 16);
        check_device([](const Vars& v) { return add_layernorm(v[0], v[1], v[2], v[3])[1]; },
                     {x, draw(shape, dtype, 4), weight, bias}, shape, dtype, 16);
        if (is_half(dtype))
            check_device([dtype](const Vars& v) { return layernorm_as(v[0], dtype, v[1], v[2]); },
                         {draw(shape, DType::f32, 1), weight, bias}, shape, dtype, 16);
    });
}

TEST_CASE("row kernels: l2_normalize and layer_scale") {
    DEMI_NEEDS_GPU;
    for_all([](const Shape& shape, DType dtype, const Tensor& x) {
        const DType compute = dtype == DType::f64 ? DType::f64 : DType::f32;
        const Tensor gamma = draw({shape[1]}, compute, 2), more = draw(shape, dtype, 3);
        check_device([](const Vars& v) { return l2_normalize(v[0]); }, {x}, shape, dtype);
        check_device([](const Vars& v) { return layer_scale(v[0], v[1]); }, {x, gamma}, shape, dtype);
        check_device([](const Vars& v) { return layer_scale_add(v[2], v[0], v[1]); }, {x, gamma, more}, shape,
                     dtype);
    });
}

TEST_CASE("row kernels: cross_entropy") {
    DEMI_NEEDS_GPU;
    for_all([](const Shape& shape, DType dtype, const Tensor& x) {
        const DType compute = dtype == DType::f64 ? DType::f64 : DType::f32;
        std::vector<int64_t> labels;
        for (int64_t i = 0; i < shape[0]; ++i) labels.push_back(i * 31 % shape[1]);
        CrossEntropyOptions options{.label_smoothing = 0.1, .ignore_index = 31, .reduction = Reduction::none};
        const auto fn = [=](const Vars& v) { return cross_entropy(v[0], v[1], options); };
        const Tensor at = Tensor::from(labels, {shape[0]}), dy = draw({shape[0]}, compute, 5);
        const Outcome want = run(fn, {x, at}, dy, false, false), got = run(fn, {x, at}, dy, true, false);
        CHECK(compare(got.value, want.value, rounding_of(compute, 16)) == "");
        CHECK(compare(got.grads[0], want.grads[0], rounding_of(dtype, 16)) == "");
        Tensor target = softmax(draw(shape, compute, 6)).value();
        const auto soft = [=](const Vars& v) {
            return cross_entropy(v[0], v[1], {.label_smoothing = 0.1, .reduction = Reduction::none});
        };
        const Outcome want2 = run(soft, {x, target}, dy, false, false),
                      got2 = run(soft, {x, target}, dy, true, true);
        CHECK(compare(got2.value, want2.value, rounding_of(compute, 32)) == "");
        CHECK(compare(got2.grads[0], want2.grads[0], rounding_of(dtype, 16)) == "");
        CHECK(compare(got2.grads[1], want2.grads[1], rounding_of(compute, 16)) == "");
    });
}

TEST_CASE("row kernels: activations and swiglu") {
    DEMI_NEEDS_GPU;
    for_all([](const Shape& shape, DType dtype, const Tensor& x) {
        check_device([](const Vars& v) { return gelu(v[0]); }, {x}, shape, dtype);
        check_device([](const Vars& v) { return silu(v[0]); }, {x}, shape, dtype);
        check_device([](const Vars& v) { return relu(v[0]); }, {x}, shape, dtype);
        const Shape half{shape[0], shape[1] / 2};
        if (shape[1] % 2 == 0) check_device([](const Vars& v) { return swiglu(v[0]); }, {x}, half, dtype);
    });
}

}  // namespace demi::test
