// What is done with every operator behind the fp16 boundary: see crossing.h.
#include "tests/bits/crossing.h"

namespace demi::bits {

static Hash ledger() {
    Hash hash;
    for (const BoundaryRow& row : boundary_counters()) {
        for (const std::string_view part : {std::string_view(row.site), std::string_view(row.op),
                                            name(row.direction), std::string_view(row.operand)})
            hash.text(part);
        const CastCounters& c = row.counters;
        for (const int64_t count : {row.calls, c.elements, c.to_inf, c.nan, c.to_zero, c.subnormal,
                                    int64_t{row.min_exponent}, int64_t{row.max_exponent}})
            hash.word(static_cast<uint64_t>(count));
        hash.number(c.amax);
    }
    hash.text(boundary_report());
    return hash;
}

void run_crossing(const Crossing& c, const DTypes& dtypes, Layout layout, const Boundary& boundary,
                  const std::string& how, int input) {
    static const char* kLaid[] = {"plain", "transposed", "stepped", "expanded"};
    const std::string name = c.detail + "/" + text(dtypes) + "/" + text(c.shapes) + "/" +
                             kLaid[static_cast<int>(layout)] + "/" + how;
    if (small_only() && elements(c.shapes) > 12000) return;
    run(c.op, name, [&] {
        reset_boundary_counters();
        Vars leaves;
        for (size_t i = 0; i < c.shapes.size(); ++i)
            leaves.emplace_back(
                draw(i + 1, c.shapes[i], dtypes[dtypes.size() == 1 ? 0 : i], c.numbers, layout),
                input < 0 || input == static_cast<int>(i));
        Results results;
        try {
            results = with_gradients(leaves, [&] { return c.fn(leaves, boundary); }, {layout, c.gradients});
        } catch (const Error& error) {
            results = {{"error", {}}};
            results[0].second.text(error.what());
        }
        results.emplace_back("ledger", ledger());
        return results;
    });
}

std::vector<std::pair<std::string, Boundary>> modes() {
    std::vector<std::pair<std::string, Boundary>> all;
    for (const BoundaryMode mode : {BoundaryMode::strict, BoundaryMode::wide, BoundaryMode::off})
        for (const bool explicit_casts : {false, true}) {
            Boundary b;
            b.mode = mode;
            b.explicit_casts = explicit_casts;
            b.site = "here";
            all.emplace_back(std::string(name(mode)) + (explicit_casts ? "_explicit" : ""), b);
        }
    return all;
}

void run_layouts(const Crossing& c, const std::vector<DTypes>& mixed) {
    for (const auto& [how, boundary] : modes()) {
        for (const DType dtype : kFloats)
            for (const Layout layout : {Layout::plain, Layout::stepped, Layout::transposed, Layout::expanded})
                if (layout == Layout::plain || !boundary.explicit_casts)
                    run_crossing(c, {dtype}, layout, boundary, how);
        for (const DTypes& dtypes : mixed) run_crossing(c, dtypes, Layout::plain, boundary, how);
    }
}

// The usual numbers, and some that fp16 does not hold.
static std::vector<std::pair<std::string, Crossing>> ranges(const Crossing& c) {
    std::vector<std::pair<std::string, Crossing>> all(5, {"usual", c});
    all[1].first = "special";
    all[1].second.numbers.special = all[1].second.gradients.special = true;
    all[2].first = "large";
    all[2].second.numbers = {-90000, 90000};
    all[2].second.gradients = {-1e6, 1e6};
    all[3].first = "small";
    all[3].second.numbers = {-1e-6, 1e-6};
    all[3].second.gradients = {-1e-7, 1e-7};
    all[4].first = "large_gradients";
    all[4].second.gradients = {-1e6, 1e6};
    return all;
}

void run_scales(const Crossing& c) {
    const std::pair<const char*, GradScale> scales[] = {{"none", GradScale::none()},
                                                        {"automatic", GradScale::automatic()},
                                                        {"fixed_10", GradScale::fixed(10)},
                                                        {"fixed_-20", GradScale::fixed(-20)}};
    const std::pair<const char*, OverflowPolicy> policies[] = {{"propagate", OverflowPolicy::propagate},
                                                               {"saturate", OverflowPolicy::saturate},
                                                               {"error", OverflowPolicy::error}};
    for (auto [how, boundary] : modes())
        for (const auto& [scale_name, scale] : scales)
            for (const auto& [policy_name, policy] : policies) {
                if (boundary.mode == BoundaryMode::off && scale.exponent == 0) continue;
                boundary.grad_scale = scale;
                boundary.overflow = policy;
                for (const auto& [range, with] : ranges(c))
                    for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
                        run_crossing(with, {dtype}, Layout::plain, boundary,
                                     how + "/" + scale_name + "/" + policy_name + "/" + range);
            }
    for (auto [how, boundary] : modes()) {
        boundary.grad_scale = GradScale::automatic();
        for (const Layout layout : {Layout::stepped, Layout::transposed, Layout::expanded})
            run_crossing(c, {DType::f32}, layout, boundary, how + "/automatic");
        for (const DType first : {DType::f32, DType::bf16, DType::f64}) {
            DTypes mixed{first};
            while (mixed.size() < c.shapes.size()) mixed.push_back(kFloats[(mixed.size() + 2) % 4]);
            run_crossing(c, mixed, Layout::plain, boundary, how + "/automatic");
        }
        for (size_t i = 0; i < c.shapes.size(); ++i)
            for (const DType dtype : {DType::f32, DType::bf16})
                run_crossing(c, {dtype}, Layout::plain, boundary, how + "/only_d" + std::to_string(i),
                             static_cast<int>(i));
    }
    Boundary silent;
    silent.count = false;
    run_crossing(c, {DType::f32}, Layout::plain, silent, "strict/uncounted");
    set_boundary_counting(false);
    run_crossing(c, {DType::f32}, Layout::plain, {}, "strict/uncounted_anywhere");
    set_boundary_counting(true);
}

}  // namespace demi::bits
