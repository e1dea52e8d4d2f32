// Cases of whole models: a small vision transformer trained in every precision, self-supervised too.
#include "tests/bits/bits.h"

namespace demi::bits {

static ViTConfig tiny(const std::string& ffn, double drop_path) {
    ViTConfig config;
    config.img_size = 16;
    config.patch_size = 4;
    config.embed_dim = 48;
    config.depth = 2;
    config.num_heads = 3;
    config.num_register_tokens = 2;
    config.init_values = 0.5;
    config.ffn_layer = ffn;
    config.drop_path_rate = drop_path;
    config.drop_path_uniform = true;
    return config;
}

static void add_parameters(Results& results, const NamedParameters& parameters) {
    Hash values, gradients;
    for (const auto& [name, p] : parameters) {
        values.text(name);
        values.tensor(p.value());
        gradients.tensor(p.grad());
    }
    results.emplace_back("parameters", values);
    results.emplace_back("grad", gradients);
}

static ForwardContext context_of(Precision precision, BoundaryMode mode, Generator* generator) {
    ForwardContext context;
    context.training = true;
    context.precision = precision;
    context.boundary.mode = mode;
    context.generator = generator;
    return context;
}

// Two steps: forward, loss, backward, clipped AdamW; in f16 with a scaled loss.
static Results train(const ViTConfig& config, bool nested, Precision precision, BoundaryMode mode) {
    Generator generator{7};
    DinoVisionTransformer model(config, generator);
    to_device(model, device());
    const NamedParameters parameters = parameters_of(model);
    Optimizer optimizer(parameters, parameter_options(parameters, {}));
    GradScaler scaler;
    Tensor mask = draw(5, {4, 16}, DType::boolean, {0, 2});
    const Variable large(draw(1, {4, 3, 16, 16}, DType::f32)), small(draw(2, {6, 3, 8, 8}, DType::f32));
    const Tensor labels = integers(3, 4, 48);
    Results results;
    for (int step = 0; step < 2; ++step) {
        const ForwardContext context = context_of(precision, mode, &generator);
        Variable loss;
        if (nested) {
            const auto out = model.forward_features({large, small}, context, {mask, Tensor()});
            loss = cross_entropy(out[0].x_norm_clstoken, labels) +
                   mean(out[1].x_norm_patchtokens * out[1].x_norm_patchtokens);
        } else {
            const ViTOutput out = model.forward_features(large, context, mask);
            loss = cross_entropy(out.x_norm_clstoken, labels) +
                   mean(out.x_norm_patchtokens * out.x_norm_patchtokens) + mean(out.x_norm_regtokens);
        }
        Hash hash;
        hash.tensor(loss.value());
        results.emplace_back("loss" + std::to_string(step), hash);
        optimizer.zero_grad();
        if (precision == Precision::f16)
            scaler.backward(loss);
        else
            loss.backward();
        StepRates rates;
        rates.lr = 1e-3;
        rates.weight_decay = 0.05;
        rates.factors = gradient_factors(parameters, {parameters.size()},
                                         precision == Precision::f16 ? scaler.inverse() : 1.0, 1.0);
        optimizer.step(rates);
    }
    add_parameters(results, parameters);
    return results;
}

static Results self_supervised(const std::string& centering, Precision precision) {
    Generator generator{9};
    SslConfig config;
    config.backbone = tiny("mlp", 0.2);
    config.head = {48, 40, 32, 16, 3};
    config.separate_ibot_head = true;
    config.centering = centering;
    SSLMetaArch arch(config, generator);
    arch.to_device(device());
    SslBatch batch;
    batch.global_crops = draw(1, {4, 3, 16, 16}, DType::f32);
    batch.local_crops = draw(2, {6, 3, 8, 8}, DType::f32);
    MaskOptions masks;
    batch.masks = on_device(block_masks(4, 4, 4, masks, generator));
    const SslLosses losses =
        arch.losses(batch, 0.05, context_of(precision, BoundaryMode::strict, &generator));
    losses.total.backward();
    Hash hash;
    hash.tensor(losses.total.value());
    for (const Tensor& part :
         {losses.dino_local, losses.dino_global, losses.koleo, losses.ibot, losses.target_entropy})
        hash.number(part.defined() ? part.item() : 0);
    Results results{{"loss", hash}};
    add_parameters(results, arch.student_parameters());
    arch.commit(0.9);
    Hash teacher;
    for (const auto& [name, p] : arch.teacher_parameters()) teacher.tensor(p.value());
    for (const auto& [name, center] : arch.centers()) teacher.tensor(center);
    results.emplace_back("teacher", teacher);
    return results;
}

static Results features() {
    Generator generator{7};
    DinoVisionTransformer model(tiny("mlp", 0), generator);
    to_device(model, device());
    ForwardContext context;
    const Tensor images = draw(1, {2, 3, 24, 32}, DType::f32);  // positions are resized
    Hash hash;
    hash.tensor(model.forward(images, context).value());
    for (const auto& layer : model.get_intermediate_layers(images, context, {0, -1}, true)) {
        hash.tensor(layer.patches.value());
        hash.tensor(layer.cls_token.value());
    }
    hash.tensor(model.get_last_selfattention(images));
    return {{"y", hash}};
}

void model_cases() {
    const std::pair<const char*, Precision> precisions[] = {
        {"f32", Precision::f32}, {"bf16", Precision::bf16}, {"f16", Precision::f16}};
    for (const auto& [name, precision] : precisions) {
        for (const BoundaryMode mode : {BoundaryMode::strict, BoundaryMode::wide, BoundaryMode::off})
            for (const char* ffn : {"mlp", "swiglu"})
                for (const double drop : {0.0, 0.1, 0.3})
                    for (const bool nested : {false, true}) {
                        const std::string detail = std::string(name) + "/" + std::string(demi::name(mode)) +
                                                   "/" + ffn + "/drop_" + std::to_string(drop).substr(0, 3) +
                                                   (nested ? "/nested" : "/single");
                        if (small_only() && (mode == BoundaryMode::wide || drop == 0.1)) continue;
                        run("vision_transformer", detail,
                            [&] { return train(tiny(ffn, drop), nested, precision, mode); });
                    }
        for (const char* centering : {"sinkhorn_knopp", "centering"})
            run("ssl_meta_arch", std::string(name) + "/" + centering,
                [&] { return self_supervised(centering, precision); });
    }
    run("vision_transformer", "features", features);
}

}  // namespace demi::bits
