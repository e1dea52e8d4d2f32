// Cases of normalisations, softmax, losses and pictures.
#include <limits>

#include "runtime/copy.h"
#include "tests/bits/bits.h"

namespace demi::bits {

static void norms() {
    const int64_t sizes[][2] = {{3, 17}, {1, 1}, {5, 192}, {2, 1100}, {0, 5}, {530, 70}};
    std::vector<Shapes> one, affine, both;
    for (const auto& [rows, width] : sizes) {
        one.push_back({{rows, width}});
        affine.push_back({{rows, width}, {width}, {width}});
        both.push_back({{rows, width}, {rows, width}, {width}, {width}});
    }
    one.push_back({{2, 3, 64}});
    std::vector<DTypes> mixed, mixed_both;
    for (const DType x : {DType::f16, DType::bf16, DType::f32, DType::f64})
        for (const DType w : {DType::f32, DType::f16, DType::bf16, DType::f64})
            if (x != w) {
                mixed.push_back({x, w, w});
                mixed_both.push_back({x, x, w, w});
            }
    run({"layernorm",
         "",
         affine,
         [](const Vars& x) -> Vars { return {layernorm(x[0], x[1], x[2])}; },
         {},
         mixed});
    run({"layernorm", "plain", one, [](const Vars& x) -> Vars { return {layernorm(x[0], {}, {}, 1e-3)}; }});
    run({"layernorm", "weight", {{{5, 130}, {130}}}, [](const Vars& x) -> Vars {
             return {layernorm(x[0], x[1])};
         }});
    run({"layernorm", "bias", {{{5, 130}, {130}}}, [](const Vars& x) -> Vars {
             return {layernorm(x[0], {}, x[1])};
         }});
    for (const DType to : {DType::f16, DType::bf16, DType::f32}) {
        const std::string detail(name(to));
        run({"layernorm_as",
             detail,
             affine,
             [to](const Vars& x) -> Vars { return {layernorm_as(x[0], to, x[1], x[2])}; },
             {},
             {{DType::f32, DType::f16, DType::f16}}});
        run({"layernorm_branch",
             detail,
             affine,
             [to](const Vars& x) -> Vars { return layernorm_branch(x[0], to, x[1], x[2]); },
             {},
             mixed,
             2});
    }
    run({"add_layernorm",
         "",
         both,
         [](const Vars& x) -> Vars { return add_layernorm(x[0], x[1], x[2], x[3]); },
         {},
         mixed_both,
         2});
    run({"l2_normalize", "", one, [](const Vars& x) -> Vars { return {l2_normalize(x[0])}; }});
    run({"l2_normalize", "eps", one, [](const Vars& x) -> Vars { return {l2_normalize(x[0], 1.5)}; }});
    const std::vector<DTypes> gammas = {{DType::f16, DType::f32},
                                        {DType::bf16, DType::f32},
                                        {DType::f32, DType::f16},
                                        {DType::f64, DType::f32}};
    run({"layer_scale",
         "",
         {{{3, 17}, {17}}, {{2, 5, 192}, {192}}, {{530, 70}, {70}}, {{1, 1100}, {1100}}},
         [](const Vars& x) -> Vars { return {layer_scale(x[0], x[1])}; },
         {},
         gammas});
    run({"layer_scale_add",
         "",
         {{{3, 17}, {3, 17}, {17}}, {{2, 5, 192}, {2, 5, 192}, {192}}, {{530, 70}, {530, 70}, {70}}},
         [](const Vars& x) -> Vars { return {layer_scale_add(x[0], x[1], x[2])}; },
         {},
         {{DType::f16, DType::f16, DType::f32}, {DType::f32, DType::f32, DType::bf16}}});
    one.push_back({{4, 6, 10}});
    for (const DType dtype :
         {DType::f32, DType::f16, DType::bf16, DType::f64}) {  // rows of nothing but -infinity
        Tensor x = draw(1, {5, 130}, dtype);
        fill(x.slice(0, 1, 3), -std::numeric_limits<double>::infinity());
        const Variable leaf(x, true);
        run("softmax", "masked_rows/" + text(DTypes{dtype}), [&] {
            return with_gradients({leaf}, [&]() -> Vars { return {softmax(leaf), log_softmax(leaf)}; });
        });
    }
    for (const int dim : {-1, 0, 1}) {
        const std::string detail = "dim_" + std::to_string(dim);
        run({"softmax", detail, one, [dim](const Vars& x) -> Vars { return {softmax(x[0], dim)}; }, {-9, 9}});
        run({"log_softmax",
             detail,
             one,
             [dim](const Vars& x) -> Vars { return {log_softmax(x[0], dim)}; },
             {-9, 9}});
    }
}

static void losses() {
    const std::vector<Shapes> logits = {{{5, 17}}, {{1, 1}}, {{2, 3, 10}}, {{4, 1100}}, {{70, 600}}};
    for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none})
        for (const double smoothing : {0.0, 0.1}) {
            const std::string detail = std::string(reduction == Reduction::mean  ? "mean"
                                                   : reduction == Reduction::sum ? "sum"
                                                                                 : "none") +
                                       (smoothing > 0 ? "_smooth" : "");
            CrossEntropyOptions options;
            options.reduction = reduction;
            options.label_smoothing = smoothing;
            run({"cross_entropy",
                 detail + "_labels",
                 logits,
                 [options](const Vars& x) -> Vars {
                     Shape rows = x[0].shape();
                     rows.erase(rows.rank() - 1);
                     const Tensor labels = draw(8, rows, DType::i64, {0, static_cast<double>(x[0].size(-1))});
                     CrossEntropyOptions ignoring = options;
                     ignoring.ignore_index = 3;
                     return {cross_entropy(x[0], labels, options), cross_entropy(x[0], labels, ignoring)};
                 },
                 {-9, 9},
                 {},
                 2});
            run({"cross_entropy",
                 detail + "_probabilities",
                 {{{5, 17}, {5, 17}}, {{2, 3, 10}, {2, 3, 10}}, {{4, 1100}, {4, 1100}}},
                 [options](const Vars& x) -> Vars { return {cross_entropy(x[0], x[1], options)}; },
                 {0, 1},
                 {{DType::f16, DType::f32},
                  {DType::f32, DType::f16},
                  {DType::bf16, DType::f32},
                  {DType::f32, DType::f64},
                  {DType::f64, DType::f32}}});
        }
}

