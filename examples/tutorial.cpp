// demi in ten minutes: tensors, variables, gradients, a small network, an operator of your own, and the fp16
// boundary. Every claim is checked while the program runs.
#include <cmath>
#include <cstdio>

#include "autograd/grad_mode.h"
#include "autograd/print.h"
#include "autograd/record.h"
#include "models/layers.h"
#include "models/optimizer.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/elementwise/functions.h"
#include "ops/matmul/matmul.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "ops/scaled_index_add/scaled_index_add.h"
#include "runtime/copy.h"
#include "runtime/random.h"

using namespace demi;

static void expect(bool claim, const char* text) {
    std::printf("  %s %s\n", claim ? "ok:" : "NOT TRUE:", text);
    if (!claim) throw Error("tutorial", text);
}

// 1. A Tensor is typed memory on a device: shape, strides, dtype. Copies and views share the memory.
static void tensors() {
    std::puts("1. tensors");
    Tensor x = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
    Tensor column = x.slice(1, 0, 1);  // a view
    fill(column, 10);                  // writes through to x
    expect(x.to_vector<float>()[3] == 10, "a view writes to the same memory");
    expect(x.transpose(0, 1).shape() == Shape({3, 2}), "transpose only swaps strides");
    Tensor half = x.to(DType::f16);  // rounds to nearest even
    expect(half.dtype() == DType::f16 && half.to(DType::f32).to_vector<float>()[1] == 2,
           "small integers survive fp16");
    try {
        (void)x.view({4, 2});
    } catch (const Error& error) {
        std::printf("  an error says what was needed: %s\n", error.what());
    }
}

// 2. A Variable is a Tensor that remembers how it was made. backward() fills the gradients of the leaves.
static void gradients() {
    std::puts("2. gradients");
    Variable w(Tensor::from(std::vector<double>{1, 2, 3}, {3}), true);
    Variable loss = sum(w * w * 0.5);  // d loss / d w = w
    std::printf("%s", graph_text(loss).c_str());
    loss.backward();
    expect(w.grad().to_vector<double>() == w.value().to_vector<double>(), "the gradient of |w|^2 / 2 is w");
    {
        NoGrad off;
        expect(!(w * 2.0).requires_grad(), "nothing is recorded under NoGrad");
    }
}

// 3. A network is a plain struct that lists its parameters.
struct TwoLayers {
    Linear first, second;
    explicit TwoLayers(Generator& g) : first(2, 16, true, g, 0.5), second(16, 2, true, g, 0.5) {}
    Variable forward(const Variable& x) const { return second.forward(gelu(first.forward(x))); }
    void visit(const std::string& prefix, const ParameterVisitor& fn) {
        first.visit(prefix + "first.", fn);
        second.visit(prefix + "second.", fn);
    }
};

static void training() {
    std::puts("3. training: is a point inside the unit circle?");
    Generator g{7};
    TwoLayers net(g);
    Tensor points = Tensor::empty({256, 2});
    uniform(points, g, -1.5, 1.5);
    std::vector<int64_t> inside;
    const std::vector<float> p = points.to_vector<float>();
    for (size_t i = 0; i < 256; ++i) inside.push_back(std::hypot(p[2 * i], p[2 * i + 1]) < 1);
    const Tensor labels = Tensor::from(inside, {256});

    const NamedParameters parameters = parameters_of(net);
    Optimizer optimizer(parameters, parameter_options(parameters, {}));
    double first = 0, last = 0;
    for (int step = 0; step < 300; ++step) {
        Variable loss = cross_entropy(net.forward(points), labels);
        loss.backward();
        optimizer.step({.lr = 0.02});
        optimizer.zero_grad();
        (step == 0 ? first : last) = loss.item();
    }
    std::printf("  loss %.3f -> %.3f\n", first, last);
    expect(last < 0.1 * first, "three hundred steps are enough");
}

// 4. An operator of your own: compute the value, then record how to go back. The lambda captures Tensors.
static Variable cube(const Variable& x) {
    const Tensor value = (Variable(x.value()) * Variable(x.value()) * Variable(x.value())).value();
    return record("cube", {x}, value, [saved = Saved(x)](const Tensor& dy, const Needs&) -> Tensors {
        const Variable v(saved.get());
        return {(Variable(dy) * v * v * 3.0).value()};
    });
}

static void own_op() {
    std::puts("4. an operator of your own");
    Variable x(Tensor::full({4}, 2, DType::f64), true);
    sum(cube(x)).backward();
    expect(x.grad().to_vector<double>()[0] == 12, "d x^3 / dx = 3 x^2 = 12 at 2");
}

// 5. The boundary: an operator that computes on fp16 operands inside an f32 model, and what it sees.
static void boundary() {
    std::puts("5. the fp16 boundary");
    const Tensor x = Tensor::full({2, 1, 8}, 1.0), update = Tensor::full({1, 1, 8}, 1.0);
    const Tensor gamma = Tensor::full({8}, 1e-5), row = Tensor::arange(1);
    Boundary strict, wide;
    strict.site = "strict";
    wide.site = "wide";
    wide.mode = BoundaryMode::wide;
    const Variable a = scaled_index_add(x, row, update, gamma, 1, strict);
    const Variable b = scaled_index_add(x, row, update, gamma, 1, wide);
    expect(a.value().to_vector<float>()[0] == 1.0f,
           "strict: 1 + 1e-5 rounds to 1 in fp16, the update is lost");
    expect(b.value().to_vector<float>()[0] > 1.0f, "wide: the sum lands in f32, the update survives");
    std::printf("%s", boundary_report().c_str());
}

int main() {
    try {
        tensors();
        gradients();
        training();
        own_op();
        boundary();
    } catch (const Error& error) {
        std::fprintf(stderr, "tutorial: %s\n", error.what());
        return 1;
    }
    std::puts("done");
    return 0;
}
