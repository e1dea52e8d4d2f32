// Wrong arguments to every public function of models/: an Error each time, and never anything worse.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "models/models.h"
#include "ops/operators.h"
#include "ops/sum/sum.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary.h"

namespace demi::test {
namespace {

constexpr int64_t kHuge = INT64_MAX;
const double kNaN = NAN, kInf = INFINITY;

std::vector<Tensor> samples() {
    std::vector<Tensor> all{Tensor()};
    for (DType dtype :
         {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i64, DType::i32, DType::u8, DType::boolean})
        for (const Shape& shape :
             {Shape{}, Shape{0}, Shape{8}, Shape{0, 8}, Shape{2, 8}, Shape{5, 8}, Shape{8, 1}, Shape{2, 3, 8},
              Shape{0, 3, 8}, Shape{2, 3, 0}, Shape{2, 3, 7}, Shape{2, 3, 8, 8}, Shape{0, 3, 8, 8},
              Shape{2, 3, 0, 0}, Shape{2, 1, 3, 8, 8}})
            all.push_back(Tensor::full(shape, 1, dtype));
    constexpr int64_t kMany = int64_t{1} << 56;  // of no memory: copies of it fit no machine
    for (const Shape& shape : {Shape{kMany}, Shape{kMany, 8}, Shape{2, kMany}, Shape{kMany, 1, 8},
                               Shape{1, kMany, 8}, Shape{kMany / 64, 3, 8, 8}})
        all.push_back(Tensor::zeros({}).expand(shape));
    return all;
}

// The Error's text, "" for a result. Other exceptions are what this file looks for.
template <class F> std::string outcome(const std::string& what, F fn) {
    try {
        return error_of(fn);
    } catch (const std::exception& e) {
        FAIL_CHECK(what << ": " << e.what());
        return "another exception";
    }
}

// fn with every sample; an undefined tensor has to be refused.
template <class F> void walk(const std::string& what, F fn) {
    for (const Tensor& t : samples()) {
        const std::string error = outcome(what + " of " + describe(t), [&] { fn(t); });
        CHECK_MESSAGE((t.defined() || error != ""), what);
    }
}

template <class F> void walk_pairs(const std::string& what, F fn) {
    for (const Tensor& a : samples())
        for (const Tensor& b : samples()) {
            const std::string error =
                outcome(what + " of " + describe(a) + " and " + describe(b), [&] { fn(a, b); });
            CHECK_MESSAGE(((a.defined() && b.defined()) || error != ""), what);
        }
}

ViTConfig tiny() {
    ViTConfig c;
    c.img_size = 8;
    c.patch_size = 4;
    c.embed_dim = 8;
    c.depth = 1;
    c.num_heads = 2;
    c.drop_path_rate = 0.3;
    c.drop_path_uniform = true;
    return c;
}

DinoHeadConfig head_config() { return {8, 8, 4, 4, 2}; }

template <class F> void refuse(const std::string& what, F fn) {
    CHECK_MESSAGE(outcome(what, fn) != "", what);
}

}  // namespace

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

TEST_CASE("absurd configurations are refused") {
    Generator g{1};
    using L = std::numeric_limits<int64_t>;
    for (int64_t size : {int64_t{0}, int64_t{-1}, L::min(), L::max(), int64_t{1} << 40}) {
        CAPTURE(size);
        for (int64_t ViTConfig::*field : {&ViTConfig::img_size, &ViTConfig::patch_size, &ViTConfig::in_chans,
                                          &ViTConfig::embed_dim, &ViTConfig::depth, &ViTConfig::num_heads,
                                          &ViTConfig::block_chunks, &ViTConfig::num_register_tokens}) {
            if (size == 0 && (field == &ViTConfig::block_chunks || field == &ViTConfig::num_register_tokens))
                continue;
            ViTConfig c = tiny();
            c.*field = size;
            refuse("ViT", [&] { DinoVisionTransformer model(c, g); });
        }
        for (int64_t BlockConfig::*field : {&BlockConfig::dim, &BlockConfig::heads}) {
            BlockConfig c;
            c.*field = size;
            refuse("Block", [&] { Block block(c, g); });
            refuse("SelfAttention", [&] { SelfAttention block(c, g); });
        }
        for (int64_t DinoHeadConfig::*field :
             {&DinoHeadConfig::in_dim, &DinoHeadConfig::out_dim, &DinoHeadConfig::hidden_dim,
              &DinoHeadConfig::bottleneck_dim, &DinoHeadConfig::nlayers}) {
            DinoHeadConfig c = head_config();
            c.*field = size;
            refuse("DINOHead", [&] { DINOHead head(c, g); });
        }
        refuse("SwiGLU", [&] { SwiGLUFFN ffn(8, size, true, g); });
        refuse("patch", [&] { PatchEmbed embed(size, 3, 8, g); });
        refuse("channels", [&] { PatchEmbed embed(4, size, 8, g); });
        refuse("dim", [&] { PatchEmbed embed(4, 3, size, g); });
        refuse("masks", [&] { block_masks(2, size, 4, {}, g); });
        refuse("mask", [&] { block_mask(4, size, 3, {}, g); });
        if (size == 0) continue;
        refuse("Linear in", [&] { Linear layer(size, 8, true, g); });
        refuse("Linear out", [&] { Linear layer(8, size, true, g); });
        refuse("LayerNorm", [&] { LayerNorm layer(size); });
        refuse("Mlp", [&] { Mlp layer(8, size, true, g); });
        refuse("images", [&] { block_masks(size, 4, 4, {}, g); });
        refuse("constant", [&] { constant_parameter({size, 8}, 0); });
        refuse("normal", [&] { normal_parameter({size, 8}, g, 1); });
        refuse("uniform", [&] { uniform_parameter({size, 8}, g, 1); });
        refuse("trunc_normal", [&] { trunc_normal_parameter({size, 8}, g, 1); });
    }
    for (double value : {kNaN, kInf, -kInf, -2.0, 1e300}) {
        CAPTURE(value);
        for (double ViTConfig::*field :
             {&ViTConfig::mlp_ratio, &ViTConfig::drop_path_rate, &ViTConfig::interpolate_offset}) {
            ViTConfig c = tiny();
            c.*field = value;
            refuse("ViT", [&] { DinoVisionTransformer model(c, g); });
        }
        SslConfig ssl;
        ssl.backbone = tiny();
        ssl.head = head_config();
        for (double SslConfig::*field :
             {&SslConfig::student_temp, &SslConfig::center_momentum, &SslConfig::dino_weight,
              &SslConfig::koleo_weight, &SslConfig::ibot_weight}) {
            if (value == 1e300 && field != &SslConfig::center_momentum) continue;
            if (value == kInf && field == &SslConfig::student_temp) continue;
            SslConfig c = ssl;
            c.*field = value;
            refuse("ssl", [&] { SSLMetaArch model(c, g); });
        }
        MaskOptions masks;
        masks.probability = value;
        refuse("probability", [&] { block_masks(2, 4, 4, masks, g); });
        masks = {};
        masks.ratio_max = value;
        refuse("ratio_max", [&] { block_masks(2, 4, 4, masks, g); });
        masks = {};
        masks.min_aspect = value;
        refuse("min_aspect", [&] { block_masks(2, 4, 4, masks, g); });
        refuse("kept_rows", [&] { kept_rows(4, value); });
        refuse("std", [&] { Linear layer(8, 8, true, g, value); });
        refuse("ema", [&] {
            ema_update({{"a", constant_parameter({1}, 0)}}, {{"a", constant_parameter({1}, 0)}}, value);
        });
    }
    ViTConfig odd = tiny();
    odd.init_values = kNaN;
    refuse("init_values", [&] { DinoVisionTransformer model(odd, g); });
    odd = tiny();
    odd.ffn_layer = "";
    refuse("ffn_layer", [&] { DinoVisionTransformer model(odd, g); });
    odd = tiny();
    odd.drop_path_rate = 1;
    refuse("drop_path_rate", [&] { DinoVisionTransformer model(odd, g); });
    odd = tiny();
    odd.mlp_ratio = 0;
    refuse("mlp_ratio", [&] { DinoVisionTransformer model(odd, g); });
    refuse("vit_config", [&] { vit_config("vit_none"); });
    MaskOptions masks;
    masks.min_aspect = 1e-300;
    masks.min_patches = kHuge;
    block_masks(2, 4, 4, masks, g);  // no rectangle fits: empty masks
    masks.min_patches = 0;
    refuse("min_patches", [&] { block_masks(2, 4, 4, masks, g); });
    refuse("schedule", [] { CosineSchedule{.freeze = -1}.at(0); });
    refuse("schedule", [] { CosineSchedule{.warmup = INT64_MIN}.at(0); });
    refuse("schedule",
           [] { CosineSchedule{.total = kHuge, .warmup = kHuge, .freeze = kHuge}.at(kHuge - 1); });
    refuse("schedule", [] { CosineSchedule().at(-1); });
    refuse("schedule", [] { LinearSchedule().at(INT64_MIN); });
    CHECK(LinearSchedule{0, 1, INT64_MIN}.at(0) == 1);
}

TEST_CASE("losses, targets, masks and lists of any tensor") {
    const Tensor good = Tensor::zeros({2, 8}), masks = Tensor::full({2, 1}, 1, DType::boolean);
    walk("koleo", [](const Tensor& x) { koleo_loss(x); });
    walk("sinkhorn", [](const Tensor& x) { sinkhorn_knopp(x, 0.1); });
    walk("positions", [](const Tensor& x) { masked_positions(x); });
    walk("ibot masks", [&](const Tensor& x) { ibot_loss(good, good, x); });
    walk("dino targets", [&](const Tensor& x) { dino_loss({Variable(good)}, {good, x}); });
    walk_pairs("softmax_center", [](const Tensor& x, const Tensor& y) { softmax_center(x, y, 0.1); });
    walk_pairs("update_center", [](const Tensor& x, const Tensor& y) {
        check(y.numel() < int64_t{1} << 40, "test", "that would sum for years");
        update_center(x.defined() ? x.clone() : x, y);
    });
    walk_pairs("dino", [](const Tensor& x, const Tensor& y) { dino_loss({Variable(x)}, {y}); });
    walk_pairs("ibot", [&](const Tensor& x, const Tensor& y) { ibot_loss(x, y, masks); });
    for (double temp : {0.0, -1.0, kNaN}) {
        refuse("temp", [&] { softmax_center(good, Tensor::zeros({1, 8}), temp); });
        refuse("temp", [&] { sinkhorn_knopp(good, temp); });
        refuse("temp", [&] { dino_loss({Variable(good)}, {good}, temp); });
        refuse("temp", [&] { ibot_loss(good, good, masks, temp); });
        refuse("eps", [&] { koleo_loss(good, temp); });
    }
    refuse("iterations", [&] { sinkhorn_knopp(good, 0.1, 0); });
    refuse("momentum", [&] { update_center(Tensor::zeros({1, 8}), good, kNaN); });
    refuse("no students", [&] { dino_loss({}, {good}); });
    refuse("no targets", [&] { dino_loss({Variable(good)}, {}); });

    const Variable tokens(Tensor::zeros({2, 3, 8}));
    walk("list", [&](const Tensor& x) { get_attn_bias_and_cat({tokens, x}); });
    walk("list, first", [&](const Tensor& x) { get_attn_bias_and_cat({x, tokens}); });
    walk("rows", [&](const Tensor& x) { get_attn_bias_and_cat({tokens}, {x}, {}); });
    walk("split", [&](const Tensor& x) { get_attn_bias_and_cat({tokens}).first.split(x); });
    refuse("no list", [&] { get_attn_bias_and_cat({}); });
    refuse("no list", [&] { get_attn_bias_and_cat({}, {}, {}); });
    refuse("no rows", [&] { get_attn_bias_and_cat({tokens}, {}, {}); });
    const Tensor row = Tensor::zeros({1}, DType::i64);
    walk_pairs("add_residual", [&](const Tensor& x, const Tensor& y) { add_residual(x, row, y, {}, 1, {}); });
    walk("add_residual rows", [&](const Tensor& x) { add_residual(tokens, x, tokens, {}, 1, {}); });
    for (int64_t kept : {int64_t{-1}, int64_t{3}, kHuge, INT64_MIN}) {
        refuse("drawn_rows", [&] { drawn_rows({}, 2, kept, Device::cpu()); });
        refuse("first_rows", [&] { first_rows({0, 1}, kept, Device::cpu()); });
    }
    refuse("no generator", [&] { drawn_rows({}, 2, 1, Device::cpu()); });
    refuse("kept_rows", [] { kept_rows(INT64_MIN, 0.1); });
    refuse("precision", [] { parse_precision("f31"); });
    refuse("permutation", [] { ForwardContext().draw_permutation(-1); });
}

TEST_CASE("student and teacher of any batch") {
    Generator g{1};
    SslConfig config;
    config.backbone = tiny();
    config.head = head_config();
    SSLMetaArch model(config, g);
    ForwardContext context;
    context.training = true;
    context.generator = &g;
    SslBatch good;
    good.global_crops = Tensor::zeros({2, 3, 8, 8});
    const auto with = [&](Tensor SslBatch::*field) {
        return [&model, &context, good, field](const Tensor& x) {
            check(x.defined() || field == &SslBatch::global_crops, "test", "undefined means none");
            SslBatch batch = good;
            batch.*field = x;
            model.losses(batch, 0.07, context);
        };
    };
    walk("global", with(&SslBatch::global_crops));
    walk("local", with(&SslBatch::local_crops));
    walk("masks", with(&SslBatch::masks));
    walk_pairs("centers", [&](const Tensor& x, const Tensor& y) { model.set_centers(x, y); });
    for (double temp : {0.0, -1.0, kNaN}) refuse("temp", [&] { model.losses(good, temp, context); });
    refuse("momentum", [&] { model.commit(2); });
    refuse("centering", [&] {
        SslConfig c = config;
        c.centering = "none";
        SSLMetaArch other(c, g);
    });
}

TEST_CASE("lists of parameters that do not belong together") {
    const Variable a = constant_parameter({2}, 1), b = constant_parameter({3}, 1);
    const Variable whole(Tensor::zeros({2}, DType::i64)), none;
    for (const Variable& other : {b, whole, none}) {
        CAPTURE(other.value());
        refuse("ema", [&] { ema_update({{"p", a}}, {{"p", other}}, 0.5); });
        refuse("ema", [&] { ema_update({{"p", other}}, {{"p", a}}, 0.5); });
        if (!other.defined() || other.shape() != a.shape()) {
            refuse("copy", [&] { copy_parameters({{"p", a}}, {{"p", other}}); });
            refuse("copy", [&] { copy_parameters({{"p", other}}, {{"p", a}}); });
        }
    }
    refuse("ema", [&] { ema_update({{"p", a}}, {}, 0.5); });
    refuse("copy", [&] { copy_parameters({{"p", a}}, {}); });
    refuse("copy", [&] { copy_parameters({{"p", none}}, {{"p", none}}); });
    refuse("factors", [&] { gradient_factors({}, {}, 1, 0); });
    refuse("factors", [&] { gradient_factors({{"p", a}}, {2}, 1, 0); });
    refuse("factors", [&] { gradient_factors({{"p", a}}, {1}, 1, -1); });
    refuse("factors", [&] { gradient_factors({{"p", none}}, {1}, 1, 0); });
    refuse("factors", [&] { gradient_factors({{"p", a}}, std::vector<size_t>(65, 0), 1, 0); });
    zero_grad({{"p", a}});
    CHECK(parameter_count({{"p", a}, {"q", b}}) == 5);

    const TemporaryFolder folder;
    const std::string path = folder.path() + "/state.safetensors";
    refuse("state", [&] { write_safetensors(path, state_dict({{"p", none}}), {}); });
    write_safetensors(path, state_dict({{"p", a}}), {});
    const SafetensorsFile file(path);
    for (const Variable& other : {b, none}) refuse("load", [&] { load_state_dict({{"p", other}}, file); });
    refuse("load", [&] { load_state_dict({}, file); });
    refuse("load", [&] { load_state_dict({{"q", a}}, file); });
    Optimizer optimizer({{"p", a}}, {ParameterOptions()});
    refuse("optimizer", [&] { optimizer.load(file); });
    const Metadata wrong{{"x.seed", "-"}, {"x.offset", "1e400"}};
    refuse("state", [&] { state_double(wrong, "x.offset"); });
    refuse("state", [&] { state_int(wrong, "x.seed"); });
    refuse("state", [&] { state_int(wrong, ""); });
    refuse("state", [&] { load_generator(wrong, "x"); });
}

}  // namespace demi::test
