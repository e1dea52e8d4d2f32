#include "models/vision_transformer.h"

#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "autograd/grad_mode.h"
#include "models/checkpoint.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "runtime/copy.h"
#include "tests/support/compare.h"
#include "tests/support/tiny_vit.h"

namespace demi::test {

static ViTConfig tiny(int64_t registers = 2) {
    ViTConfig c = tiny_vit(16, 32, 2);
    c.num_register_tokens = registers;
    c.init_values = 0.5;
    return c;
}

static Tensor images(int64_t count, int64_t side, uint64_t seed = 5) {
    Generator g{seed};
    Tensor x = Tensor::empty({count, 3, side, side});
    normal(x, g);
    return x;
}

static Variable random_sum(const Variable& x, uint64_t seed) {
    Generator g{seed};
    Tensor w = Tensor::empty(x.shape(), DType::f32);
    normal(w, g);
    return sum(x * Variable(w));
}

TEST_CASE("every parameter gets a finite gradient that is not zero") {
    for (const char* ffn : {"mlp", "swiglu"}) {
        for (bool nested : {false, true}) {
            for (Precision precision : {Precision::f32, Precision::bf16, Precision::f16}) {
                CAPTURE(std::string(ffn));
                CAPTURE(nested);
                CAPTURE(int(precision));
                Generator g{3};
                ViTConfig config = tiny();
                config.ffn_layer = ffn;
                config.drop_path_rate = nested ? 0.3 : 0;
                config.drop_path_uniform = true;
                DinoVisionTransformer model(config, g);
                ForwardContext context;
                context.training = true;
                context.precision = precision;
                context.generator = &g;
                Tensor mask = Tensor::zeros({4, 16}, DType::boolean);
                fill(mask.slice(1, 3, 7), 1);
                Variable loss;
                if (nested) {
                    const auto out = model.forward_features({Variable(images(4, 16)), Variable(images(6, 8))},
                                                            context, {mask, Tensor()});
                    loss = random_sum(out[0].x_norm_patchtokens, 1) + random_sum(out[1].x_norm_clstoken, 2) +
                           random_sum(out[0].x_norm_regtokens, 3);
                } else {
                    const ViTOutput out = model.forward_features(Variable(images(4, 16)), context, mask);
                    loss = random_sum(out.x_norm_clstoken, 1) + random_sum(out.x_norm_patchtokens, 2);
                }
                loss.backward();
                for (const auto& [name, p] : parameters_of(model)) {
                    CAPTURE(name);
                    REQUIRE(p.grad().defined());
                    CHECK(p.grad().dtype() == DType::f32);
                    CHECK(all_finite(p.grad()));
                    double size = 0;
                    for (double v : p.grad().to_vector<double>()) size += std::fabs(v);
                    CHECK(size > 0);
                }
            }
        }
    }
}

TEST_CASE("a list of images gives what each of them gives alone") {
    Generator g{4};
    DinoVisionTransformer model(tiny(), g);
    ForwardContext context;
    context.boundary.mode = BoundaryMode::off;
    const NoGrad no_grad;
    const Tensor a = images(3, 16), b = images(5, 8, 6);
    const auto list = model.forward_features({Variable(a), Variable(b)}, context);
    CHECK(compare(list[0].x_norm_patchtokens.value(),
                  model.forward_features(Variable(a), context).x_norm_patchtokens.value(),
                  {2e-5, 2e-5}) == "");
    CHECK(compare(list[1].x_norm_clstoken.value(),
                  model.forward_features(Variable(b), context).x_norm_clstoken.value(), {2e-5, 2e-5}) == "");
}

TEST_CASE("stochastic depth keeps the expectation: dropping nothing with alpha 1 is the plain block") {
    Generator g{4};
    ViTConfig config = tiny(0);
    DinoVisionTransformer plain(config, g);
    config.drop_path_rate = 0.3;  // of 2 images: 1 stays, alpha 2
    config.drop_path_uniform = true;
    DinoVisionTransformer dropping(config, g);
    copy_parameters(parameters_of(dropping), parameters_of(plain));
    ForwardContext train;
    train.training = true;
    train.boundary.mode = BoundaryMode::off;
    const NoGrad no_grad;
    const Tensor x = images(1, 16);  // of 1 image, 1 stays and alpha is 1
    train.generator = &g;
    ForwardContext plain_context;
    plain_context.boundary = train.boundary;
    const Tensor want = plain.forward_features(Variable(x), plain_context).x_prenorm.value();
    CHECK(compare(dropping.forward_features(Variable(x), train).x_prenorm.value(), want, {1e-5, 1e-5}) == "");
    CHECK(compare(dropping.forward_features(std::vector<Variable>{Variable(x)}, train)[0].x_prenorm.value(),
                  want, {1e-5, 1e-5}) == "");
}

TEST_CASE("state dict names are DINOv2's, chunked or not, and load into each other") {
    Generator g{1};
    ViTConfig config = tiny();
    config.depth = 4;
    DinoVisionTransformer flat(config, g);
    config.block_chunks = 2;
    DinoVisionTransformer chunked(config, g);
    const NamedParameters names = parameters_of(chunked);
    const auto has = [&](const std::string& wanted) {
        return std::any_of(names.begin(), names.end(),
                           [&](const auto& entry) { return entry.first == wanted; });
    };
    CHECK(has("blocks.1.3.attn.qkv.weight"));
    CHECK(has("blocks.0.0.ls1.gamma"));
    CHECK(has("register_tokens"));
    const std::string path = std::filesystem::temp_directory_path().string() + "/demi_vit_" +
                             std::to_string(getpid()) + ".safetensors";
    write_safetensors(path, state_dict(names, "module.backbone."));
    load_state_dict(parameters_of(flat), SafetensorsFile(path));
    for (size_t i = 0; i < names.size(); ++i)
        CHECK(same_bits(parameters_of(flat)[i].second.value(), names[i].second.value()) == "");
    config.embed_dim = 64;
    DinoVisionTransformer other(config, g);
    CHECK_THROWS_AS(load_state_dict(parameters_of(other), SafetensorsFile(path)), Error);
    unlink(path.c_str());
}

TEST_CASE("intermediate layers and the class token's attention") {
    Generator g{1};
    DinoVisionTransformer model(tiny(), g);
    const NoGrad no_grad;
    const ForwardContext context;
    const Tensor x = images(2, 16);
    const auto layers = model.get_intermediate_layers(Variable(x), context, {0, -1}, true);
    REQUIRE(layers.size() == 2);
    CHECK(layers[0].patches.shape() == Shape({2, 32, 4, 4}));
    CHECK(same_bits(layers[1].cls_token.value().contiguous(),
                    model.forward(Variable(x), context).value().contiguous()) == "");
    const Tensor attention = model.get_last_selfattention(x);
    CHECK(attention.shape() == Shape({2, 2, 19}));
    const std::vector<double> rows = sum(Variable(attention), {2}).value().to_vector<double>();
    for (double row : rows) CHECK(row == doctest::Approx(1).epsilon(1e-4));
    CHECK_THROWS_AS(model.get_intermediate_layers(Variable(x), context, {2}), Error);
}

TEST_CASE("what the model refuses, in words") {
    Generator g{1};
    DinoVisionTransformer model(tiny(), g);
    const ForwardContext context;
    CHECK_THROWS_WITH_AS(
        model.forward(Variable(images(1, 18)), context),
        "[patch_embed] height and width must be multiples of the patch size 4: got (1, 3, 18, 18)", Error);
    CHECK_THROWS_WITH_AS(
        model.forward_features(Variable(images(2, 16)), context, Tensor::zeros({2, 9}, DType::boolean)),
        "[vit] masks must be bool (2, 16): got bool (2, 9) on cpu", Error);
    ViTConfig config = tiny();
    config.num_heads = 5;
    CHECK_THROWS_WITH_AS(DinoVisionTransformer(config, g),
                         "[attention] embed_dim must be a multiple of num_heads: got 32 and 5", Error);
    CHECK_THROWS_AS(vit_config("vit_huge"), Error);
}

TEST_CASE("the model table has DINOv2's parameter counts") {
    // counted for patch 14, 518 pixels, LayerScale, as the published checkpoints
    ViTConfig config = vit_config("vit_small", 14);
    config.img_size = 518;
    config.init_values = 1.0;
    Generator g{1};
    DinoVisionTransformer model(config, g);
    CHECK(parameter_count(parameters_of(model)) == 22056576);
}

// Where only the class token is asked for the last block leaves the others out: not a bit of it changes.
TEST_CASE("forward without gradients gives the bits of forward_features") {
    for (const int64_t registers : {0, 2})
        for (const bool scale : {false, true})
            for (const bool dinov3 : {false, true})
                for (const Precision precision : {Precision::f32, Precision::bf16}) {
                    ViTConfig c = tiny(registers);
                    if (!scale) c.init_values.reset();
                    if (dinov3) c.rope = RopeConfig{}, c.cls_norm = true, c.ffn_layer = "swiglu";
                    Generator g{7};
                    DinoVisionTransformer model(c, g);
                    model.init_xavier(g);
                    for (auto [name, p] : parameters_of(model))
                        if (p.rank() == 1) normal(p.value(), g);
                    ForwardContext context;
                    context.precision = precision;
                    const NoGrad off;
                    for (const int64_t count : {0, 1, 3}) {
                        const Variable x(images(count, 16));
                        const Tensor all = model.forward_features(x, context).x_norm_clstoken.value();
                        CHECK(all.to_vector<double>() ==
                              model.forward(x, context).value().to_vector<double>());
                    }
                }
}

}  // namespace demi::test
