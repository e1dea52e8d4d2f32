// DINOv3's backbone: what its parts compute. tests/models/dinov3_training_test.cpp: modes, precisions, large residuals.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "autograd/grad_mode.h"
#include "autograd/recompute.h"
#include "models/vision_transformer.h"
#include "ops/operators.h"
#include "runtime/copy.h"
#include "tests/models/dinov3.h"
#include "tests/support/compare.h"
#include "tests/support/gradcheck.h"

namespace demi::test {
namespace {

// cos a + i sin a of patch (i, j), frequency k, as the header of rope_embed writes it.
std::pair<double, double> wanted(const RopeConfig& c, int64_t n, int64_t i, int64_t j, int64_t height,
                                 int64_t width, int64_t k) {
    const auto least = double(std::min(height, width)), most = double(std::max(height, width));
    const bool down = k < n;
    const double own = double(down ? height : width);
    const double divisor = c.coordinates == "max" ? most : c.coordinates == "min" ? least : own;
    const double at = 2 * (double(down ? i : j) + 0.5) / divisor - 1;
    const double m = double(k % n);
    const double period = c.min_period > 0
                              ? c.min_period * std::pow(c.max_period / c.min_period, m / double(n - 1))
                              : std::pow(c.base, m / double(n));
    const double angle = 2 * std::numbers::pi * at / period;
    return {std::cos(angle), std::sin(angle)};
}

}  // namespace

TEST_CASE("rope_table: formulas of the header, for grids that are not square") {
    std::vector<RopeConfig> configs(4);
    configs[1].coordinates = "max";
    configs[2].coordinates = "min";
    configs[3].min_period = 0.5;
    configs[3].max_period = 30;
    for (const RopeConfig& c : configs) {
        const int64_t n = 4, height = 3, width = 5;
        const Tensor table = rope_table(c, 4 * n, height, width, {}, Device::cpu());
        REQUIRE(table.shape() == Shape({2, height * width, 2 * n}));
        const auto got = table.to_vector<double>();
        for (int64_t i = 0; i < height; ++i)
            for (int64_t j = 0; j < width; ++j)
                for (int64_t k = 0; k < 2 * n; ++k) {
                    const auto [cosine, sine] = wanted(c, n, i, j, height, width, k);
                    const auto at = static_cast<size_t>((i * width + j) * 2 * n + k);
                    CHECK(got[at] == doctest::Approx(cosine).epsilon(1e-6));
                    CHECK(got[at + static_cast<size_t>(height * width * 2 * n)] ==
                          doctest::Approx(sine).epsilon(1e-6));
                }
    }
    RopeConfig own;
    own.periods = {1, 1.3359375, 1.78125, 2.375};
    const auto got = rope_table(own, 16, 1, 2, {}, Device::cpu()).to_vector<double>();
    CHECK(got[4 + 1] == doctest::Approx(std::cos(-std::numbers::pi / 1.3359375)).epsilon(1e-6));
}

TEST_CASE("rope_table draws in training only: shift, jitter, rescale, in this order, from the generator") {
    RopeConfig c;
    c.shift = 0.3;
    c.jitter = 1.5;
    c.rescale = 2;
    Generator g{9}, same{9};
    ForwardContext context;
    context.generator = &g;
    const Tensor still = rope_table(c, 8, 2, 3, context, Device::cpu());
    CHECK(g.offset == 0);
    CHECK(same_bits(still, rope_table({}, 8, 2, 3, {}, Device::cpu())) == "");
    context.training = true;
    const auto drawn = rope_table(c, 8, 2, 3, context, Device::cpu()).to_vector<double>();
    const auto within = [&](double bound) { return (2 * double(same.next_uniform()) - 1) * bound; };
    const double shift_y = within(0.3), shift_x = within(0.3);
    double factor_y = std::exp(within(std::log(1.5))), factor_x = std::exp(within(std::log(1.5)));
    const double both = std::exp(within(std::log(2)));
    factor_y *= both;
    factor_x *= both;
    CHECK(g == same);
    const double y = (2 * 0.5 / 2 - 1 + shift_y) * factor_y, x = (2 * 0.5 / 3 - 1 + shift_x) * factor_x;
    CHECK(drawn[0] == doctest::Approx(std::cos(2 * std::numbers::pi * y)).epsilon(1e-5));
    CHECK(drawn[3] == doctest::Approx(std::cos(2 * std::numbers::pi * x / 10)).epsilon(1e-5));
    context.generator = nullptr;
    CHECK_THROWS_WITH_AS(rope_table(c, 8, 2, 3, context, Device::cpu()),
                         "[rope_embed] draws in training need ForwardContext::generator", Error);
}

TEST_CASE("attention with positions: f64 gradients against differences; the bias of k counts as 0") {
    Generator g{3};
    BlockConfig config;
    config.dim = 16;
    config.heads = 2;
    config.mask_k_bias = true;
    SelfAttention attn(config, g);
    ForwardContext context;
    context.boundary.mode = BoundaryMode::off;
    const RopeGrid a{rope_table({}, 8, 2, 3, {}, Device::cpu()), 3},
        b{rope_table({}, 8, 1, 2, {}, Device::cpu()), 3};
    const auto draw = [&](const Shape& shape) { return randn(shape, g, DType::f64); };
    for (const bool packed : {false, true}) {
        CAPTURE(packed);
        const auto mask = BlockDiagonalMask::from_seqlens({9, 9, 5});
        const auto run = [&](const Vars& x) {
            SelfAttention with = attn;
            with.qkv.weight = x[1];
            with.qkv.bias = x[2];
            with.proj.weight = x[3];
            with.proj.bias = x[4];
            return packed ? with.forward(x[0], mask, context, {}, {a.segment(2), b.segment(1)})
                          : with.forward(x[0], {}, context, {}, {a.segment(2)});
        };
        const std::vector<Tensor> inputs{packed ? draw({1, 23, 16}) : draw({2, 9, 16}), draw({48, 16}),
                                         draw({48}), draw({16, 16}), draw({16})};
        CHECK(gradcheck(run, inputs) == "");
        Tensor broken = inputs[2].clone();
        fill(broken.slice(0, 16, 32), std::numeric_limits<double>::quiet_NaN());
        const NoGrad no_grad;
        const auto value = [&](const Tensor& bias) {
            return run({inputs[0], inputs[1], bias, inputs[3], inputs[4]}).value();
        };
        CHECK(same_bits(value(broken), value(inputs[2])) == "");
    }
}

TEST_CASE("SwiGLU of w1 and w2 is the one of w12") {
    Generator g{3};
    const SwiGLUFFN apart = SwiGLUFFN::exact(12, 21, true, true, g);
    SwiGLUFFN joined = SwiGLUFFN::exact(12, 21, true, false, g);
    copy(joined.w12.weight.value().slice(0, 0, 21), apart.w1.weight.value());
    copy(joined.w12.weight.value().slice(0, 21, 42), apart.w2.weight.value());
    copy(joined.w3.weight.value(), apart.w3.weight.value());
    const Variable x(randn({3, 12}, g));
    CHECK(compare(apart.forward(x).value(), joined.forward(x).value(), {1e-6, 1e-6}) == "");
}

TEST_CASE("DINOv3: a list of images of several shapes gives what each of them gives alone") {
    Generator g{4};
    DinoVisionTransformer model(dinov3("swiglu_split"), g);
    ForwardContext context;
    context.boundary.mode = BoundaryMode::off;
    const NoGrad no_grad;
    const Tensor a = pictures(3, 16, 8), b = pictures(5, 8, 12);
    const auto list = model.forward_features({Variable(a), Variable(b)}, context);
    CHECK(compare(list[0].x_norm_patchtokens.value(),
                  model.forward_features(Variable(a), context).x_norm_patchtokens.value(),
                  {2e-5, 2e-5}) == "");
    CHECK(compare(list[1].x_norm_regtokens.value(),
                  model.forward_features(Variable(b), context).x_norm_regtokens.value(), {2e-5, 2e-5}) == "");
}

TEST_CASE("DINOv3: positions matter, and what is left beside whole patches does not") {
    Generator g{4};
    DinoVisionTransformer model(dinov3(), g);
    const NoGrad no_grad;
    const ForwardContext context;
    const Tensor x = pictures(2, 18, 23), inside = x.slice(2, 0, 16).slice(3, 0, 20);
    CHECK(same_bits(model.forward(Variable(x), context).value(),
                    model.forward(Variable(inside), context).value()) == "");
    // the same patches in another arrangement: 4 x 5 as 1 x 20
    Tensor line = Tensor::empty({2, 3, 4, 80});
    for (int64_t i = 0; i < 4; ++i)
        copy(line.slice(3, i * 20, i * 20 + 20), inside.slice(2, i * 4, i * 4 + 4));
    CHECK(compare(model.forward(Variable(line), context).value(),
                  model.forward(Variable(inside), context).value(), {1e-3, 1e-3}) != "");
}

TEST_CASE("DINOv3: intermediate layers, attention of the class token, and a block within recompute") {
    Generator g{1};
    ViTConfig config = dinov3();
    config.cls_norm = true;
    DinoVisionTransformer model(config, g);
    const Tensor x = pictures(2, 16, 8);
    {
        const NoGrad no_grad;
        const ForwardContext context;
        const auto layers = model.get_intermediate_layers(Variable(x), context, {-1}, true);
        CHECK(layers[0].patches.shape() == Shape({2, 32, 4, 2}));
        CHECK(same_bits(layers[0].cls_token.value().contiguous(),
                        model.forward(Variable(x), context).value().contiguous()) == "");
        const Tensor attention = model.get_last_selfattention(x);
        CHECK(attention.shape() == Shape({2, 2, 1 + 2 + 8}));
        for (double row : sum(Variable(attention), {2}).value().to_vector<double>())
            CHECK(row == doctest::Approx(1).epsilon(1e-4));
    }
    BlockConfig block_config;
    block_config.dim = 32;
    block_config.heads = 2;
    const Block block(block_config, g);
    const RopeGrid grid{rope_table({}, 16, 2, 3, {}, Device::cpu()), 1};
    const Variable in(randn({2, 7, 32}, g), true);
    const Tensor seed = randn({2, 7, 32}, g);
    const auto run = [&](const std::vector<Variable>& v) { return block.forward(v[0], {}, grid); };
    run({in}).backward(seed);
    const Tensor want = in.grad().clone();
    Variable(in).zero_grad();
    recompute(run, {in}).backward(seed);
    CHECK(same_bits(in.grad(), want) == "");
}

TEST_CASE("DINOv3: names, the model table's parameter counts, and what is refused") {
    Generator g{1};
    ViTConfig config = dinov3("swiglu_split");
    config.cls_norm = config.local_cls_norm = true;
    DinoVisionTransformer model(config, g);
    std::string names;
    for (const auto& [name, p] : parameters_of(model)) names += name + " ";
    for (const char* wanted : {"storage_tokens ", "blocks.0.mlp.w1.weight ", "blocks.1.mlp.w2.bias ",
                               "blocks.1.mlp.w3.bias ", " cls_norm.weight ", " local_cls_norm.bias "})
        CHECK(names.find(wanted) != std::string::npos);
    for (const char* not_there : {"pos_embed", "register_tokens", "w12", "periods"})
        CHECK(names.find(not_there) == std::string::npos);
    DinoVisionTransformer small(vit_config("dinov3_vits16"), g);
    CHECK(parameter_count(parameters_of(small)) == 21601152);
    DinoVisionTransformer plus(vit_config("dinov3_vits16plus"), g);
    CHECK(parameter_count(parameters_of(plus)) == 28697472);
    CHECK_THROWS_WITH_AS(vit_config("dinov3_vitx16"),
                         "[vit_config] there is no dinov3_vitx16 in the table of DINOv3", Error);
    config.num_heads = 16;
    CHECK_THROWS_WITH_AS(DinoVisionTransformer(config, g),
                         "[rope_embed] the head size must be a multiple of 4: got 2", Error);
    RopeConfig c;
    const auto refused = [&](auto change, const char* text) {
        RopeConfig wrong = c;
        change(wrong);
        CHECK_THROWS_WITH_AS(check_rope(wrong, 16), text, Error);
    };
    refused([](RopeConfig& r) { r.base = 0; },
            "[rope_embed] needs a base, or min_period and max_period, above 0: got 0, 0 and 0");
    refused([](RopeConfig& r) { r.coordinates = "all"; },
            "[rope_embed] coordinates must be separate, max or min: got 'all'");
    refused([](RopeConfig& r) { r.rescale = 0.5; },
            "[rope_embed] jitter and rescale must be 0 (off) or at least 1: got 0 and 0.5");
    refused([](RopeConfig& r) { r.periods = {1, 2}; }, "[rope_embed] needs head size / 4 = 4 periods: got 2");
}

}  // namespace demi::test
