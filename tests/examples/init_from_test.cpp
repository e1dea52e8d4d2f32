// --init-from: a model starts from the weights of another one.
#include <doctest/doctest.h>

#include "tests/examples/start.h"
#include "tests/support/compare.h"

using namespace demi;
using namespace demi::examples;
using namespace demi::test;

namespace {

Tensor parameter(Classifier& model, const std::string& wanted) {
    for (const auto& [name, parameter] : parameters_of(model))
        if (name == wanted) return parameter.value();
    return {};
}

}  // namespace

TEST_CASE("the weights say what the model and the pictures are") {
    Start start;
    const InitFrom weights(start.options);
    TrainOptions o = start.options;
    weights.adapt(o);
    CHECK(o.image_size == 16);
    CHECK(o.patch == 4);
    CHECK(o.channels == 3);
    const ViTConfig c = weights.config(o, 16, 3);
    CHECK(c.embed_dim == 24);
    CHECK(c.ffn_hidden == 40);
    CHECK(o.depth == 3);
    CHECK(o.heads == 3);
    const data::ChannelStats stats = weights.stats({}, 3);
    CHECK(stats.mean[2] == kStats.mean[2]);
    CHECK(stats.std[1] == kStats.std[1]);
    Classifier other;
    CHECK(start.load(other, start.names));
    for (size_t i = 0; i < start.tensors().size(); ++i)
        CHECK(same_bits(parameters_of(other)[i].second.value(), start.tensors()[i].second) == "");
}

TEST_CASE("larger pictures of our own weights get larger patches, others more of them") {
    Start start;
    const auto patch = [&](int64_t side, int64_t asked) {
        TrainOptions o = start.options;
        o.image_size = side;
        o.patch = asked;
        InitFrom(o).adapt(o);
        return o.patch;
    };
    CHECK(patch(24, 0) == 6);
    CHECK(patch(24, 4) == 4);
    CHECK(patch(8, 0) == 2);
    CHECK(patch(20, 0) == 5);
    CHECK(patch(18, 0) == 4);  // which config() refuses: no whole number of patches
    start.options.image_size = 18;
    CHECK(has(start.refused(), "16 or 20 would fit"));
    start.write(start.tensors(), false);
    CHECK(patch(24, 0) == 4);
    start.options.image_size = 24;
    Classifier other;
    start.load(other, start.names);
    CHECK(other.backbone.config().img_size == 24);
    CHECK(parameter(other, "pos_embed").shape() == Shape({1, 37, 24}));
}

TEST_CASE("a classifier is loaded class by class") {
    Start start;
    Classifier other;
    CHECK(start.load(other, {"wasp", "bee", "fly"}));
    const Tensor mine = parameter(start.model, "head.weight"), bias = parameter(start.model, "head.bias");
    for (const auto& [here, there] : {std::pair<int64_t, int64_t>{0, 2}, {1, 0}, {2, 1}}) {
        CHECK(same_bits(parameter(other, "head.weight").select(0, here), mine.select(0, there)) == "");
        CHECK(parameter(other, "head.bias").select(0, here).item() == bias.select(0, there).item());
    }
    CHECK_FALSE(start.load(other, {"ant", "fly"}));
    CHECK(same_bits(parameter(other, "head.weight").select(0, 1), mine.select(0, 1)) == "");
    CHECK(parameter(other, "head.bias").select(0, 0).item() == 0);
    CHECK_FALSE(start.load(other, {"a", "b", "c"}));
    start.names.clear();  // of a file that names none
    start.write();
    CHECK(start.load(other, {"a", "b", "c"}));
    CHECK(same_bits(parameter(other, "head.weight"), mine) == "");
    CHECK_FALSE(start.load(other, {"a", "b"}));
}

