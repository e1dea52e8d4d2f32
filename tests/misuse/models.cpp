// Models: made wrongly, not made at all, and given wrong inputs.
#include "models/checkpoint.h"
#include "models/pretrained/export.h"
#include "models/pretrained/teacher.h"
#include "models/rope_embed.h"
#include "models/ssl_meta_arch.h"
#include "tests/misuse/model_support.h"

namespace demi::test {
namespace {

void transformer_walks(Walks& walks) {
    walks.add(
        "vit_config", [](std::string model, int64_t patch) { return vit_config(model, patch).depth; },
        std::string("vit_small"), 16);
    walks.add(
        "DinoVisionTransformer::DinoVisionTransformer DinoVisionTransformer::config "
        "DinoVisionTransformer::visit "
        "DinoVisionTransformer::init_xavier",
        [](int64_t size, int64_t patch, int64_t channels, int64_t dim, int64_t depth, int64_t heads,
           double ratio, double drop, std::optional<double> init, std::string ffn, int64_t chunks,
           int64_t registers) {
            ViTConfig c = small_vit();
            c.img_size = size, c.patch_size = patch, c.in_chans = channels, c.embed_dim = dim,
            c.depth = depth;
            c.num_heads = heads, c.mlp_ratio = ratio, c.drop_path_rate = drop, c.init_values = init;
            c.ffn_layer = ffn, c.block_chunks = chunks, c.num_register_tokens = registers;
            Generator g{1};
            DinoVisionTransformer model(c, g);
            model.init_xavier(g);
            (void)model.config();
            use_model(model);
        },
        4, 2, 1, 4, 2, 2, 4.0, 0.1, std::optional<double>(1.0), std::string("mlp"), 0, 1);
    walks.add(
        "DinoVisionTransformer::forward_features DinoVisionTransformer::forward "
        "DinoVisionTransformer::get_last_selfattention",
        [](bool made, Variable images, Tensor masks, double offset, bool training, Precision precision) {
            Generator g{1};
            ViTConfig c = small_vit();
            c.interpolate_offset = offset;
            const auto model = layer_or_none<DinoVisionTransformer>(made, c, g);
            const ForwardContext context = context_of(training, precision, &g);
            use(model.forward_features(images, context, masks).x_norm_patchtokens);
            use(model.forward(images, context));
            return model.get_last_selfattention(images.value());
        },
        true, variable({2, 1, 4, 4}), tensor({2, 4}, DType::boolean), 0.1, false, Precision::f32);
    walks.add(
        "DinoVisionTransformer::forward_features",
        [](bool made, Vars images, Tensors masks, bool training) {
            Generator g{1};
            const auto model = layer_or_none<DinoVisionTransformer>(made, small_vit(), g);
            for (const ViTOutput& out :
                 model.forward_features(images, context_of(training, Precision::f32, &g), masks))
                use(out.x_norm_clstoken);
        },
        true, Vars{variable({2, 1, 4, 4}), variable({1, 1, 2, 2})}, Tensors{}, true);
    walks.add(
        "DinoVisionTransformer::get_intermediate_layers",
        [](bool made, Variable images, Ints layers, bool reshape, bool norm) {
            Generator g{1};
            const auto model = layer_or_none<DinoVisionTransformer>(made, small_vit(), g);
            for (const auto& out : model.get_intermediate_layers(images, {}, layers, reshape, norm))
                use(out.patches);
        },
        true, variable({2, 1, 4, 4}), Ints{0, -1}, true, true);
}

DinoHeadConfig small_head() { return {4, 6, 5, 3, 2}; }
SslConfig small_ssl(const std::string& centering) {
    SslConfig c;
    c.backbone = small_vit();
    c.head = small_head();
    c.centering = centering;
    return c;
}

void self_supervised_walks(Walks& walks) {
    walks.add(
        "DINOHead::DINOHead DINOHead::forward DINOHead::visit DINOHead::init_xavier",
        [](bool made, int64_t in, int64_t out, int64_t hidden, int64_t bottleneck, int64_t layers, Variable x,
           Precision precision) {
            Generator g{1};
            DINOHead head =
                layer_or_none<DINOHead>(made, DinoHeadConfig{in, out, hidden, bottleneck, layers}, g);
            head.init_xavier(g);
            use_model(head);
            return head.forward(x, precision);
        },
        true, 4, 6, 5, 3, 2, variable({2, 4}), Precision::f32);
    walks.add(
        "SSLMetaArch::SSLMetaArch SSLMetaArch::config SSLMetaArch::student_backbone "
        "SSLMetaArch::teacher_backbone "
        "SSLMetaArch::student_parameters SSLMetaArch::teacher_parameters SSLMetaArch::centers "
        "SSLMetaArch::to_device",
        [](int64_t in_dim, std::string centering, double temp, int iterations, bool separate, Device device) {
            Generator g{1};
            SslConfig c = small_ssl(centering);
            c.head.in_dim = in_dim, c.student_temp = temp, c.sinkhorn_iterations = iterations;
            c.separate_ibot_head = separate;
            SSLMetaArch arch(c, g);
            (void)(arch.config(), arch.student_backbone(), arch.teacher_backbone(), arch.centers());
            (void)(arch.student_parameters(), arch.teacher_parameters());
            arch.to_device(device);
        },
        4, std::string("centering"), 0.1, 3, true, Device());
    walks.add(
        "SSLMetaArch::losses SSLMetaArch::commit SSLMetaArch::set_centers",
        [](Tensor global, Tensor local, Tensor masks, double temp, double momentum, std::string centering,
           Tensor center) {
            Generator g{1};
            SSLMetaArch arch(small_ssl(centering), g);
            use(arch.losses({global, local, masks}, temp, context_of(true, Precision::f32, &g)).total);
            arch.commit(momentum);
            arch.set_centers(center, center);
        },
        tensor({4, 1, 4, 4}), tensor({2, 1, 2, 2}), tensor({4, 4}, DType::boolean), 0.04, 0.9,
        std::string("centering"), tensor({1, 6}));
    walks.add(
        "check_rope rope_table RopeConfig::draws RopeGrid::defined RopeGrid::segment",
        [](double base, double low, double high, std::string coordinates, double shift, double jitter,
           double rescale, int64_t head, int64_t height, int64_t width, bool training) {
            Generator g{1};
            const RopeConfig config{base, low, high, coordinates, shift, jitter, rescale};
            (void)config.draws();
            check_rope(config, head);
            const Tensor table =
                rope_table(config, head, height, width, context_of(training, Precision::f32, &g), Device());
            const RopeGrid grid{table, 1};
            (void)grid.defined();
            return grid.segment(2).table;
        },
        100.0, 0.0, 0.0, std::string("separate"), 0.1, 1.5, 1.5, 8, 3, 4, true);
    walks.add(
        "SSLMetaArch::teacher_logits SSLMetaArch::targets SSLMetaArch::student_losses "
        "SSLMetaArch::commit_centers "
        "SSLMetaArch::student_places SSLMetaArch::teacher_places",
        [](Tensor global, Tensor masks, double temp, std::string centering, Tensor over) {
            Generator g{1};
            SSLMetaArch arch(small_ssl(centering), g);
            (void)(arch.student_places(), arch.teacher_places());
            const SslBatch batch{global, {}, masks};
            const ForwardContext context = context_of(true, Precision::f32, &g);
            const std::vector<SslLogits> logits{arch.teacher_logits(batch, context)};
            const auto same = [&](const Tensor& own) { return over.numel() == 6 ? own : over; };
            use(arch.student_losses(batch, arch.targets(logits, temp, same)[0], context).total);
            arch.commit_centers();
        },
        tensor({4, 1, 4, 4}), tensor({4, 4}, DType::boolean), 0.04, std::string("centering"), tensor({1, 6}));
}

}  // namespace

// A file of weights, damaged or of odd sizes.
void pretrained_walks(Walks& walks) {
    const auto write = [](int64_t width, std::string extra, DType dtype) {
        Generator generator{1};
        DinoVisionTransformer model(tiny_vit(8, width, 1), generator);
        NamedTensors all = state_dict(parameters_of(model));
        all[0].second = all[0].second.to(dtype);
        all.emplace_back(extra, Tensor::ones({1, 2, width}));
        write_safetensors("weights.safetensors", all);
    };
    walks.add(
        "Pretrained::Pretrained Pretrained::file Pretrained::config Pretrained::names Pretrained::prefix "
        "Pretrained::describe load_pretrained load_teacher load_network load_mapped find_mapped export_names "
        "weights_metadata "
        "read_weights_config vit_config list_names SkipInit::SkipInit",
        [write](int64_t width, std::string extra, DType dtype, int64_t heads, std::string key, bool partial,
                int naming, NamedParameters parameters, std::string name) {
            check(width >= 4 && width <= 64, "walk", "a small width");
            write(width / 4 * 4, extra, dtype);
            const Pretrained weights("weights.safetensors", {heads, key, true});
            (void)(weights.file(), weights.names(), weights.prefix(), weights.describe());
            (void)(list_names({name, key}), weights_metadata(weights.config()));
            (void)load_teacher(weights, partial);
            MappedTensor half;
            if (const MappedTensor* found = find_mapped(weights.names(), name, half))
                use(Variable(load_mapped(weights.file(), *found)));
            std::vector<std::string> dropped;
            NamedTensors all = load_network(weights);
            all.emplace_back(name, tensor({2, 3}));
            export_names(all, weights.config(), static_cast<WeightNaming>(std::abs(naming % 3)), dropped);
            (void)read_weights_config(weights.file(), weights.names(), heads);
            const SkipInit skip;
            Generator generator;
            DinoVisionTransformer model(vit_config(weights.config()), generator);
            load_pretrained(parameters_of(model), weights, partial);
            load_pretrained(parameters, weights, partial);
        },
        int64_t{8}, std::string("head.weight"), DType::f32, int64_t{2}, std::string(""), true, 1,
        NamedParameters{{"norm.weight", variable({8})}}, std::string("cls_token"));
}

void model_walks(Walks& walks) {
    pretrained_walks(walks);
    transformer_walks(walks);
    self_supervised_walks(walks);
}

}  // namespace demi::test
