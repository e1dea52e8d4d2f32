// Cases of matrix products and of the layers that are products.
#include "tests/bits/bits.h"

namespace demi::bits {

void product_cases() {
    const std::vector<Shapes> pairs = {
        {{5, 7}, {7, 3}},        {{1, 1}, {1, 1}},        {{9}, {9}},
        {{9}, {2, 9, 5}},        {{3, 4, 9}, {9}},        {{3, 1, 17, 33}, {2, 33, 9}},
        {{70, 130}, {130, 65}},  {{4, 33, 64}, {64, 40}}, {{1, 600}, {600, 200}},
        {{0, 5}, {5, 4}},        {{3, 0}, {0, 4}},        {{200, 1}, {1, 300}},
        {{130, 515}, {515, 260}}};
    run({"matmul",
         "",
         pairs,
         [](const Vars& x) -> Vars { return {matmul(x[0], x[1])}; },
         {},
         {{DType::f16, DType::f32}}});
    for (const bool a : {false, true})
        run({"matmul",
             a ? "transpose_both" : "transpose_b",
             {{a ? Shape{2, 19, 35} : Shape{2, 35, 19}, {2, 40, 19}},
              {a ? Shape{90, 140} : Shape{140, 90}, {77, 90}}},
             [a](const Vars& x) -> Vars {
                 MatmulOptions options;
                 options.transpose_a = a;
                 options.transpose_b = true;
                 return {matmul(x[0], x[1], options)};
             }});
    const std::vector<DTypes> wide = {{DType::f16, DType::f32, DType::f32},
                                      {DType::bf16, DType::f32, DType::f32},
                                      {DType::f16, DType::f32, DType::f16}};
    const std::vector<DTypes> residual = {{DType::f16, DType::f16, DType::f32, DType::f32},
                                          {DType::bf16, DType::bf16, DType::f32, DType::f32}};
    const std::vector<Shapes> layers = {{{5, 7}, {3, 7}, {3}},          {{1, 1}, {1, 1}, {1}},
                                        {{2, 9, 64}, {192, 64}, {192}}, {{65, 192}, {96, 192}, {96}},
                                        {{0, 4}, {3, 4}, {3}},          {{270, 515}, {130, 515}, {130}},
                                        {{400, 64}, {530, 64}, {530}}};
    for (const Activation act : {Activation::none, Activation::gelu}) {
        const std::string detail = act == Activation::gelu ? "gelu" : "plain";
        run({"linear",
             detail,
             layers,
             [act](const Vars& x) -> Vars { return {linear(x[0], x[1], x[2], act)}; },
             {},
             wide});
        run({"linear",
             detail + "_no_bias",
             {{{33, 64}, {40, 64}}},
             [act](const Vars& x) -> Vars { return {linear(x[0], x[1], {}, act)}; },
             {},
             {{DType::f16, DType::f32}, {DType::bf16, DType::f32}}});
    }
    run({"linear_add",
         "",
         {{{5, 3}, {5, 7}, {3, 7}, {3}},
          {{2, 9, 192}, {2, 9, 64}, {192, 64}, {192}},
          {{270, 130}, {270, 515}, {130, 515}, {130}}},
         [](const Vars& x) -> Vars { return {linear_add(x[0], x[1], x[2], x[3])}; },
         {},
         residual});
    run({"linear_add", "no_bias", {{{5, 3}, {5, 7}, {3, 7}}}, [](const Vars& x) -> Vars {
             return {linear_add(x[0], x[1], x[2])};
         }});
    const std::vector<DTypes> mlp_wide = {{DType::f16, DType::f32, DType::f32, DType::f32, DType::f32},
                                          {DType::bf16, DType::f32, DType::f32, DType::f32, DType::f32}};
    run({"mlp",
         "",
         {{{5, 7}, {9, 7}, {9}, {3, 9}, {3}},
          {{2, 33, 48}, {192, 48}, {192}, {48, 192}, {48}},
          {{260, 64}, {530, 64}, {530}, {64, 530}, {64}},
          {{400, 48}, {192, 48}, {192}, {48, 192}, {48}}},
         [](const Vars& x) -> Vars { return {mlp(x[0], x[1], x[2], x[3], x[4])}; },
         {-1, 1},
         mlp_wide});
    run({"mlp",
         "no_bias",
         {{{33, 48}, {100, 48}, {48, 100}}},
         [](const Vars& x) -> Vars { return {mlp(x[0], x[1], {}, x[2], {})}; },
         {-1, 1}});
    run({"mlp_add",
         "",
         {{{5, 3}, {5, 7}, {9, 7}, {9}, {3, 9}, {3}},
          {{2, 33, 48}, {2, 33, 48}, {192, 48}, {192}, {48, 192}, {48}},
          {{400, 40}, {400, 48}, {100, 48}, {100}, {40, 100}, {40}}},
         [](const Vars& x) -> Vars { return {mlp_add(x[0], x[1], x[2], x[3], x[4], x[5])}; },
         {-1, 1},
         {{DType::f16, DType::f16, DType::f32, DType::f32, DType::f32, DType::f32}}});
}

}  // namespace demi::bits
