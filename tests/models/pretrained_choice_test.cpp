// Which network of a file is taken, what its configuration is, and that nothing is dropped in silence.
#include <doctest/doctest.h>

#include "models/checkpoint.h"
#include "models/pretrained/pretrained.h"
#include "runtime/copy.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/temporary.h"
#include "tests/support/tiny_vit.h"
#include "tests/support/torch_bytes.h"

using namespace demi;
using namespace demi::test;

namespace {

NamedTensors network(int64_t width, double value, int64_t depth = 2) {
    ViTConfig c = tiny_vit(8, width, depth, 1);
    c.mlp_ratio = 1;
    Generator generator{1};
    const SkipInit skip;
    DinoVisionTransformer model(c, generator);
    for (auto& [name, parameter] : parameters_of(model)) fill(parameter.value(), value);
    return state_dict(parameters_of(model));
}

NamedTensors operator+(NamedTensors a, const NamedTensors& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

NamedTensors named(const std::string& prefix, const NamedTensors& tensors) {
    NamedTensors all;
    for (const auto& [name, tensor] : tensors) all.emplace_back(prefix + name, tensor);
    return all;
}

struct Folder : TemporaryFolder {
    std::string path = *this / "x";
    Pretrained open(const NamedTensors& tensors, const PretrainedOptions& options = {},
                    const Metadata& m = {}) {
        write_safetensors(path, tensors, m);
        return Pretrained(path, options);
    }
    double value(const NamedTensors& tensors, const PretrainedOptions& options = {}) {
        const Pretrained weights = open(tensors, options);
        const Tensor first = load_mapped(weights.file(), weights.names().tensors.at("cls_token"));
        return first.to_vector<double>()[0];
    }
};

}  // namespace

TEST_CASE("the teacher is taken, and said; a key takes another") {
    Folder f;
    const NamedTensors one = network(8, 1), two = network(8, 2), three = network(8, 3);
    const NamedTensors both = named("student.backbone.", one) + named("teacher.backbone.", two);
    CHECK(f.value(both) == 2);
    const std::string said = f.open(both).describe();
    CHECK(has(said, "prefix teacher.backbone."));
    CHECK(has(said, "other networks: student.backbone.; --key"));
    CHECK(f.value(both, {0, "student", true}) == 1);
    CHECK(f.value(named("student.", one) + named("model.", two)) == 2);
    CHECK(f.value(one + named("ema.", two) + named("optimizer.exp_avg.", three)) == 1);
    CHECK(f.value(named("gram_teacher.backbone.", one) + named("teacher.backbone.", two)) == 2);
    const NamedTensors strange = named("left.", one) + named("right.", two);
    CHECK(has(error_of([&] { f.open(strange); }), "say which with --key: left., right."));
    CHECK(f.value(strange, {0, "right", true}) == 2);
    CHECK(has(error_of([&] {
                  f.open(strange, {0, "up", true});
              }),
              "no network whose prefix begins with 'up'"));
    CHECK(has(error_of([&] { f.open(one + named("_orig_mod.", two)); }), "the same name but for wrappers"));
}

TEST_CASE("what is no vision transformer is said") {
    Folder f;
    CHECK(has(error_of([&] {
                  f.open({{"weight", Tensor::ones({2})}, {"bias", Tensor::ones({2})}});
              }),
              "holds no vision transformer: it has no 'patch_embed.proj.weight'"));
    CHECK(has(error_of([&] { f.open({{"downsample_layers.0.0.weight", Tensor::ones({2})}}); }), "ConvNeXt"));
    TorchWriter writer;
    std::vector<std::pair<std::string, std::string>> items;
    for (const auto& [name, tensor] : network(8, 1)) items.emplace_back(name, writer.add(tensor));
    items.emplace_back("extra", p_call("my.net", "Thing", ")"));
    put_file(f.path, writer.file(p_dict(items)));
    CHECK(has(error_of([&] { Pretrained weights(f.path); }), "'extra' is an object of class my.net.Thing"));
    put_file(f.path,
             writer.file(p_dict({{"model", p_dict({items.begin(), items.end() - 1})}, items.back()})));
    CHECK(Pretrained(f.path).prefix() == "model.");
    put_file(f.path, writer.file(p_dict({{"w", writer.add(Tensor::ones({1}))}, items.back()})));
    CHECK(
        has(error_of([&] { Pretrained weights(f.path); }), "under 'extra' an object of class my.net.Thing"));
}

TEST_CASE("heads come from the file, a table, or a guess that is said") {
    Folder f;
    CHECK(f.open(network(128, 1)).config().heads == 2);
    CHECK(has(f.open(network(128, 1)).describe(), "heads, 2, is a guess: width / 64"));
    CHECK(f.open(network(8, 1)).config().heads == 1);
    CHECK(f.open(network(1280, 1, 1)).config().heads == 16);
    CHECK(has(f.open(network(1280, 1, 1)).describe(), "from a table of widths"));
    CHECK(f.open(network(8, 1), {}, {{"num_heads", "4"}}).config().heads == 4);
    CHECK(!has(f.open(network(8, 1), {}, {{"num_heads", "4"}}).describe(), "guess"));
    CHECK(f.open(network(8, 1), {2, "", true}, {{"num_heads", "4"}}).config().heads == 2);
    CHECK(has(error_of([&] { f.open(network(8, 1), {3, "", true}); }), "width 8 is no multiple of 3 heads"));
}

TEST_CASE("a config.json is read, and has to agree") {
    TemporaryFolder folder;
    write_safetensors(folder / "model.safetensors", network(8, 1));
    const auto with = [&](const std::string& json) {
        put_file(folder / "config.json", json);
        return Pretrained(folder.path()).config();
    };
    const WeightsConfig c = with(R"({"hidden_size": 8, "num_attention_heads": 4, "layer_norm_eps": 1e-12,
        "hidden_act": "gelu", "num_register_tokens": 0,
        "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [1, 2, 3]}})");
    CHECK(c.heads == 4);
    CHECK(c.norm_eps == 1e-12);
    CHECK((*c.mean)[1] == 0.2);
    CHECK((*c.std)[2] == 3);
    put_file(folder / "preprocessor_config.json",
             R"({"image_mean": [0.5, 0.5, 0.4], "image_std": [0.1, 0.2, 0.3]})");
    CHECK((*with("{}").mean)[2] == 0.4);
    for (const auto& [json, part] :
         {std::pair{R"({"hidden_size": 16})", "hidden_size is 16, but the tensors have 8"},
          std::pair{R"({"num_hidden_layers": 12})", "num_hidden_layers is 12"},
          std::pair{R"({"hidden_act": "relu"})", "hidden_act"},
          std::pair{R"({"num_attention_heads": -1})", "num_attention_heads must be"},
          std::pair{R"({"num_attention_heads": 3})", "no multiple of 3 heads"},
          std::pair{R"({"layer_norm_eps": 0})", "layer_norm_eps must lie"},
          std::pair{R"({"layer_norm_eps": "x"})", "layer_norm_eps must be a number"},
          std::pair{"[]", "not a JSON object"}, std::pair{"{", "not valid JSON"}})
        CHECK(has(error_of([&] { with(json); }), part));
}

TEST_CASE("names without a place, parameters without a value and other shapes are refused") {
    Folder f;
    ViTConfig config = vit_config(f.open(network(8, 1)).config());
    Generator generator;
    const auto load = [&](const NamedTensors& tensors, bool partial = false) {
        DinoVisionTransformer model(config, generator);
        PretrainedReport report;
        const std::string text =
            error_of([&] { report = load_pretrained(parameters_of(model), f.open(tensors), partial); });
        return std::pair{text, report};
    };
    const NamedTensors good = network(8, 1);
    CHECK(load(good).first == "");
    CHECK(load(good).second.loaded == good.size());
    for (const char* extra :
         {"blocks.0.ls1.gamma", "blocks.1.attn.q_norm.weight", "dist_token", "fc_norm.weight"}) {
        const auto all = good + NamedTensors{{extra, Tensor::ones({8})}};
        CHECK(has(load(all).first, "no place for: " + std::string(extra)));
        CHECK(load(all, true).second.left_over == std::vector<std::string>{extra});
    }
    CHECK(has(load(network(8, 1, 3)).first, "no place for: blocks.2."));
    CHECK(has(load(network(8, 1, 1)).first, "lacks blocks.1."));
    CHECK(load(network(8, 1, 1), true).second.missing.size() == 12);
    CHECK(has(load(network(16, 1)).first, "the model's cls_token is (1, 1, 8)"));
    NamedTensors less = good;
    std::erase_if(less, [](const auto& entry) { return entry.first == "mask_token"; });
    CHECK(load(less).first == "");
    NamedTensors whole = good;
    whole[0].second = whole[0].second.to(DType::i64);
    CHECK(has(load(whole).first, "no floating-point tensor"));
    NamedTensors bad = good;
    bad[1].second = Tensor::full(bad[1].second.shape(), 1e300, DType::f64);
    CHECK(has(load(bad).first, "holds NaN or infinity"));  // in f32
}

TEST_CASE("two names for one tensor are refused") {
    Folder f;
    const NamedTensors good = network(8, 1);
    for (const char* twin : {"register_tokens", "blocks.0.1.norm1.weight"}) {
        const bool tokens = std::string(twin) == "register_tokens";
        NamedTensors all = good + NamedTensors{{twin, Tensor::ones(tokens ? Shape{1, 2, 8} : Shape{8})}};
        if (tokens) all.emplace_back("reg_token", Tensor::ones({1, 2, 8}));
        CHECK(has(error_of([&] { f.open(all); }), "the same weights under two names"));
    }
    NamedTensors parts = good;
    parts.emplace_back("blocks.0.attn.q_proj.weight", Tensor::ones({8, 8}));
    CHECK(has(error_of([&] { f.open(parts); }), "the same weights under two names"));
}

TEST_CASE("heads are taken where their shapes fit, also under torch's newer names") {
    Folder f;
    NamedTensors all = named("teacher.backbone.", network(8, 1));
    all.emplace_back("teacher.dino_head.mlp.0.weight", Tensor::full({4, 8}, 5));
    all.emplace_back("teacher.dino_head.last_layer.parametrizations.weight.original0",
                     Tensor::full({3, 1}, 6));
    all.emplace_back("teacher.ibot_head.mlp.0.weight", Tensor::full({9, 9}, 7));
    const Pretrained weights = f.open(all);
    Generator generator;
    DinoVisionTransformer model(vit_config(weights.config()), generator);
    NamedParameters parameters = parameters_of(model, "backbone.");
    parameters.emplace_back("dino_head.mlp.0.weight", constant_parameter({4, 8}, 0));
    parameters.emplace_back("dino_head.last_layer.weight_g", constant_parameter({3, 1}, 0));
    parameters.emplace_back("ibot_head.mlp.0.weight", constant_parameter({4, 8}, 0));
    const PretrainedReport report = load_pretrained(parameters, weights);
    CHECK(report.loaded == parameters.size() - 1);
    CHECK(report.kept == std::vector<std::string>{"ibot_head.mlp.0.weight"});
    CHECK(parameters[parameters.size() - 3].second.value().to_vector<float>()[0] == 5);
    CHECK(parameters[parameters.size() - 2].second.value().to_vector<float>()[0] == 6);
    CHECK(parameters.back().second.value().to_vector<float>()[0] == 0);
}
