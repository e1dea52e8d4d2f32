#include <memory>

#include "models/dino_head.h"
#include "models/optimizer.h"
#include "models/vision_transformer.h"
#include "runtime/copy.h"
#include "tests/conformance/case.h"

namespace demi::conformance {

// Puts the case's param.* into the model, moved to its device; every parameter must be there.
template <class Model> static NamedParameters load_parameters(Case& c, Model& model) {
    model.visit("", [&](const std::string& name, Variable& p) {
        const Tensor value = c.tensor("param." + name);
        check(value.shape() == p.shape(), "conformance", "param.", name, " has shape ", value.shape(),
              ", the model's has ", p.shape());
        p = Variable(value, true);
    });
    return parameters_of(model);
}

static void parameter_gradients(Case& c, const NamedParameters& parameters) {
    for (const auto& [name, p] : parameters)
        c.result("grad." + name,
                 p.grad().defined() ? p.grad() : Tensor::zeros(p.shape(), p.dtype(), p.device()));
}

static ViTConfig vit_config_of(const nlohmann::json& p) {
    ViTConfig config;
    const auto get = [&](const char* key, auto& value) {
        if (const auto found = p.find(key); found != p.end() && !found->is_null()) found->get_to(value);
    };
    get("img_size", config.img_size);
    get("patch_size", config.patch_size);
    get("in_chans", config.in_chans);
    get("embed_dim", config.embed_dim);
    get("depth", config.depth);
    get("num_heads", config.num_heads);
    get("mlp_ratio", config.mlp_ratio);
    get("qkv_bias", config.qkv_bias);
    get("ffn_bias", config.ffn_bias);
    get("proj_bias", config.proj_bias);
    get("drop_path_rate", config.drop_path_rate);
    get("drop_path_uniform", config.drop_path_uniform);
    get("ffn_layer", config.ffn_layer);
    get("block_chunks", config.block_chunks);
    get("num_register_tokens", config.num_register_tokens);
    get("interpolate_antialias", config.interpolate_antialias);
    get("interpolate_offset", config.interpolate_offset);
    double init = 0;
    get("init_values", init);
    if (init != 0) config.init_values = init;
    if (p.contains(
            "num_storage_tokens")) {  // DINOv3; LayerScale and all numbers beside come with the parameters
        get("num_storage_tokens", config.num_register_tokens);
        get("norm_eps", config.norm_eps);
        get("ffn_hidden", config.ffn_hidden);
        get("mask_k_bias", config.mask_k_bias);
        config.rope.emplace();
        get("rope_base", config.rope->base);
        config.init_values = 1;
        if (config.ffn_layer != "mlp") config.ffn_layer = "swiglu_split";
    }
    return config;
}

static void run_vit(Case& c) {
    const auto& p = c.params();
    Generator generator;
    DinoVisionTransformer model(vit_config_of(p), generator);
    const NamedParameters parameters = load_parameters(c, model);
    ForwardContext context;
    context.training = p.value("train", false);
    context.boundary = c.boundary();
    const std::vector<Tensor> drawn = c.list("in.perm.");
    auto next = std::make_shared<size_t>(0);
    context.permutation = [drawn, next](int64_t) {
        check(*next < drawn.size(), "conformance",
              "the model draws more permutations than the case holds: ", drawn.size());
        return drawn[(*next)++].to_vector<int64_t>();
    };
    std::vector<Variable> images;
    std::vector<Tensor> masks;
    bool masked = false;
    for (const Tensor& image : c.list("in.image.")) {
        const std::string mask = "in.mask." + std::to_string(images.size());
        masked = masked || c.has(mask);
        masks.push_back(c.has(mask) ? c.tensor(mask) : Tensor());
        images.emplace_back(image);
    }
    if (!masked) masks.clear();
    std::vector<ViTOutput> outputs;
    if (p.value("nested", false))
        outputs = model.forward_features(images, context, masks);
    else
        for (size_t i = 0; i < images.size(); ++i)
            outputs.push_back(
                model.forward_features(images[i], context, masks.empty() ? Tensor() : masks[i]));
    check(*next == drawn.size(), "conformance", "the model drew ", *next, " permutations, the case holds ",
          drawn.size());

    const char* registers = c.kind() == "dinov3_vit" ? "x_storage_tokens" : "x_norm_regtokens";
    for (size_t i = 0; i < outputs.size(); ++i) {
        const std::string lead = "." + std::to_string(i) + ".";
        const std::pair<const char*, const Variable*> parts[] = {
            {"x_norm_clstoken", &outputs[i].x_norm_clstoken},
            {registers, &outputs[i].x_norm_regtokens},
            {"x_norm_patchtokens", &outputs[i].x_norm_patchtokens}};
        for (const auto& [name, value] : parts) {
            c.result("out" + lead + name, value->value());
            if (c.has("gout" + lead + name))
                value->backward(c.tensor("gout" + lead + name).to(value->dtype()), {.retain_graph = true});
        }
    }
    parameter_gradients(c, parameters);
}

static void run_head(Case& c) {
    const auto& p = c.params();
    DinoHeadConfig config;
    config.in_dim = p.at("in_dim").get<int64_t>();
    config.out_dim = p.at("out_dim").get<int64_t>();
    config.hidden_dim = p.at("hidden_dim").get<int64_t>();
    config.bottleneck_dim = p.at("bottleneck_dim").get<int64_t>();
    config.nlayers = p.value("nlayers", int64_t{3});
    Generator generator;
    DINOHead head(config, generator);
    const NamedParameters parameters = load_parameters(c, head);
    const Variable x = c.leaf("in.x");
    const Variable y = head.forward(x);
    y.backward(c.tensor("gout.y"));
    c.result("out.y", y.value());
    c.gradient("x", x);
    parameter_gradients(c, parameters);
}

static void run_adamw(Case& c) {
    const auto& p = c.params();
    Variable parameter(c.tensor("in.param").clone(), true);
    OptimizerOptions settings;
    settings.beta1 = p.at("beta1").get<double>();
    settings.beta2 = p.at("beta2").get<double>();
    settings.eps = p.at("eps").get<double>();
    Optimizer optimizer({{"param", parameter}}, {ParameterOptions{}}, settings);
    const std::vector<Tensor> gradients = c.list("in.grad.");
    check(static_cast<int64_t>(gradients.size()) == p.at("steps").get<int64_t>(), "conformance", "needs ",
          p.at("steps").get<int64_t>(), " gradients: got ", gradients.size());
    for (const Tensor& gradient : gradients) {
        parameter.set_grad(gradient);
        optimizer.step({p.at("lr").get<double>(), p.at("weight_decay").get<double>(), -1, {}});
    }
    c.result("out.param", parameter.value());
}

const Runners model_runners = {
    {"dino_vit", run_vit}, {"dinov3_vit", run_vit}, {"dino_head", run_head}, {"adamw", run_adamw}};

}  // namespace demi::conformance