static void pictures() {
    run({"patchify",
         "",
         {{{2, 3, 8, 12}}, {{1, 3, 64, 32}}},
         [](const Vars& x) -> Vars {
             return {patchify(x[0], 4), patchify(x[0], 1)};
         },
         {},
         {},
         2,
         kAll});
    for (const int64_t patch : {2, 7, 8, 14, 16})  // runs of 4 to 128 bytes
        run({"patchify",
             "patch_" + std::to_string(patch),
             {{{1, 2, 2 * patch, patch}}},
             [patch](const Vars& x) -> Vars { return {patchify(x[0], patch)}; },
             {},
             {},
             1,
             kAll});
    run({"unpatchify",
         "",
         {{{2, 6, 48}}},
         [](const Vars& x) -> Vars { return {unpatchify(x[0], 3, 8, 12, 4)}; },
         {},
         {},
         1,
         kAll});
    for (const bool antialias : {false, true})
        for (const double scale : {0.0, 1.7}) {
            BicubicOptions options;
            options.antialias = antialias;
            options.scale_h = options.scale_w = scale;
            const std::string detail =
                std::string(antialias ? "antialias" : "plain") + (scale > 0 ? "_scaled" : "");
            run({"interpolate_bicubic",
                 detail,
                 {{{2, 3, 7, 9}}, {{1, 1, 1, 1}}, {{1, 40, 6, 6}}},
                 [options](const Vars& x) -> Vars {
                     return {interpolate_bicubic(x[0], 5, 13, options),
                             interpolate_bicubic(x[0], 7, 4, options)};
                 },
                 {},
                 {},
                 2});
            run({"interpolate_bicubic_rows",
                 detail,
                 {{{63, 5}}, {{63, 192}}},
                 [options](const Vars& x) -> Vars {
                     return {interpolate_bicubic_rows(x[0], 7, 9, 5, 13, options)};
                 }});
        }
}

void layer_cases() {
    norms();
    losses();
    pictures();
}

}  // namespace demi::bits
