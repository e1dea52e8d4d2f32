// Weights for pictures of another size, another patch, another number of channels.
#include "models/pretrained/adapt.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/grad_mode.h"
#include "models/checkpoint.h"
#include "models/pretrained/export.h"
#include "ops/interpolate_bicubic/interpolate_bicubic.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/temporary.h"
#include "tests/support/tiny_vit.h"

using namespace demi;
using namespace demi::test;

namespace {

ViTConfig small(int64_t registers) {
    ViTConfig c = tiny_vit(16, 24, 2);
    c.num_register_tokens = registers;
    return c;
}

DinoVisionTransformer drawn(const ViTConfig& config) {
    Generator generator{5};
    DinoVisionTransformer model(config, generator);
    for (auto& [name, parameter] : parameters_of(model)) uniform(parameter.value(), generator, -0.5, 0.5);
    return model;
}

Tensor tokens(const DinoVisionTransformer& model, const Tensor& pictures) {
    const NoGrad no_grad;
    ForwardContext context;
    context.boundary.mode = BoundaryMode::off;
    return model.forward_features(Variable(pictures), context).x_prenorm.value();
}

// <patch, weight row d> in double, of the first channels.
double product(const Tensor& patch, const Tensor& weight, int64_t d) {
    const std::vector<float> x = patch.to_vector<float>(), w = weight.select(0, d).to_vector<float>();
    double sum = 0;
    for (size_t i = 0; i < x.size(); ++i) sum += static_cast<double>(x[i]) * static_cast<double>(w[i]);
    return sum;
}

Tensor resized(const Tensor& x, int64_t side) {
    BicubicOptions options;
    options.antialias = true;
    return interpolate_bicubic(Variable(x), side, side, options).value();
}

}  // namespace

TEST_CASE("positions for another grid are those that the weights' own library makes on the way") {
    TemporaryFolder folder;
    const std::string path = folder / "weights.safetensors";
    for (const int64_t registers : {0, 4})
        for (WeightNaming naming : {WeightNaming::meta, WeightNaming::hugging_face, WeightNaming::timm}) {
            DinoVisionTransformer model = drawn(small(registers));
            write_safetensors(path, state_dict(parameters_of(model)));
            const Pretrained meta(path, {2, "", true});
            std::vector<std::string> dropped;
            write_safetensors(path, export_names(load_network(meta), meta.config(), naming, dropped));
            const Pretrained weights(path, {2, "", true});
            Generator generator;
            DinoVisionTransformer own(vit_config(weights.config()), generator);
            load_pretrained(parameters_of(own), weights);
            for (const int64_t side : {24, 12, 4}) {
                ViTConfig config = vit_config(weights.config());
                config.img_size = side;
                DinoVisionTransformer other(config, generator);
                const PretrainedReport report = load_pretrained(parameters_of(other), weights);
                REQUIRE(report.adapted.size() == 1);
                CHECK(has(report.adapted[0], "pos_embed (grid 4 x 4 to "));
                const Tensor pictures = randn({2, 3, side, side}, generator);
                CHECK(same_bits(tokens(other, pictures), tokens(own, pictures)) == "");
            }
        }
}

TEST_CASE("a patch of another size sees a picture resized as the first one saw it") {
    Generator generator{3};
    for (const auto& [from, to] :
         {std::pair<int64_t, int64_t>{4, 6}, {6, 4}, {14, 16}, {16, 14}, {5, 5}, {1, 3}}) {
        const Tensor weight = randn({3, 2, from, from}, generator);
        const Tensor other =
            from == to ? weight : adapted("patch_embed.proj.weight", weight, {3, 2, to, to}, {});
        CHECK(other.shape() == Shape({3, 2, to, to}));
        for (int i = 0; i < 4; ++i) {
            const Tensor patch = randn({1, 2, to, to}, generator);
            const Tensor back = from == to ? patch : resized(patch, from);
            for (int64_t d = 0; d < 3; ++d)
                CHECK(product(patch, other, d) == doctest::Approx(product(back, weight, d)).epsilon(1e-4));
        }
        // A picture of one colour counts as before.
        for (int64_t d = 0; d < 3; ++d)
            CHECK(product(Tensor::ones({2, to, to}), other, d) ==
                  doctest::Approx(product(Tensor::ones({2, from, from}), weight, d)).epsilon(1e-4));
    }
}

