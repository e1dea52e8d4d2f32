// Layers and models of any tensor, and without parameters.
#include "tests/models/misuse.h"

namespace demi::test {

TEST_CASE("layers and models of any tensor") {
    Generator g{1};
    BlockConfig config;
    config.dim = 8;
    config.heads = 2;
    config.drop_path = 0.3;
    const Linear linear(8, 8, true, g);
    const LayerNorm norm(8);
    const Mlp mlp(8, 8, true, g);
    const SwiGLUFFN swiglu(8, 8, true, g);
    const PatchEmbed patches(4, 3, 8, g);
    const SelfAttention attention(config, g);
    const Block block(config, g);
    const DINOHead head(head_config(), g);
    const DinoVisionTransformer vit(tiny(), g);
    const Variable good(Tensor::zeros({2, 3, 8}));
    walk("Linear", [&](const Tensor& x) { linear.forward(x); });
    walk("LayerNorm", [&](const Tensor& x) { norm.forward(x); });
    walk("LayerNorm as", [&](const Tensor& x) { norm.forward_as(x, DType::f16); });
    walk("LayerNorm as i64", [&](const Tensor& x) { norm.forward_as(x, DType::i64); });
    walk("LayerNorm branch", [&](const Tensor& x) { norm.forward_branch(x, DType::f32); });
    walk("Mlp", [&](const Tensor& x) { mlp.forward(x); });
    walk("SwiGLU", [&](const Tensor& x) { swiglu.forward(x); });
    walk("PatchEmbed", [&](const Tensor& x) { patches.forward(x, DType::f32); });
    walk("SelfAttention", [&](const Tensor& x) { attention.forward(x, {}, {}); });
    walk("SelfAttention bias", [&](const Tensor& x) {
        check(x.defined(), "test", "an undefined bias is none");
        attention.forward(good, AttentionBias(Variable(x)), {});
    });
    walk("first token", [&](const Tensor& x) { attention.first_token_weights(x); });
    walk("DINOHead", [&](const Tensor& x) { head.forward(x); });
    for (bool training : {false, true}) {
        ForwardContext context;
        context.training = training;
        context.generator = &g;
        walk("Block", [&](const Tensor& x) { block.forward(x, context); });
        walk("Block list", [&](const Tensor& x) { block.forward(std::vector<Variable>{good, x}, context); });
        walk("Block list, first", [&](const Tensor& x) {
            block.forward(std::vector<Variable>{x, good}, context);
        });
        walk("ViT", [&](const Tensor& x) { vit.forward(x, context); });
        walk("ViT list", [&](const Tensor& x) { vit.forward_features(std::vector<Variable>{x}, context); });
        walk("ViT masks", [&](const Tensor& x) {
            check(x.defined(), "test", "undefined masks are none");
            vit.forward_features(Variable(Tensor::zeros({2, 3, 8, 8})), context, x);
        });
    }
    walk("intermediate", [&](const Tensor& x) { vit.get_intermediate_layers(x, {}, {0}, true); });
    walk("last attention", [&](const Tensor& x) { vit.get_last_selfattention(x); });
    walk_pairs("Linear add", [&](const Tensor& x, const Tensor& y) { linear.forward_add(x, y); });
    walk_pairs("Mlp add", [&](const Tensor& x, const Tensor& y) { mlp.forward_add(x, y); });
    ForwardContext training;
    training.training = true;
    CHECK(has(error_of([&] { block.forward(good, training); }), "needs ForwardContext::generator"));
    training.permutation = [](int64_t) { return std::vector<int64_t>{5, -1}; };
    CHECK(has(error_of([&] { block.forward(good, training); }), "must hold rows below 2"));
    training.permutation = [](int64_t) { return std::vector<int64_t>{0}; };
    CHECK(has(error_of([&] { block.forward(good, training); }), "must have length 2"));
    CHECK(has(error_of([&] { block.forward(std::vector<Variable>{}, {}); }), "at least one tensor"));
    for (int64_t layer : {int64_t{1}, int64_t{-2}, kHuge, INT64_MIN})
        CHECK(has(error_of([&] {
                      vit.get_intermediate_layers(Tensor::zeros({1, 3, 8, 8}), {}, {layer});
                  }),
                  "[get_intermediate_layers] layer must be in"));
}

TEST_CASE("what was made by a default constructor says that it holds no parameters") {
    Generator g{1};
    const Variable x(Tensor::zeros({2, 3, 8})), images(Tensor::zeros({2, 3, 8, 8}));
    const auto empty = [&](auto call) { CHECK(has(error_of(call), "holds no parameters")); };
    ForwardContext training;
    training.training = true;
    training.generator = &g;
    empty([&] { Linear().forward(x); });
    empty([&] { Linear().forward_add(x, x); });
    empty([&] { LayerNorm().forward(x); });
    empty([&] { LayerNorm().forward_as(x, DType::f16); });
    empty([&] { LayerNorm().forward_branch(x, DType::f16); });
    empty([&] { Mlp().forward(x); });
    empty([&] { Mlp().forward_add(x, x); });
    empty([&] { SwiGLUFFN().forward(x); });
    empty([&] { PatchEmbed().forward(images, DType::f32); });
    empty([&] { SelfAttention().forward(x, {}, {}); });
    empty([&] { SelfAttention().first_token_weights(x.value()); });
    empty([&] { DINOHead().forward(x); });
    empty([&] { DINOHead().init_xavier(g); });
    empty([&] { DinoVisionTransformer().init_xavier(g); });
    for (const ForwardContext& context : {ForwardContext(), training}) {
        empty([&] { Block().forward(x, context); });
        empty([&] { Block().forward(std::vector<Variable>{x}, context); });
        empty([&] { DinoVisionTransformer().forward(images, context); });
        empty([&] { DinoVisionTransformer().forward_features(images, context); });
        empty([&] { DinoVisionTransformer().forward_features(std::vector<Variable>{images}, context); });
        empty([&] { DinoVisionTransformer().get_intermediate_layers(images, context, {}); });
    }
    empty([&] { DinoVisionTransformer().get_last_selfattention(images.value()); });
    Block block;
    Linear linear;
    DINOHead head;
    DinoVisionTransformer vit;
    empty([&] { parameters_of(block); });
    empty([&] { parameters_of(linear); });
    empty([&] { parameters_of(head); });
    empty([&] { parameters_of(vit); });
    empty([&] { to_device(vit, Device::cpu()); });
    BlockConfig config;  // halves that do not belong together
    config.dim = 8;
    config.heads = 2;
    Block half(config, g);
    half.mlp = Mlp();
    empty([&] { half.forward(x, {}); });
    half = Block(config, g);
    half.attn = SelfAttention();
    empty([&] { half.forward(x, {}); });
    half = Block(config, g);
    for (int64_t heads : {int64_t{0}, int64_t{-2}, int64_t{3}, kHuge}) {
        half.attn.heads = heads;
        CHECK(has(error_of([&] { half.forward(x, {}); }), "D a multiple of heads"));
        CHECK(has(error_of([&] { half.attn.first_token_weights(x.value()); }), "D a multiple of heads"));
    }
}

}  // namespace demi::test
