// Weights under the names of Meta, Hugging Face and timm are the same model.
#include "models/pretrained/pretrained.h"

#include <doctest/doctest.h>

#include "autograd/grad_mode.h"
#include "models/checkpoint.h"
#include "models/pretrained/export.h"
#include "runtime/copy.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/temporary.h"
#include "tests/support/tiny_vit.h"
#include "tests/support/torch_bytes.h"

using namespace demi;
using namespace demi::test;

namespace {

ViTConfig small(int64_t registers, bool swiglu) {
    ViTConfig c = tiny_vit(16, 24, 3);
    c.init_values = 0.5;
    c.num_register_tokens = registers;
    if (swiglu) c.ffn_layer = "swiglufused";
    c.interpolate_antialias = registers > 0;
    c.interpolate_offset = registers > 0 ? 0 : 0.1;
    return c;
}

// Every parameter different from its initial value.
NamedTensors drawn(const ViTConfig& config) {
    Generator generator{5};
    DinoVisionTransformer model(config, generator);
    for (auto& [name, parameter] : parameters_of(model)) uniform(parameter.value(), generator, -0.5, 0.5);
    return state_dict(parameters_of(model));
}

Tensor features(const DinoVisionTransformer& model) {
    const NoGrad no_grad;
    Generator generator{6};
    ForwardContext context;
    context.boundary.mode = BoundaryMode::off;
    return model.forward_features(Variable(randn({2, 3, 16, 16}, generator)), context).x_prenorm.value();
}

DinoVisionTransformer loaded(const Pretrained& weights) {
    Generator generator;
    const SkipInit skip;
    DinoVisionTransformer model(vit_config(weights.config()), generator);
    load_pretrained(parameters_of(model), weights);
    CHECK(generator == Generator());  // nothing was drawn
    return model;
}

NamedTensors prefixed(const NamedTensors& tensors, const std::string& prefix) {
    NamedTensors all;
    for (const auto& [name, tensor] : tensors) all.emplace_back(prefix + name, tensor);
    return all;
}

WeightsConfig config_of(const NamedTensors& ours, const std::string& path) {
    write_safetensors(path, ours);
    return Pretrained(path, {2, "", true}).config();
}

}  // namespace

TEST_CASE("each naming holds the same network, as safetensors and as .pth, under any prefix") {
    TemporaryFolder folder;
    const std::string path = folder / "weights";
    for (const auto& [registers, swiglu] : {std::pair{0, false}, std::pair{4, true}, std::pair{0, true}}) {
        const NamedTensors ours = drawn(small(registers, swiglu));
        const WeightsConfig config = config_of(ours, path);
        const Tensor want = features(loaded(Pretrained(path, {2, "", true})));
        for (WeightNaming naming : {WeightNaming::meta, WeightNaming::hugging_face, WeightNaming::timm}) {
            CAPTURE(static_cast<int>(naming));
            std::vector<std::string> dropped;
            const NamedTensors theirs = export_names(ours, config, naming, dropped);
            CHECK(dropped == (naming == WeightNaming::timm ? std::vector<std::string>{"mask_token"}
                                                           : std::vector<std::string>{}));
            for (const char* prefix :
                 {"", "dinov2.", "teacher.module.backbone.", "state_dict.model._orig_mod.", "mine."}) {
                const NamedTensors named = prefixed(theirs, prefix);
                for (bool torch : {false, true}) {
                    if (torch)
                        put_file(path, torch_file(named));
                    else
                        write_safetensors(path, named);
                    const Pretrained weights(path, {2, "", true});
                    const WeightsConfig& c = weights.config();
                    CHECK(weights.names().naming == naming);
                    CHECK(c.registers == registers);
                    CHECK(c.swiglu == swiglu);
                    CHECK(c.ffn_hidden == config.ffn_hidden);
                    CHECK(c.img_size == 16);
                    CHECK(c.offset == (naming == WeightNaming::meta && registers == 0 ? 0.1 : 0));
                    CHECK(c.antialias == (naming == WeightNaming::timm || registers > 0));
                    CHECK(compare(features(loaded(weights)), want, {1e-6, 1e-6}) == "");
                }
            }
        }
    }
}

