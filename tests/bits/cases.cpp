// Inputs of the cases, and what is done with every op: see bits.h.
#include <cmath>
#include <sstream>

#include "autograd/grad_mode.h"
#include "autograd/record.h"
#include "tests/bits/bits.h"

namespace demi::bits {

static uint64_t mix(uint64_t seed, uint64_t i) {  // splitmix64
    uint64_t z = seed * 0xd1342543de82ef95u + (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double value(uint64_t seed, uint64_t i, const Numbers& numbers) {
    static const double kSpecial[] = {NAN,    INFINITY, -INFINITY, 0.0,    -0.0,   65504,   65519.9,
                                      65520,  -65536,   6.1e-5,    5.9e-8, 2.9e-8, 1e-40,   -3e-45,
                                      3.3e38, -3.4e38,  0x1p-14,   1.0,    -1.0,   0x1p-133};
    const uint64_t bits = mix(seed, i);
    if (numbers.special && bits % 19 == 0) return kSpecial[bits / 19 % std::size(kSpecial)];
    return numbers.low + (numbers.high - numbers.low) * (static_cast<double>(bits >> 11) * 0x1p-53);
}

Tensor on_device(const Tensor& tensor) { return tensor.to(device()); }

static Tensor typed(const std::vector<double>& values, const Shape& shape, DType dtype) {
    std::vector<double> v = values;
    if (!is_float(dtype))
        for (double& x : v) x = std::floor(dtype == DType::u8 ? std::fabs(x) : x);
    return on_device(Tensor::from(v, shape).to(dtype));
}

// The same values in every other element of rows that begin one later.
static Tensor stepped(const std::vector<double>& values, const Shape& shape, DType dtype) {
    const int64_t width = shape.rank() == 0 ? 1 : shape.back(), room = 2 * width + 3;
    const int64_t rows = width == 0 ? 0 : static_cast<int64_t>(values.size()) / width;
    std::vector<double> memory(static_cast<size_t>(rows * room), 77);
    for (size_t i = 0; i < values.size(); ++i)
        memory[i / static_cast<size_t>(width) * static_cast<size_t>(room) + 1 +
               2 * (i % static_cast<size_t>(width))] = values[i];
    Shape wide = shape.rank() == 0 ? Shape{1} : shape;
    wide[wide.rank() - 1] = room;
    if (width == 0 || rows == 0) return typed(values, shape, dtype);
    const Tensor view = typed(memory, wide, dtype).slice(-1, 1, 2 * width, 2);
    return shape.rank() == 0 ? view.squeeze(0) : view;
}

Tensor draw(uint64_t seed, const Shape& shape, DType dtype, const Numbers& numbers, Layout layout) {
    Shape stored = shape;
    if (layout == Layout::expanded)
        for (int d = 0; d < shape.rank(); ++d)
            if (shape[d] > 1) {
                stored[d] = 1;
                break;
            }
    std::vector<double> values(static_cast<size_t>(stored.numel()));
    for (size_t i = 0; i < values.size(); ++i) values[i] = value(seed, i, numbers);
    if (layout == Layout::stepped) return stepped(values, shape, dtype);
    const Tensor t = typed(values, stored, dtype);
    if (layout == Layout::expanded) return t.expand(shape);
    if (layout == Layout::plain || shape.rank() < 2) return t;
    std::vector<int> reversed;
    for (int d = shape.rank() - 1; d >= 0; --d) reversed.push_back(d);
    return t.permute(reversed).contiguous().permute(reversed);
}

Tensor integers(uint64_t seed, int64_t count, int64_t below, DType dtype) {
    return draw(seed, {count}, dtype, {0, static_cast<double>(below)});
}

// Gives each of `values` its gradient, all in one sweep.
static void sweep(const Vars& values, const Tensors& gradients) {
    if (values.size() == 1) return values[0].backward(gradients[0]);
    record("bits", values, Tensor::zeros({1}, DType::f32, device()), [&](const Tensor&, const Needs&) {
        return gradients;
    }).backward();
}

Results with_gradients(const Vars& leaves, const std::function<Vars()>& fn, const Gradients& how) {
    Results results{{"y", {}}, {"grad", {}}};
    Vars differentiable;
    Tensors gradients;
    const Vars outputs = fn();
    for (size_t i = 0; i < outputs.size(); ++i) {
        results[0].second.tensor(outputs[i].value());
        if (!outputs[i].requires_grad() || (how.only >= 0 && how.only != static_cast<int>(i))) continue;
        differentiable.push_back(outputs[i]);
        gradients.push_back(draw(1000 + i, outputs[i].shape(), outputs[i].dtype(), how.numbers, how.layout));
    }
    if (differentiable.empty()) return {results[0]};
    sweep(differentiable, gradients);
    for (const Variable& leaf : leaves)
        if (leaf.requires_grad()) results[1].second.tensor(leaf.grad());
    return results;
}

int64_t elements(const Shapes& shapes) {
    int64_t count = 0;
    for (const Shape& shape : shapes) count += shape.numel();
    return count;
}

std::string text(const Shapes& shapes) {
    std::ostringstream out;
    for (size_t i = 0; i < shapes.size(); ++i) {
        out << (i == 0 ? "" : ",") << (shapes[i].rank() == 0 ? "scalar" : "");
        for (int d = 0; d < shapes[i].rank(); ++d) out << (d == 0 ? "" : "x") << shapes[i][d];
    }
    return out.str();
}

std::string text(const DTypes& dtypes) {
    std::string all;
    for (const DType dtype : dtypes) all += (all.empty() ? "" : ",") + std::string(name(dtype));
    return all;
}

namespace {

struct Variant {
    std::string name;
    Layout layout = Layout::plain;
    bool special = false, graph = true;
    int input = -1, output = -1;  // the only one with a gradient
};

void run_variant(const OpCase& c, const Shapes& shapes, const DTypes& dtypes, const Variant& v) {
    const std::string name =
        (c.detail.empty() ? "" : c.detail + "/") + text(dtypes) + "/" + text(shapes) + "/" + v.name;
    run(c.op, name, [&] {
        Vars leaves;
        Numbers numbers = c.numbers;
        numbers.special = v.special;
        for (size_t i = 0; i < shapes.size(); ++i) {
            const DType dtype = dtypes[dtypes.size() == 1 ? 0 : i];
            const bool grad = v.graph && is_float(dtype) && (v.input < 0 || v.input == static_cast<int>(i));
            leaves.emplace_back(draw(i + 1, shapes[i], dtype, numbers, v.layout), grad);
        }
        return with_gradients(leaves, [&] { return c.fn(leaves); }, {v.layout, {-1, 1, v.special}, v.output});
    });
}

void run_layouts(const OpCase& c, const Shapes& shapes, const DTypes& dtypes) {
    bool matrix = false, vector = false;
    for (const Shape& shape : shapes) {
        matrix = matrix || shape.rank() > 1;
        vector = vector || shape.numel() > 1;
    }
    run_variant(c, shapes, dtypes, {"plain"});
    run_variant(c, shapes, dtypes, {"stepped", Layout::stepped});
    if (matrix) run_variant(c, shapes, dtypes, {"transposed", Layout::transposed});
    if (vector) run_variant(c, shapes, dtypes, {"expanded", Layout::expanded});
}

}  // namespace

void run(const OpCase& c) {
    for (const Shapes& shapes : c.shapes) {
        if (small_only() && elements(shapes) > 3000) continue;
        for (const DType dtype : c.alike) {
            run_layouts(c, shapes, {dtype});
            run_variant(c, shapes, {dtype}, {"special", Layout::plain, true});
            run_variant(c, shapes, {dtype}, {"no_graph", Layout::plain, false, false});
            for (int i = 0; shapes.size() > 1 && i < static_cast<int>(shapes.size()); ++i)
                run_variant(c, shapes, {dtype},
                            {"only_d" + std::to_string(i), Layout::plain, false, true, i});
            for (int i = 0; c.outputs > 1 && i < c.outputs; ++i)
                run_variant(c, shapes, {dtype},
                            {"only_y" + std::to_string(i), Layout::plain, false, true, -1, i});
        }
        if (&shapes == &c.shapes.front())
            for (const DTypes& dtypes : c.mixed) run_layouts(c, shapes, dtypes);
    }
}

}  // namespace demi::bits
