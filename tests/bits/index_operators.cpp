// Cases of index_select_cat, scaled_index_add, and of what the boundary says about itself.
#include "tests/bits/crossing.h"

namespace demi::bits {

static void select_cat() {
    for (const DType index : {DType::i64, DType::i32}) {
        const auto fn = [index](const Vars& x, const Boundary& boundary) -> Vars {
            std::vector<Tensor> lists;
            for (size_t i = 0; i < x.size(); ++i)
                lists.push_back(
                    integers(i, x[i].size(0) == 0 || i == 2 ? 0 : x[i].size(0) + 2, x[i].size(0), index));
            return {index_select_cat(x, lists, boundary)};
        };
        const std::string detail(name(index));
        run_layouts({"index_select_cat", detail, {{5, 7}, {1, 33}, {4, 8}, {9, 1}}, fn},
                    {{DType::f32, DType::f16, DType::bf16, DType::f64},
                     {DType::f16, DType::f32, DType::f32, DType::bf16},
                     {DType::f64, DType::f32, DType::f16, DType::bf16}});
        run_layouts({"index_select_cat", detail, {{40, 1300}}, fn});
        if (index == DType::i64) run_scales({"index_select_cat", detail, {{5, 70}, {3, 33}}, fn});
    }
}

static void index_add() {
    for (const char* kind : {"distinct", "repeated", "none"}) {
        const std::string list = kind;
        const auto fn = [list](const Vars& x, const Boundary& boundary) -> Vars {
            const int64_t rows = x[1].size(0), batch = x[0].size(0);
            Tensor index = integers(6, rows, batch, list == "none" ? DType::i32 : DType::i64);
            if (list == "distinct") {
                Generator generator{3};
                std::vector<int64_t> order = generator.permutation(batch);
                order.resize(static_cast<size_t>(rows));
                index = on_device(Tensor::from(order, {rows}));
            }
            const Variable scaling = x.size() > 2 ? x[2] : Variable();
            Vars y{scaled_index_add(x[0], index, x[1], scaling, 1.7f, boundary)};
            const Tensor in_place = x[0].value().clone();
            scaled_index_add_(in_place, index, x[1].value(), scaling.value(), 1.7f, boundary);
            y.push_back(in_place);
            return y;
        };
        const int64_t rows = list == "none" ? 0 : list == "distinct" ? 3 : 9;
        run_layouts({"scaled_index_add", list, {{5, 3, 7}, {rows, 3, 7}, {7}}, fn},
                    {{DType::f32, DType::f16, DType::bf16},
                     {DType::f16, DType::f32, DType::f32},
                     {DType::bf16, DType::f16, DType::f64},
                     {DType::f64, DType::f32, DType::f16}});
        if (list == "none") continue;
        run_layouts({"scaled_index_add", list + "_unscaled", {{5, 1, 40}, {rows, 1, 40}}, fn});
        run_layouts({"scaled_index_add", list, {{6, 17, 192}, {rows, 17, 192}, {192}}, fn});
        run_scales({"scaled_index_add", list, {{5, 2, 33}, {rows, 2, 33}, {33}}, fn});
    }
}

// More than 16 MiB: written past the caches.
static void large() {
    if (small_only()) return;
    run_crossing({"index_select_cat",
                  "large",
                  {{4400, 1000}},
                  [](const Vars& x, const Boundary& boundary) -> Vars {
                      return {index_select_cat(x, {integers(1, 4300, 4400)}, boundary)};
                  }},
                 {DType::f32}, Layout::plain, {}, "strict");
    run_crossing({"scaled_index_add",
                  "large",
                  {{70, 63, 1000}, {69, 63, 1000}, {1000}},
                  [](const Vars& x, const Boundary& boundary) -> Vars {
                      return {scaled_index_add(x[0], integers(1, 69, 70), x[1], x[2], 0.3f, boundary)};
                  }},
                 {DType::f32}, Layout::plain, {}, "strict");
}

void index_cases() {
    run("boundary", "names_and_scales", [] {
        Hash hash;
        for (const char* text : {"strict", "wide", "off"}) hash.text(name(parse_boundary_mode(text)));
        for (const GradScale scale :
             {GradScale::none(), GradScale::automatic(), GradScale::fixed(10), GradScale::fixed(-140)})
            for (const double bound : {0.0, 1e-45, 1e-30, 1e-7, 0.3, 1.0, 8191.0, 65519.0, 1e30, 3e38})
                hash.word(static_cast<uint64_t>(scale.choose(bound)));
        return Results{{"y", hash}};
    });
    select_cat();
    index_add();
    large();
}

}  // namespace demi::bits