TEST_CASE("a DINOv3 of ours is the same under each naming, periods and all") {
    TemporaryFolder folder;
    const Metadata periods{{"rope_period.0", "1"}, {"rope_period.1", "3"}, {"rope_period.2", "10.5"}};
    for (bool gated : {false, true}) {
        ViTConfig config = small(4, false);
        config.rope.emplace();
        config.rope->periods = {1, 3, 10.5};
        config.mask_k_bias = true;
        config.norm_eps = 1e-5;
        if (gated) config.ffn_layer = "swiglu_split";
        config.ffn_hidden = 20;
        Metadata metadata = periods;
        metadata["rope_base"] = "100";
        metadata["mask_k_bias"] = "1";
        write_safetensors(folder / "x", drawn(config), metadata);
        const Pretrained first(folder / "x", {2, "", true});
        CHECK(first.config().rope_periods == config.rope->periods);
        CHECK((first.config().dinov3 && first.config().mask_k_bias && first.config().swiglu == gated));
        const Tensor want = features(loaded(first));
        NamedTensors ours = load_network(first);
        ours.emplace_back("rope_embed.periods", Tensor::from(std::vector<float>{1, 3, 10.5f}, {3}));
        for (WeightNaming naming : {WeightNaming::meta, WeightNaming::hugging_face, WeightNaming::timm}) {
            std::vector<std::string> dropped;  // periods too, but by Meta: metadata says them then
            write_safetensors(folder / "y", export_names(ours, first.config(), naming, dropped),
                              naming == WeightNaming::meta ? Metadata() : periods);
            const Pretrained weights(folder / "y", {2, "", true});
            CHECK(weights.config().mask_k_bias);
            CHECK(Pretrained(folder / "y").config().heads == 2);  // by the number of periods
            CHECK(compare(features(loaded(weights)), want, {1e-6, 1e-6}) == "");
        }
    }
}

TEST_CASE("names of Hugging Face and timm are theirs") {
    TemporaryFolder folder;
    const NamedTensors ours = drawn(small(4, false));
    const WeightsConfig config = config_of(ours, folder / "x");
    const auto ours_named = [&](const std::string& wanted) {
        for (const auto& [name, tensor] : ours)
            if (name == wanted) return tensor;
        return Tensor();
    };
    const auto check_name = [&](WeightNaming naming, const std::string& theirs, const Tensor& want) {
        std::vector<std::string> dropped;
        Tensor got;
        for (const auto& [name, tensor] : export_names(ours, config, naming, dropped))
            if (name == theirs) got = tensor;
        CAPTURE(theirs);
        REQUIRE(got.defined());
        CHECK(same_bits(got.contiguous(), want.contiguous()) == "");
    };
    const Tensor qkv = ours_named("blocks.1.attn.qkv.weight"), bias = ours_named("blocks.1.attn.qkv.bias");
    const std::string layer = "encoder.layer.1.attention.";
    check_name(WeightNaming::hugging_face, layer + "attention.query.weight", qkv.slice(0, 0, 24));
    check_name(WeightNaming::hugging_face, layer + "attention.key.bias", bias.slice(0, 24, 48));
    check_name(WeightNaming::hugging_face, layer + "attention.value.weight", qkv.slice(0, 48, 72));
    check_name(WeightNaming::hugging_face, layer + "output.dense.weight",
               ours_named("blocks.1.attn.proj.weight"));
    check_name(WeightNaming::hugging_face, "encoder.layer.2.layer_scale1.lambda1",
               ours_named("blocks.2.ls1.gamma"));
    check_name(WeightNaming::hugging_face, "embeddings.position_embeddings", ours_named("pos_embed"));
    check_name(WeightNaming::hugging_face, "embeddings.patch_embeddings.projection.bias",
               ours_named("patch_embed.proj.bias"));
    check_name(WeightNaming::hugging_face, "layernorm.weight", ours_named("norm.weight"));
    check_name(WeightNaming::timm, "pos_embed", ours_named("pos_embed").slice(1, 1));
    check_name(WeightNaming::timm, "reg_token", ours_named("register_tokens"));
    check_name(WeightNaming::timm, "blocks.1.attn.qkv.weight", qkv);
}

