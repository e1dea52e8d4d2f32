// Random cases of both index operators: every mode, dtype, policy, scale, layout and list. Each is computed
// with fused and with explicit casts (the same bits, the same counts) and against a reference in double.
// DEMI_FUZZ_SECONDS: how long (default 40); DEMI_FUZZ_SEED: start, or repeat, there.
#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <sstream>

#include "ops/index_select_cat/index_select_cat.h"
#include "ops/scaled_index_add/scaled_index_add.h"
#include "tests/ops/counters.h"
#include "tests/ops/index_support.h"
#include "tests/support/array.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/env.h"

namespace demi::test {
namespace {

constexpr DType kFloats[] = {DType::f32, DType::bf16, DType::f16, DType::f64};

struct Case {
    Generator random;
    std::ostringstream said;  // what the case is, for the report
    Boundary boundary;
    bool tame = false;  // no infinities, no NaN: the reference in double can follow

    explicit Case(uint64_t seed) : random{seed} {
        boundary.mode =
            std::array{BoundaryMode::strict, BoundaryMode::wide, BoundaryMode::off}[random.next_below(3)];
        boundary.overflow = random.next_below(3) == 0 ? OverflowPolicy::saturate : OverflowPolicy::propagate;
        const uint32_t kind = random.next_below(3);
        if (kind == 1) boundary.grad_scale = GradScale::automatic();
        if (kind == 2) boundary.grad_scale = GradScale::fixed(static_cast<int>(random.next_below(60)) - 20);
        tame = random.next_below(2) == 0;
        said << "seed " << seed << " " << boundary.mode << " policy " << int(boundary.overflow) << " scale "
             << int(boundary.grad_scale.kind) << "," << boundary.grad_scale.exponent << (tame ? " tame" : "");
    }

    int64_t below(int64_t n) { return random.next_below(static_cast<uint32_t>(n)); }
    int64_t size() {
        return std::array<int64_t, 12>{1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 64, 100}[size_t(below(12))];
    }

