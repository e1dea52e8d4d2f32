// Layers, and the contexts that they are given.
#include "tests/misuse/model_support.h"

namespace demi::test {

void layer_walks(Walks& walks) {
    walks.add(
        "Linear::Linear Linear::visit parameters_of to_device",
        [](int64_t in, int64_t out, bool bias, double std, Device device) {
            Generator g{1};
            Linear layer(in, out, bias, g, std);
            use_model(layer, device);
        },
        3, 4, true, 0.02, Device());
    walks.add(
        "check_made checked_size",
        [](bool made, std::string name, int64_t size, int64_t most) {
            check_made(made, name);
            return checked_size("walk", name, size, most);
        },
        true, std::string("layer"), 3, 5);
    walks.add(
        "Linear::forward",
        [](bool made, Variable x) {
            Generator g{1};
            return layer_or_none<Linear>(made, 3, 4, true, g).forward(x);
        },
        true, variable({2, 3}));
    walks.add(
        "Linear::forward_add",
        [](bool made, Variable r, Variable x) {
            Generator g{1};
            return layer_or_none<Linear>(made, 3, 4, true, g).forward_add(r, x);
        },
        true, variable({2, 4}), variable({2, 3}));
    walks.add(
        "LayerNorm::LayerNorm LayerNorm::visit LayerNorm::forward LayerNorm::forward_as "
        "LayerNorm::forward_branch",
        [](bool made, int64_t dim, double eps, Variable x, DType dtype) {
            LayerNorm norm = made ? LayerNorm(dim, eps) : LayerNorm();
            use_model(norm);
            use(norm.forward(x));
            use(norm.forward_as(x, dtype));
            use(norm.forward_branch(x, dtype));
        },
        true, 3, 1e-6, variable({2, 3}), DType::f16);
    walks.add(
        "Mlp::Mlp Mlp::forward Mlp::forward_add Mlp::visit",
        [](bool made, int64_t dim, int64_t hidden, bool bias, Variable x) {
            Generator g{1};
            Mlp mlp = layer_or_none<Mlp>(made, dim, hidden, bias, g);
            use_model(mlp);
            use(mlp.forward(x));
            return mlp.forward_add(x, x);
        },
        true, 3, 5, true, variable({2, 3}));
    walks.add(
        "SwiGLUFFN::SwiGLUFFN SwiGLUFFN::forward SwiGLUFFN::visit",
        [](bool made, int64_t dim, int64_t hidden, bool bias, Variable x) {
            Generator g{1};
            SwiGLUFFN ffn = layer_or_none<SwiGLUFFN>(made, dim, hidden, bias, g);
            use_model(ffn);
            return ffn.forward(x);
        },
        true, 3, 5, true, variable({2, 3}));
    walks.add(
        "SwiGLUFFN::exact SwiGLUFFN::hidden_size",
        [](int64_t dim, int64_t hidden, bool bias, bool apart, Variable x) {
            Generator g{1};
            use(SwiGLUFFN::hidden_size(hidden));
            SwiGLUFFN ffn = SwiGLUFFN::exact(dim, hidden, bias, apart, g);
            use_model(ffn);
            return ffn.forward(x);
        },
        3, 5, true, true, variable({2, 3}));
    walks.add(
        "PatchEmbed::PatchEmbed PatchEmbed::forward PatchEmbed::visit",
        [](bool made, int64_t patch, int64_t channels, int64_t dim, Variable x, DType compute) {
            Generator g{1};
            PatchEmbed embed = layer_or_none<PatchEmbed>(made, patch, channels, dim, g);
            use_model(embed);
            return embed.forward(x, compute);
        },
        true, 2, 3, 4, variable({1, 3, 4, 4}), DType::f32);
    walks.add(
        "compute_dtype name", [](Precision p) { return name(p) + std::string(name(compute_dtype(p))); },
        Precision::f16);
    walks.add(
        "parse_precision", [](std::string text) { return parse_precision(text); }, std::string("f16"));
    walks.add(
        "ForwardContext::draw_permutation",
        [](Generator* g, int64_t n) { return context_of(true, Precision::f32, g).draw_permutation(n); },
        some_generator(), 3);
}

}  // namespace demi::test