TEST_CASE("grey weights see the luminance of RGB, RGB weights three equal channels") {
    Generator generator{3};
    const Tensor grey = randn({3, 1, 4, 4}, generator), rgb = randn({3, 3, 4, 4}, generator);
    const Tensor to_rgb = adapted("patch_embed.proj.weight", grey, {3, 3, 4, 4}, {});
    const Tensor to_grey = adapted("patch_embed.proj.weight", rgb, {3, 1, 4, 4}, {});
    const std::vector<float> picture = randn({3, 4, 4}, generator).to_vector<float>();
    std::vector<float> luminance(16), three(48);
    for (size_t i = 0; i < 16; ++i) {
        luminance[i] = 0.299f * picture[i] + 0.587f * picture[16 + i] + 0.114f * picture[32 + i];
        three[i] = three[16 + i] = three[32 + i] = picture[i];
    }
    const Tensor p = Tensor::from(picture, {3, 4, 4}), l = Tensor::from(luminance, {1, 4, 4}),
                 t = Tensor::from(three, {3, 4, 4}), one = p.slice(0, 0, 1);
    for (int64_t d = 0; d < 3; ++d) {
        CHECK(product(p, to_rgb, d) == doctest::Approx(product(l, grey, d)).epsilon(1e-4));
        CHECK(product(one, to_grey, d) == doctest::Approx(product(t, rgb, d)).epsilon(1e-4));
    }
    // Both at once: another patch and other channels.
    const Tensor both = adapted("patch_embed.proj.weight", grey, {3, 3, 6, 6}, {});
    CHECK(product(Tensor::ones({3, 6, 6}), both, 1) ==
          doctest::Approx(product(Tensor::ones({1, 4, 4}), grey, 1)).epsilon(1e-4));
}

TEST_CASE("what cannot be brought into shape is refused by name") {
    const auto way = [](const char* name, const Shape& from, const Shape& to) {
        return !adaptation(name, from, to).empty();
    };
    CHECK(way("pos_embed", {1, 17, 24}, {1, 10, 24}));
    CHECK_FALSE(way("pos_embed", {1, 17, 24}, {1, 10, 16}));
    CHECK_FALSE(way("pos_embed", {1, 16, 24}, {1, 10, 24}));
    CHECK_FALSE(way("pos_embed", {1, 17, 24}, {1, 9, 24}));
    CHECK_FALSE(way("pos_embed", {17, 24}, {1, 10, 24}));
    CHECK(way("patch_embed.proj.weight", {8, 3, 4, 4}, {8, 1, 6, 6}));
    CHECK_FALSE(way("patch_embed.proj.weight", {8, 4, 4, 4}, {8, 3, 4, 4}));
    CHECK_FALSE(way("patch_embed.proj.weight", {8, 3, 4, 4}, {6, 3, 4, 4}));
    CHECK_FALSE(way("blocks.0.norm1.weight", {8}, {6}));
    TemporaryFolder folder;
    DinoVisionTransformer model = drawn(small(0));
    write_safetensors(folder / "w.safetensors", state_dict(parameters_of(model)));
    ViTConfig wide = small(0);
    wide.embed_dim = 32;
    DinoVisionTransformer other = drawn(wide);
    const std::string text = error_of([&] {
        load_pretrained(parameters_of(other), Pretrained(folder / "w.safetensors", {2, "", true}));
    });
    CHECK(has(text, "another model"));
    CHECK(has(text, "cls_token"));
}