    Tensor draw(const Shape& shape, DType dtype) {
        const uint32_t layout = random.next_below(6);
        const Tensor t = hard_numbers(shape, dtype, random, tame);
        said << " " << describe(t) << "/" << layout;
        return laid_out(t, layout);
    }
    Tensor draw_gradient(const Shape& shape, DType dtype) {
        if (below(8) == 0) {  // expanded, as sum() gives
            Shape one = shape;
            for (int i = 0; i < one.rank(); ++i) one[i] = 1;
            return draw(one, dtype).expand(shape);
        }
        return draw(shape, dtype);
    }
    Tensor draw_rows(int64_t count, int64_t rows) {
        std::vector<int64_t> list;
        for (int64_t i = 0; i < count; ++i) list.push_back(below(rows));
        said << " list";
        for (const int64_t r : list) said << " " << r;
        const Tensor t = rows_of(list);
        return below(4) == 0 ? t.to(DType::i32) : t;
    }
    DType dtype(DType first) {  // mostly all alike
        return below(4) == 0 ? kFloats[below(3)] : first;
    }
};

// What a function of some inputs gives: values, then gradients; and what the ledger then says.
struct Outcome {
    std::vector<Tensor> tensors;
    std::vector<BoundaryRow> rows;
};

template <class F>
Outcome outcome(F&& fn, const std::vector<Tensor>& inputs, const std::vector<bool>& needs, const Tensor& dy) {
    reset_boundary_counters();
    std::vector<Variable> x;
    for (size_t i = 0; i < inputs.size(); ++i) x.emplace_back(inputs[i], needs[i]);
    const Variable y = fn(x);
    Outcome out;
    out.tensors.push_back(y.value());
    if (y.requires_grad()) y.backward(dy);
    for (const Variable& v : x)
        if (v.requires_grad()) out.tensors.push_back(v.grad());
    out.rows = boundary_counters();
    return out;
}

std::vector<Tensor> on_cpu(const std::vector<Tensor>& tensors) {
    std::vector<Tensor> here;
    for (const Tensor& t : tensors) here.push_back(t.to(Device::cpu()));
    return here;
}

std::string differences(const Outcome& a, const Outcome& b) {
    for (size_t i = 0; i < a.tensors.size(); ++i) {
        // A GPU's arithmetic makes a NaN of its own.
        const std::string text =
            (test_device().is_cpu() ? same_bits : same_numbers)(a.tensors[i], b.tensors[i]);
        if (!text.empty()) return "they differ in tensor " + std::to_string(i) + ": " + text;
    }
    if (a.rows.size() != b.rows.size()) return "the ledgers differ in length";
    for (const BoundaryRow& x : a.rows) {
        bool found = false;
        for (const BoundaryRow& y : b.rows)
            found |= x.operand == y.operand && x.direction == y.direction &&
                     x.min_exponent == y.min_exponent && different(x.counters, y.counters).empty();
        if (!found) return "the ledgers differ in " + x.operand;
    }
    return "";
}

std::string beside_the_cpu(const Outcome& here, const Outcome& cpu) {
    const std::string text = differences(here, cpu);
    return text.empty() ? "" : "beside the CPU: " + text;
}
std::string beside_explicit(const Outcome& fused, const Outcome& casts) {
    const std::string text = differences(fused, casts);
    return text.empty() ? "" : "fused beside explicit: " + text;
}

// Half a step of the dtype at |x|, and the whole step at fp16 where the result goes through it.
double step_at(double x, DType dtype, bool through_half) {
    if (!std::isfinite(x)) return std::numeric_limits<double>::infinity();
    const auto step = [&](int digits, int lowest) {
        return std::ldexp(1.0, std::max(x == 0 ? lowest : std::ilogb(x) - digits + 1, lowest));
    };
    double all = dtype == DType::bf16 ? step(8, -133) : dtype == DType::f16 ? step(11, -24) : step(24, -149);
    if (through_half) all += step(11, -24);
    return all;
}

// x as it enters the fp16 kernel.
double entered(double x, const Boundary& boundary) {
    if (boundary.overflow == OverflowPolicy::saturate) x = std::clamp(x, -65504.0, 65504.0);
    return static_cast<double>(through_half(static_cast<float>(x)));
}

bool agree(double got, double want, double room) {
    return got == want || std::fabs(got - want) <= room || (std::isnan(got) && std::isnan(want));
}

std::string told(const char* what, int64_t i, double got, double want) {
    std::ostringstream text;
    text << what << " at " << i << ": " << got << ", expected " << want;
    return text.str();
}

std::string run_select(Case& c) {
    const size_t n = size_t(1 + c.below(3));
    const DType first = kFloats[c.below(4)];
    std::vector<Tensor> sources, lists;
    std::vector<bool> needs;
    int64_t total = 0;
    for (size_t i = 0; i < n; ++i) {
        const int64_t rows = 1 + c.below(6), uses = c.below(7);
        sources.push_back(c.draw({rows, c.size()}, i == 0 ? first : c.dtype(first)));
        lists.push_back(c.draw_rows(uses, rows));
        needs.push_back(c.below(4) > 0);
        total += uses * sources.back().size(1);
    }
    const Tensor dy = c.draw_gradient({total}, first);
    const auto with = [&](bool explicit_casts) {
        Boundary b = c.boundary;
        b.explicit_casts = explicit_casts;
        return outcome([&](const auto& x) { return index_select_cat(x, lists, b); }, sources, needs, dy);
    };
    const Outcome fused = with(false);
    if (std::string text = beside_explicit(fused, with(true)); !text.empty()) return text;
    if (!test_device().is_cpu()) {
        std::vector<Tensor> here;
        for (const Tensor& list : lists) here.push_back(list.to(Device::cpu()));
        const Outcome cpu = outcome([&](const auto& x) { return index_select_cat(x, here, c.boundary); },
                                    on_cpu(sources), needs, dy.to(Device::cpu()));
        if (std::string text = beside_the_cpu(fused, cpu); !text.empty()) return text;
    }
    if (!c.tame) return "";

    const bool strict = c.boundary.mode == BoundaryMode::strict && first != DType::f64;
    const auto half = [&](double v) { return strict ? entered(v, c.boundary) : v; };
    const GradScale scale = c.boundary.grad_scale;
    const bool coarse =
        strict && (scale.exponent < 0 || scale == GradScale::automatic());  // may be scaled down
    std::vector<double> want, g = dy.to_vector<double>();
    size_t next_grad = 1, at = 0;
    for (size_t i = 0; i < n; ++i) {
        const Array s(sources[i]);
        Array grad(s.shape), bound(s.shape);
        for (const int64_t row : lists[i].to_vector<int64_t>())
            for (int64_t d = 0; d < s.shape[1]; ++d, ++at) {
                want.push_back(half(s({row, d})));
                grad({row, d}) += g[at];
                bound({row, d}) += std::fabs(g[at]);
            }
        if (!needs[i]) continue;
        const Array got(fused.tensors[next_grad++]);
        for (int64_t j = 0; j < grad.numel(); ++j) {
            const double room = 3 * step_at(bound[j], sources[i].dtype(), strict) + 2e-7 * bound[j];
            const bool may_overflow = bound[j] > 65000 && (strict || sources[i].dtype() == DType::f16);
            if (!agree(got[j], grad[j], room) && !may_overflow && !coarse)
                return told("gradient", j, got[j], grad[j]);
        }
    }
    const std::string text = compare(fused.tensors[0], Tensor::from(want, {total}).to(first), {});
    return text.empty() ? "" : "value: " + text;
}

std::string run_add(Case& c) {
    const int64_t B = 1 + c.below(5), M = 1 + c.below(4), D = c.size(), uses = c.below(6);
    const DType first = kFloats[c.below(4)];
    const bool scaled = c.below(3) > 0;
    const float alpha = std::array{1.0f, 1 / 0.7f, -0.3f, 3.0f}[size_t(c.below(4))];
    std::vector<Tensor> inputs{c.draw({B, M, D}, first), c.draw({uses, M, D}, c.dtype(first))};
    if (scaled) inputs.push_back(c.draw({D}, c.dtype(first)));
    const Tensor list = c.draw_rows(uses, B), dy = c.draw_gradient({B, M, D}, first);
    std::vector<bool> needs;
    for (size_t i = 0; i < inputs.size(); ++i) needs.push_back(c.below(4) > 0);
    const auto with = [&](bool explicit_casts) {
        Boundary b = c.boundary;
        b.explicit_casts = explicit_casts;
        return outcome(
            [&](const auto& x) {
                return scaled_index_add(x[0], list, x[1], scaled ? x[2] : Variable(), alpha, b);
            },
            inputs, needs, dy);
    };
    const Outcome fused = with(false);
    if (std::string text = beside_explicit(fused, with(true)); !text.empty()) return text;
    if (!test_device().is_cpu()) {
        const Tensor here = list.to(Device::cpu());
        const Outcome cpu = outcome(
            [&](const auto& x) {
                return scaled_index_add(x[0], here, x[1], scaled ? x[2] : Variable(), alpha, c.boundary);
            },
            on_cpu(inputs), needs, dy.to(Device::cpu()));
        if (std::string text = beside_the_cpu(fused, cpu); !text.empty()) return text;
    }
    if (!c.tame) return "";

    // alpha * scaling * source in double, from operands as they enter; within a few f32
    // roundings and one of the result.
    const bool on = first != DType::f64 && c.boundary.mode != BoundaryMode::off;
    const bool strict = on && c.boundary.mode == BoundaryMode::strict;
    const auto half = [&](Array a, bool yes) {
        for (double& v : a.data) v = yes ? entered(v, c.boundary) : v;
        return a;
    };
    const Array x = half(Array(inputs[0]), strict), s = half(Array(inputs[1]), on);
    const Array f = scaled ? half(Array(inputs[2]), on) : Array({1}, 1);
    Array want = x, size = map(x, [](double v) { return std::fabs(v); });
    const std::vector<int64_t> rows = list.to_vector<int64_t>();
    for (size_t b = 0; b < rows.size(); ++b)
        for (int64_t m = 0; m < M; ++m)
            for (int64_t d = 0; d < D; ++d) {
                const double add = static_cast<double>(alpha) * f[scaled ? d : 0] * s({int64_t(b), m, d});
                want({rows[b], m, d}) += add;
                size({rows[b], m, d}) += std::fabs(add);
            }
    const Array got(fused.tensors[0]);
    for (int64_t i = 0; i < want.numel(); ++i) {
        const bool may_overflow = size[i] > 65000 && (strict || first == DType::f16);
        // 1e-39: alpha * scaling may be subnormal in f32
        const double room = step_at(size[i], first, strict) + 1e-6 * size[i] + 1e-39;
        if (!agree(got[i], want[i], room) && !may_overflow) return told("value", i, got[i], want[i]);
    }
    return "";
}

}  // namespace

TEST_CASE("random cases of the index operators") {
    const char* start = std::getenv("DEMI_FUZZ_SEED");
    const auto begin = std::chrono::steady_clock::now();
    const uint64_t first = start ? std::strtoull(start, nullptr, 10) : 1;
    uint64_t seed = first;
    for (; std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() < fuzz_seconds();
         ++seed) {
        Case c(seed);
        std::string wrong;
        try {
            wrong = c.below(2) ? run_select(c) : run_add(c);
        } catch (const std::exception& error) {
            wrong = error.what();
        }
        if (wrong.empty()) continue;
        FAIL("DEMI_FUZZ_SEED=" << seed << ": " << wrong << "\n  " << c.said.str());
    }
    reset_boundary_counters();
    MESSAGE(std::to_string(seed - first), " random cases");
}

}  // namespace demi::test
