#include "tests/support/op_case.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <sstream>

#include "autograd/grad_mode.h"
#include "runtime/copy.h"
#include "runtime/parallel.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/env.h"

namespace demi::test {
namespace {

// An emulated GPU takes more than that once and in f32 only, and not at all when in a hurry.
constexpr int64_t kManyElements = 20000;

struct Result {
    std::vector<Tensor> values, grads;
};

// Forward, and backward with weights that depend on the outputs' shapes only.
Result run_op(const OpCase& c, const std::vector<Tensor>& inputs, int weight_kind = -1) {
    Vars leaves;
    for (const Tensor& x : inputs) leaves.emplace_back(x, c.gradients);
    const Vars outputs = c.fn(leaves);
    Result result;
    for (const Variable& y : outputs) result.values.push_back(y.value());
    if (!c.gradients) return result;
    std::vector<Tensor> weights = random_weights(outputs, 11);
    if (weight_kind >= 0)
        for (Tensor& w : weights)
            if (w.defined()) w = strided_like(w, weight_kind);
    const Variable loss = weighted_sum(outputs, weights);
    if (loss.requires_grad()) loss.backward();
    for (const Variable& x : leaves) {
        Tensor grad = x.grad();
        if (!grad.defined()) grad = Tensor::zeros(x.shape(), x.dtype(), x.device());
        result.grads.push_back(grad);
    }
    return result;
}

std::vector<Tensor> draw(const OpCase& c, const std::vector<Shape>& shapes) {
    Generator generator{17};
    Arrays arrays;
    for (size_t n = 0; n < shapes.size(); ++n) {
        const Range range = n < c.ranges.size() ? c.ranges[n] : c.range;
        Tensor x = Tensor::empty(shapes[n], DType::f64);
        uniform(x, generator, range.low, range.high);
        arrays.emplace_back(x);
    }
    if (c.prepare) c.prepare(arrays);
    std::vector<Tensor> inputs;
    for (const Array& a : arrays) inputs.push_back(a.tensor());
    return inputs;
}

std::vector<Tensor> cast_all(const std::vector<Tensor>& inputs, DType dtype, Device device = Device::cpu()) {
    std::vector<Tensor> out;
    for (const Tensor& x : inputs) out.push_back(x.to(dtype).to(device));
    return out;
}

void check_same_bits(const Result& got, const Result& want) {
    for (size_t k = 0; k < want.values.size(); ++k) {
        CAPTURE(k);
        CHECK(same_bits(got.values[k], want.values[k]) == "");
    }
    for (size_t n = 0; n < want.grads.size(); ++n) {
        CAPTURE(n);
        CHECK(same_bits(got.grads[n], want.grads[n]) == "");
    }
}

void check_close(const OpCase& c, DType dtype, const Result& got, const Result& want) {
    for (size_t k = 0; k < want.values.size(); ++k) {
        CAPTURE(k);
        CHECK(compare(got.values[k], want.values[k], rounding_of(dtype, c.factor)) == "");
    }
    for (size_t n = 0; n < want.grads.size(); ++n) {
        CAPTURE(n);
        CHECK(compare(got.grads[n], want.grads[n], rounding_of(dtype, c.grad_factor)) == "");
    }
}

void check_value(const OpCase& c, DType dtype, const std::vector<Tensor>& inputs, const Result& result) {
    Arrays arrays;
    for (const Tensor& x : inputs) arrays.emplace_back(x);
    const Arrays want = c.reference(arrays);
    REQUIRE(result.values.size() == want.size());
    for (size_t k = 0; k < want.size(); ++k) {
        CAPTURE(k);
        CHECK(result.values[k].dtype() == (k < c.output_dtypes.size() ? c.output_dtypes[k] : dtype));
        CHECK(compare(result.values[k], want[k].tensor(), rounding_of(dtype, c.factor)) == "");
    }
}

void check_gradients(const OpCase& c, DType dtype, const std::vector<Tensor>& inputs, const Result& result) {
    if (!c.gradients) return;
    for (size_t n = 0; n < inputs.size(); ++n) CHECK(result.grads[n].dtype() == dtype);
    if (dtype == DType::f64) {
        GradcheckOptions options = c.gradcheck;
        if (quick()) options.max_elements = std::min<int64_t>(options.max_elements, 20);
        int64_t elements = 0;
        for (const Tensor& x : inputs) elements += x.numel();
        if (elements > 0) CHECK(gradcheck(c.fn, inputs, options) == "");
        return;
    }
    // The same rounded inputs and weights in f64, which differences vouch for.
    Vars leaves;
    for (const Tensor& x : cast_all(inputs, DType::f64)) leaves.emplace_back(x, true);
    const Vars outputs = c.fn(leaves);
    Vars same_dtype;
    for (const Tensor& y : result.values) same_dtype.emplace_back(y);
    std::vector<Tensor> weights = random_weights(same_dtype, 11);
    for (size_t k = 0; k < weights.size(); ++k)
        if (weights[k].defined()) weights[k] = weights[k].to(outputs[k].dtype());
    const Variable loss = weighted_sum(outputs, weights);
    if (loss.requires_grad()) loss.backward();
    for (size_t n = 0; n < inputs.size(); ++n) {
        CAPTURE(n);
        const Tensor want = leaves[n].grad();
        if (want.defined()) CHECK(compare(result.grads[n], want, rounding_of(dtype, c.grad_factor)) == "");
    }
}

void check_layout(const OpCase& c, DType dtype, const Result& got, const Result& contiguous) {
    if (c.exact_strides && !(c.products && real_gpu()))
        check_same_bits(got, contiguous);
    else
        check_close(c, dtype, got, contiguous);
}

// Values that are constant along the first dimension can come in with stride 0 there.
void check_expanded(const OpCase& c, DType dtype, std::vector<Tensor> inputs) {
    std::vector<Tensor> plain;
    for (Tensor& x : inputs) {
        if (x.rank() > 0 && x.size(0) > 1) x = x.slice(0, 0, 1).contiguous().expand(x.shape());
        plain.push_back(x.clone());
    }
    INFO("expanded");
    const Result want = run_op(c, plain), got = run_op(c, inputs);
    check_layout(c, dtype, got, want);
}

void check_strides(const OpCase& c, DType dtype, const std::vector<Tensor>& inputs,
                   const Result& contiguous) {
    for (int kind = 0; kind < 2; ++kind) {
        CAPTURE(kind);
        std::vector<Tensor> strided;
        for (const Tensor& x : inputs) strided.push_back(strided_like(x, kind));
        const Result got = run_op(c, strided, kind);
        check_layout(c, dtype, got, contiguous);
    }
    if (!c.prepare) check_expanded(c, dtype, inputs);
}

void check_threads(const OpCase& c, const std::vector<Tensor>& inputs, const Result& result) {
    const int before = num_threads();
    for (int threads = 1; threads <= 3; ++threads) {
        CAPTURE(threads);
        set_num_threads(threads);
        check_same_bits(run_op(c, inputs), result);
    }
    set_num_threads(before);
}

// Two runs on the device must agree bit for bit; an emulated GPU takes its threads in the
// opposite order for the second.
void check_device(const OpCase& c, DType dtype, const std::vector<Tensor>& inputs, const Result& on_cpu) {
    INFO("on ", name(test_device()), " against the CPU");
    const std::vector<Tensor> here = cast_all(inputs, dtype, test_device());
    setenv("DEMI_GPU_EMULATION_ORDER", "ascending", 1);
    const Result first = run_op(c, here);
    int64_t elements = 0;
    for (const Tensor& x : inputs) elements += x.numel();
    if (emulated() && elements > kManyElements) {
        unsetenv("DEMI_GPU_EMULATION_ORDER");
        return check_close(c, dtype, first, on_cpu);
    }
    setenv("DEMI_GPU_EMULATION_ORDER", "descending", 1);
    const Result second = run_op(c, here);
    unsetenv("DEMI_GPU_EMULATION_ORDER");
    for (const Tensor& y : first.values) CHECK(y.device() == test_device());
    for (const Tensor& g : first.grads) CHECK(g.device() == test_device());
    check_close(c, dtype, first, on_cpu);
    check_same_bits(second, first);
    check_strides(c, dtype, here, first);
}

bool too_many(DType dtype, const std::vector<Tensor>& inputs) {
    int64_t elements = 0;
    for (const Tensor& x : inputs) elements += x.numel();
    return emulated() && elements > kManyElements && (dtype != DType::f32 || quick());
}

void check_one(const OpCase& c, DType dtype, const std::vector<Tensor>& inputs) {
    if (too_many(dtype, inputs)) return;
    const Result result = run_op(c, inputs);
    if (!test_device().is_cpu()) return check_device(c, dtype, inputs, result);
    check_value(c, dtype, inputs, result);
    check_gradients(c, dtype, inputs, result);
    check_strides(c, dtype, inputs, result);
    if (dtype == c.dtypes.front()) check_threads(c, inputs, result);
}

}  // namespace

Tensor strided_like(const Tensor& t, int kind) {
    if (t.rank() == 0 || t.numel() == 0) return t;
    Tensor view;
    if (kind == 0 && t.rank() > 1) {
        Shape swapped = t.shape();
        std::swap(swapped[0], swapped[t.rank() - 1]);
        view = Tensor::empty(swapped, t.dtype(), t.device()).transpose(0, -1);
    } else {
        Shape wide = t.shape();
        wide[t.rank() - 1] = 2 * wide[t.rank() - 1] + 3;
        view = Tensor::full(wide, 9, t.dtype(), t.device()).slice(-1, 3, wide.back(), 2);
    }
    copy(view, t);
    return view;
}

void check_op(const OpCase& c) {
    CAPTURE(c.op);
    for (size_t s = 0; s < c.shapes.size(); ++s) {
        std::ostringstream shapes;
        for (const Shape& shape : c.shapes[s]) shapes << shape << ' ';
        INFO("shapes ", shapes.str());
        const std::vector<Tensor> drawn = draw(c, c.shapes[s]);
        for (DType dtype : c.dtypes) {
            INFO("dtype ", name(dtype));
            check_one(c, dtype, cast_all(drawn, dtype));
        }
    }
}

}  // namespace demi::test