TEST_CASE("grey weights start on RGB pictures, RGB weights on grey ones") {
    Start grey(small(1));
    Classifier other;
    const InitFrom weights(grey.options);
    TrainOptions o = grey.options;
    weights.adapt(o);
    CHECK(o.channels == 0);  // as the pictures are
    CHECK(weights.stats({}, 3).mean[2] == kStats.mean[0]);
    CHECK(grey.load(other, grey.names));
    CHECK(other.backbone.config().in_chans == 3);
    const Tensor w = parameter(other, "patch_embed.proj.weight"),
                 from = parameter(grey.model, "patch_embed.proj.weight");
    CHECK(w.select(1, 1).select(0, 0).select(0, 0).select(0, 0).item() ==
          doctest::Approx(0.587 * from.select(1, 0).select(0, 0).select(0, 0).select(0, 0).item()));
    Start rgb;
    InitFrom(rgb.options).adapt(rgb.options);
    CHECK(rgb.options.channels == 3);
}

TEST_CASE("what does not fit is refused, or goes on with --partial") {
    Start start;
    const auto with = [&](const char* flag, auto set) {
        Start other;
        other.options.given = {flag};
        set(other.options);
        return other.refused();
    };
    CHECK(has(with("dim", [](TrainOptions& o) { o.dim = 96; }), "has --dim 24: got --dim 96"));
    CHECK(has(with("mlp-ratio", [](TrainOptions& o) { o.mlp_ratio = 4; }), "mlp-ratio"));
    CHECK(has(with("swiglu", [](TrainOptions& o) { o.swiglu = true; }), "swiglu"));
    CHECK(has(with("rope", [](TrainOptions& o) { o.rope = true; }), "rope"));
    CHECK(has(with("model",
                   [](TrainOptions& o) {
                       o.model = "vit_small";
                       o.patch = 4;
                   }),
              "no vit_small"));
    CHECK(has(with("depth", [](TrainOptions& o) { o.depth = 2; }), "no place for: blocks.2."));
    CHECK(has(with("depth", [](TrainOptions& o) { o.depth = 4; }), "lacks blocks.3."));
    CHECK(has(with("registers", [](TrainOptions& o) { o.registers = 2; }), "lacks register_tokens"));
    CHECK(has(with("init-from", [](TrainOptions& o) { o.layer_scale = 0.1; }), "lacks blocks.0.ls1.gamma"));
    NamedTensors tensors = start.tensors();
    tensors.emplace_back("blocks.0.attn.q_norm.weight", Tensor::ones({4}));
    start.write(tensors);
    CHECK(has(start.refused(), "no place for: blocks.0.attn.q_norm.weight"));
    start.options.partial = true;
    CHECK(start.refused() == "");
    std::erase_if(tensors, [](const auto& entry) { return entry.first.find("norm") != std::string::npos; });
    start.write(tensors);
    CHECK(start.refused() == "");
    start.options.partial = false;
    CHECK(has(start.refused(), "lacks blocks.0.norm1.weight"));
}

TEST_CASE("--freeze keeps the backbone, or its first blocks") {
    Start start;
    const auto learning = [&](const std::string& what) {
        Generator generator{3};
        Classifier model(small(), 3, generator);
        freeze(parameters_of(model), what, 3);
        std::string text;
        for (const auto& [name, parameter] : parameters_of(model))
            if (parameter.requires_grad()) text += name + " ";
        return text;
    };
    CHECK(learning("backbone") == "head.weight head.bias ");
    CHECK(has(learning("3"), "norm.weight norm.bias head.weight"));
    CHECK_FALSE(has(learning("3"), "blocks."));
    const std::string two = learning("2");
    for (const char* name : {"cls_token", "pos_embed", "patch_embed", "blocks.0.", "blocks.1."})
        CHECK_FALSE(has(two, name));
    CHECK(has(two, "blocks.2.norm1.weight"));
    for (const char* bad : {"4", "0", "-1", "2x", "head", "backbones"})
        CHECK(has(error_of([&] { learning(bad); }), "from 1 to 3: got '" + std::string(bad) + "'"));
}
