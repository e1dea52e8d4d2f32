// Layers and blocks, and the contexts that they are given.
#include "models/block.h"
#include "models/nested.h"
#include "tests/misuse/model_support.h"

namespace demi::test {
namespace {

BlockConfig block_config(int64_t dim, int64_t heads, double ratio, double drop, std::optional<double> init,
                         bool swiglu) {
    BlockConfig c;
    c.dim = dim;
    c.heads = heads;
    c.mlp_ratio = ratio;
    c.drop_path = drop;
    c.init_values = init;
    c.swiglu = swiglu;
    return c;
}

void block_walks(Walks& walks) {
    walks.add(
        "SelfAttention::SelfAttention SelfAttention::forward SelfAttention::first_token_weights "
        "SelfAttention::visit",
        [](bool made, int64_t dim, int64_t heads, Variable x, AttentionBias bias, Precision precision,
           bool add, bool first) {
            Generator g{1};
            SelfAttention attention =
                layer_or_none<SelfAttention>(made, block_config(dim, heads, 4, 0, {}, false), g);
            use_model(attention);
            use(attention.forward(x, bias, context_of(true, precision, &g), add ? x : Variable(), {}, first));
            return attention.first_token_weights(x.value());
        },
        true, 4, 2, variable({1, 3, 4}), AttentionBias(), Precision::f32, false, true);
    walks.add(
        "Block::Block Block::forward_first",
        [](bool made, int64_t dim, double drop, Variable x, Precision precision, bool training) {
            Generator g{1};
            Block block = layer_or_none<Block>(made, block_config(dim, 2, 2, drop, 1.0, false), g);
            return block.forward_first(x, context_of(training, precision, &g));
        },
        true, 4, 0.0, variable({3, 2, 4}), Precision::f32, false);
    walks.add(
        "Block::Block Block::forward Block::visit",
        [](bool made, int64_t dim, int64_t heads, double ratio, double drop, std::optional<double> init,
           bool swiglu, Variable x, Precision precision, bool training) {
            Generator g{1};
            Block block = layer_or_none<Block>(made, block_config(dim, heads, ratio, drop, init, swiglu), g);
            use_model(block);
            return block.forward(x, context_of(training, precision, &g));
        },
        true, 4, 2, 2.0, 0.3, std::optional<double>(1.0), false, variable({3, 2, 4}), Precision::f32, true);
    walks.add(
        "Block::forward",
        [](bool made, double drop, Vars list, Generator* generator, bool training) {
            Generator g{1};
            Block block = layer_or_none<Block>(made, block_config(4, 2, 2, drop, 1.0, false), g);
            return block.forward(list, context_of(training, Precision::f32, generator));
        },
        true, 0.3, Vars{variable({2, 3, 4}), variable({1, 2, 4})}, static_cast<Generator*>(nullptr), false);
    walks.add(
        "kept_rows", [](int64_t batch, double drop) { return kept_rows(batch, drop); }, 4, 0.3);
    walks.add(
        "first_rows", [](Ints rows, int64_t n, Device d) { return first_rows(rows, n, d); }, Ints{1, 0}, 1,
        Device());
    walks.add(
        "drawn_rows",
        [](Generator* g, int64_t batch, int64_t kept, Device device) {
            Generator own{1};
            return drawn_rows(context_of(true, Precision::f32, g ? g : &own), batch, kept, device);
        },
        static_cast<Generator*>(nullptr), 4, 2, Device());
    walks.add(
        "get_attn_bias_and_cat",
        [](Vars list, Tensors rows, Boundary boundary) {
            use(get_attn_bias_and_cat(list).second);
            return get_attn_bias_and_cat(list, rows, boundary).second;
        },
        Vars{variable({2, 3, 4}), variable({1, 2, 4})}, Tensors{indices({1}), indices({0})}, Boundary());
    walks.add(
        "add_residual",
        [](Variable x, Tensor rows, Variable residual, Variable gamma, double alpha, Boundary boundary) {
            return add_residual(x, rows, residual, gamma, alpha, boundary);
        },
        variable({2, 3, 4}), indices({1}), variable({1, 3, 4}), variable({4}), 1.0, Boundary());
}

}  // namespace

void layer_walks(Walks& walks) {
    block_walks(walks);
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