TEST_CASE("DINOv3's names: pieces, masked biases and gates") {
    TemporaryFolder folder;
    Generator g{7};
    for (bool gated : {false, true}) {
        NamedTensors ours{{"cls_token", randn({1, 1, 8}, g)},
                          {"register_tokens", randn({1, 4, 8}, g)},
                          {"mask_token", randn({1, 8}, g)},
                          {"patch_embed.proj.weight", randn({8, 3, 4, 4}, g)},
                          {"patch_embed.proj.bias", randn({8}, g)},
                          {"norm.weight", randn({8}, g)},
                          {"norm.bias", randn({8}, g)}};
        for (int i = 0; i < 2; ++i) {
            const std::string block = "blocks." + std::to_string(i) + ".";
            Tensor bias = randn({24}, g);
            fill(bias.slice(0, 8, 16), 0);
            const std::string up = gated ? "mlp.w12." : "mlp.fc1.", down = gated ? "mlp.w3." : "mlp.fc2.";
            for (const auto& [name, tensor] : NamedTensors{{"norm1.weight", randn({8}, g)},
                                                           {"attn.qkv.weight", randn({24, 8}, g)},
                                                           {"attn.qkv.bias", bias},
                                                           {"attn.proj.weight", randn({8, 8}, g)},
                                                           {"ls1.gamma", randn({8}, g)},
                                                           {"ls2.gamma", randn({8}, g)},
                                                           {up + "weight", randn({gated ? 32 : 16, 8}, g)},
                                                           {up + "bias", randn({gated ? 32 : 16}, g)},
                                                           {down + "weight", randn({8, 16}, g)}})
                ours.emplace_back(block + name, tensor);
        }
        WeightsConfig config;
        config.dinov3 = config.mask_k_bias = true;
        config.registers = 4;
        for (WeightNaming naming : {WeightNaming::meta, WeightNaming::hugging_face, WeightNaming::timm}) {
            CAPTURE(static_cast<int>(naming));
            std::vector<std::string> dropped;
            write_safetensors(folder / "x", export_names(ours, config, naming, dropped));
            const Pretrained weights(folder / "x");
            const WeightsConfig& c = weights.config();
            CHECK(weights.names().naming == naming);
            CHECK((c.dinov3 && c.mask_k_bias && c.registers == 4 && c.img_size == 0 && c.norm_eps == 1e-5));
            CHECK(c.swiglu == gated);
            CHECK(c.ffn_hidden == 16);
            for (const auto& [name, tensor] : ours) {
                if (naming == WeightNaming::timm && name == "mask_token") continue;
                const auto found = weights.names().tensors.find(name);
                REQUIRE_MESSAGE(found != weights.names().tensors.end(), name);
                CHECK(same_bits(load_mapped(weights.file(), found->second), tensor) == "");
            }
            MappedTensor half;
            CHECK(find_mapped(weights.names(), "storage_tokens", half) != nullptr);
            for (const auto& [name, tensor] : ours) {
                if (!gated || name != "blocks.1.mlp.w12.weight") continue;
                const MappedTensor* second = find_mapped(weights.names(), "blocks.1.mlp.w2.weight", half);
                REQUIRE(second != nullptr);
                CHECK(same_bits(load_mapped(weights.file(), *second), tensor.slice(0, 16, 32).contiguous()) ==
                      "");
            }
        }
    }
}
