#include "ops/index_select_cat/index_select_cat.h"
#include "ops/memory_efficient_attention/memory_efficient_attention.h"
#include "ops/scaled_index_add/scaled_index_add.h"
#include "tests/conformance/case.h"

namespace demi::conformance {

static void backward(const Variable& y, const Tensor& gradient) { y.backward(gradient.to(y.dtype())); }

static void run_index_select_cat(Case& c) {
    std::vector<Variable> sources;
    for (const Tensor& source : c.list("in.source.")) sources.emplace_back(source, true);
    const Variable y = index_select_cat(sources, c.list("in.index."), c.boundary());
    backward(y, c.tensor("gout.y"));
    c.result("out.y", y.value());
    for (size_t i = 0; i < sources.size(); ++i) c.gradient("source." + std::to_string(i), sources[i]);
}

static void run_scaled_index_add(Case& c) {
    const Variable input = c.leaf("in.input"), source = c.leaf("in.source");
    const Variable scaling = c.params().at("scaling").get<bool>() ? c.leaf("in.scaling") : Variable();
    const Variable y = scaled_index_add(input, c.tensor("in.index"), source, scaling,
                                        c.params().at("alpha").get<double>(), c.boundary());
    backward(y, c.tensor("gout.y"));
    c.result("out.y", y.value());
    c.gradient("input", input);
    c.gradient("source", source);
    if (scaling.defined()) c.gradient("scaling", scaling);
}

static AttentionBias attention_bias(Case& c, const Variable& tensor_bias) {
    const std::string mask = c.params().at("mask").get<std::string>();
    if (mask == "none") return {};
    if (mask == "tensor") return tensor_bias;
    if (mask == "causal") return LowerTriangularMask();
    const auto q = c.params().at("q_seqlen").get<std::vector<int64_t>>();
    const auto kv = c.params().at("kv_seqlen").get<std::vector<int64_t>>();
    const BlockDiagonalMask blocks = BlockDiagonalMask::from_seqlens(q, kv);
    if (mask == "block_diagonal") return blocks;
    if (mask == "block_diagonal_causal") return blocks.make_causal();
    fail("conformance", "unknown mask '", mask, "'");
}

static void run_attention(Case& c) {
    const Variable q = c.leaf("in.q"), k = c.leaf("in.k"), v = c.leaf("in.v");
    const Variable bias = c.has("in.bias") ? c.leaf("in.bias") : Variable();
    AttentionOptions options;
    options.boundary = c.boundary();
    const auto scale = c.params().find("scale");
    if (scale != c.params().end() && !scale->is_null()) options.scale = scale->get<double>();
    const Variable y = memory_efficient_attention(q, k, v, attention_bias(c, bias), options);
    backward(y, c.tensor("gout.y"));
    c.result("out.y", y.value());
    c.gradient("q", q);
    c.gradient("k", k);
    c.gradient("v", v);
    if (bias.defined()) c.gradient("bias", bias);
}

const Runners operator_runners = {{"index_select_cat", run_index_select_cat},
                                  {"scaled_index_add", run_scaled_index_add},
                                  {"memory_efficient_attention", run_attention}};

}  // namespace demi::conformance
