#include "models/param_groups.h"

#include <charconv>
#include <cmath>

namespace demi {

// The absolute block number of "blocks.3.attn..." or, chunked, "blocks.1.3.attn..."; -1 when it is no block.
static int64_t block_number(const std::string& name) {
    const size_t at = name.find("blocks.");
    if (at == std::string::npos) return -1;
    const char *text = name.data() + at + 7, *end = name.data() + name.size();
    int64_t number = -1;
    for (;;) {
        int64_t value = 0;
        const auto [next, error] = std::from_chars(text, end, value);
        if (error != std::errc() || next == end || *next != '.') return number;
        number = value;
        text = next + 1;
    }
}

static int64_t layer_of(const std::string& name, int64_t depth) {
    for (const char* first :
         {"pos_embed", "patch_embed", "mask_token", "cls_token", "register_tokens", "storage_tokens"})
        if (name.find(first) != std::string::npos) return 0;
    const int64_t block = block_number(name);
    return block >= 0 ? block + 1 : depth + 1;
}

ParameterOptions parameter_options(const std::string& name, const ParameterGroupRules& rules) {
    ParameterOptions options;
    const int64_t layer = layer_of(name, rules.depth);
    options.lr_multiplier = std::pow(rules.layer_decay, static_cast<double>(rules.depth + 1 - layer));
    if (name.find("patch_embed") != std::string::npos) options.lr_multiplier *= rules.patch_embed_lr;
    if (name.ends_with(".bias") || name.find("norm") != std::string::npos ||
        name.find("gamma") != std::string::npos)
        options.wd_multiplier = 0;
    options.is_backbone = name.starts_with("backbone.");
    options.is_last_layer = name.find("last_layer") != std::string::npos;
    return options;
}

std::vector<ParameterOptions> parameter_options(const NamedParameters& parameters,
                                                const ParameterGroupRules& rules) {
    std::vector<ParameterOptions> all;
    for (const auto& [name, parameter] : parameters) all.push_back(parameter_options(name, rules));
    return all;
}

}  // namespace demi
