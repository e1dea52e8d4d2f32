#include "models/pretrained/rules.h"

namespace demi {
namespace {

struct Rule {
    std::string_view theirs, ours;  // "*" at the end: weight and bias
    int part = 0, parts = 1;
};

constexpr Rule kTop[] = {
    {"cls_token", "cls_token"},
    {"mask_token", "mask_token"},
    {"register_tokens", "register_tokens"},
    {"storage_tokens", "register_tokens"},
    {"reg_token", "register_tokens"},
    {"pos_embed", "pos_embed"},
    {"patch_embed.proj.*", "patch_embed.proj.*"},
    {"norm.*", "norm.*"},
    {"cls_norm.*", "cls_norm.*"},
    {"local_cls_norm.*", "local_cls_norm.*"},
    {"rope_embed.periods", "rope_embed.periods"},
    {"embeddings.cls_token", "cls_token"},
    {"embeddings.mask_token", "mask_token"},
    {"embeddings.register_tokens", "register_tokens"},
    {"embeddings.position_embeddings", "pos_embed"},
    {"embeddings.patch_embeddings.projection.*", "patch_embed.proj.*"},
    {"embeddings.patch_embeddings.*", "patch_embed.proj.*"},
    {"layernorm.*", "norm.*"},
};

// Behind "blocks.N.". An MLP's "up" and "down" are fc1 and fc2, or the second half of w12 and w3 where there is a gate.
constexpr Rule kBlock[] = {
    {"norm1.*", "norm1.*"},
    {"norm2.*", "norm2.*"},
    {"attn.qkv.*", "attn.qkv.*"},
    {"attn.qkv.bias_mask", "attn.qkv.bias_mask"},
    {"attn.proj.*", "attn.proj.*"},
    {"ls1.gamma", "ls1.gamma"},
    {"ls2.gamma", "ls2.gamma"},
    {"gamma_1", "ls1.gamma"},
    {"gamma_2", "ls2.gamma"},
    {"layer_scale1.lambda1", "ls1.gamma"},
    {"layer_scale2.lambda1", "ls2.gamma"},
    {"mlp.fc1.*", "mlp.up.*"},
    {"mlp.fc2.*", "mlp.down.*"},
    {"mlp.w12.*", "mlp.w12.*"},
    {"mlp.w3.*", "mlp.down.*"},
    {"mlp.w1.*", "mlp.w12.*", 0, 2},
    {"mlp.w2.*", "mlp.w12.*", 1, 2},
    {"mlp.fc1_g.*", "mlp.w12.*", 0, 2},
    {"mlp.fc1_x.*", "mlp.w12.*", 1, 2},
    {"mlp.weights_in.*", "mlp.w12.*"},
    {"mlp.weights_out.*", "mlp.down.*"},
    {"mlp.gate_proj.*", "mlp.w12.*", 0, 2},
    {"mlp.up_proj.*", "mlp.up.*"},
    {"mlp.down_proj.*", "mlp.down.*"},
    {"attn.q_bias", "attn.qkv.bias", 0, 3},
    {"attn.k_bias", "attn.qkv.bias", 1, 3},
    {"attn.v_bias", "attn.qkv.bias", 2, 3},
    {"attn.q_proj.*", "attn.qkv.*", 0, 3},
    {"attn.k_proj.*", "attn.qkv.*", 1, 3},
    {"attn.v_proj.*", "attn.qkv.*", 2, 3},
    {"attention.q_proj.*", "attn.qkv.*", 0, 3},
    {"attention.k_proj.*", "attn.qkv.*", 1, 3},
    {"attention.v_proj.*", "attn.qkv.*", 2, 3},
    {"attention.o_proj.*", "attn.proj.*"},
    {"attention.attention.query.*", "attn.qkv.*", 0, 3},
    {"attention.attention.key.*", "attn.qkv.*", 1, 3},
    {"attention.attention.value.*", "attn.qkv.*", 2, 3},
    {"attention.output.dense.*", "attn.proj.*"},
};

template <size_t N> std::optional<Place> find_rule(const Rule (&rules)[N], std::string_view name) {
    for (const Rule& rule : rules) {
        if (name == rule.theirs) return Place{std::string(rule.ours), rule.part, rule.parts};
        if (!rule.theirs.ends_with('*')) continue;
        const std::string_view lead = rule.theirs.substr(0, rule.theirs.size() - 1);
        if (!name.starts_with(lead)) continue;
        const std::string_view end = name.substr(lead.size());
        if (end == "weight" || end == "bias")
            return Place{std::string(rule.ours.substr(0, rule.ours.size() - 1)) + std::string(end), rule.part,
                         rule.parts};
    }
    return {};
}

// "17.rest" -> "17"; "" where there is no number.
std::string_view number_before_dot(std::string_view text) {
    const size_t dot = text.find('.');
    const std::string_view digits = text.substr(0, dot);
    const bool number = dot != std::string_view::npos && !digits.empty() && digits.size() < 5 &&
                        digits.find_first_not_of("0123456789") == std::string_view::npos;
    return number ? digits : std::string_view();
}

}  // namespace

std::optional<Place> place_of(std::string_view name) {
    for (std::string_view lead :
         {"blocks.", "encoder.layer.", "encoder.layers.", "model.layer.", "layer.", "layers."}) {
        if (!name.starts_with(lead)) continue;
        std::string_view rest = name.substr(lead.size()), number = number_before_dot(rest);
        if (number.empty()) return {};
        rest.remove_prefix(number.size() + 1);
        if (const std::string_view inner = number_before_dot(rest); !inner.empty()) {  // blocks.CHUNK.N.
            number = inner;
            rest.remove_prefix(inner.size() + 1);
        }
        std::optional<Place> place = find_rule(kBlock, rest);
        if (place) place->ours = "blocks." + std::string(number) + "." + place->ours;
        return place;
    }
    return find_rule(kTop, name);
}

}  // namespace demi
