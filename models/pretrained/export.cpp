#include "models/pretrained/export.h"

#include <cmath>

#include "models/state.h"
#include "runtime/copy.h"

namespace demi {
namespace {

// Ours; Hugging Face for DINOv2 and DINOv3; timm for both; Meta for DINOv3. "-": left out, "=": as ours.
struct Row {
    std::string_view ours, hf2, hf3, timm2, timm3, meta3;
};
constexpr Row kTopNames[] = {
    {"cls_token", "embeddings.cls_token", "embeddings.cls_token", "=", "=", "="},
    {"register_tokens", "embeddings.register_tokens", "embeddings.register_tokens", "reg_token", "reg_token",
     "storage_tokens"},
    {"mask_token", "embeddings.mask_token", "embeddings.mask_token", "-", "-", "="},
    {"pos_embed", "embeddings.position_embeddings", "-", "=", "-", "-"},
    {"patch_embed.proj.", "embeddings.patch_embeddings.projection.", "embeddings.patch_embeddings.", "=", "=",
     "="},
    {"norm.", "layernorm.", "=", "=", "=", "="},
    {"rope_embed.periods", "-", "-", "-", "-", "="},
    {"cls_norm.", "-", "-", "-", "-", "="},
    {"local_cls_norm.", "-", "-", "-", "-", "="},
};
constexpr Row kBlockNames[] = {
    {"norm1.", "=", "=", "=", "=", "="},
    {"norm2.", "=", "=", "=", "=", "="},
    {"attn.q.", "attention.attention.query.", "attention.q_proj.", "-", "-", "-"},
    {"attn.k.", "attention.attention.key.", "attention.k_proj.", "-", "-", "-"},
    {"attn.v.", "attention.attention.value.", "attention.v_proj.", "-", "-", "-"},
    {"attn.qkv.", "-", "-", "=", "=", "="},
    {"attn.proj.", "attention.output.dense.", "attention.o_proj.", "=", "=", "="},
    {"ls1.gamma", "layer_scale1.lambda1", "layer_scale1.lambda1", "=", "gamma_1", "="},
    {"ls2.gamma", "layer_scale2.lambda1", "layer_scale2.lambda1", "=", "gamma_2", "="},
    {"mlp.fc1.", "=", "mlp.up_proj.", "=", "=", "="},
    {"mlp.fc2.", "=", "mlp.down_proj.", "=", "=", "="},
    {"mlp.w12.", "mlp.weights_in.", "-", "mlp.fc1.", "-", "-"},
    {"mlp.w1.", "-", "mlp.gate_proj.", "-", "mlp.fc1_g.", "="},
    {"mlp.w2.", "-", "mlp.up_proj.", "-", "mlp.fc1_x.", "="},
    {"mlp.w3.", "mlp.weights_out.", "mlp.down_proj.", "mlp.fc2.", "mlp.fc2.", "="},
};

struct Exporter {
    const WeightsConfig& config;
    WeightNaming naming;
    NamedTensors out = {};
    std::vector<std::string> dropped = {};

    bool meta2() const { return naming == WeightNaming::meta && !config.dinov3; }
    std::string_view column(const Row& row) const {
        if (meta2()) return "=";
        const bool v3 = config.dinov3;
        if (naming == WeightNaming::meta) return row.meta3;
        return naming == WeightNaming::hugging_face ? (v3 ? row.hf3 : row.hf2) : v3 ? row.timm3 : row.timm2;
    }
    template <size_t N> std::string renamed(const Row (&rows)[N], std::string_view name) const {
        for (const Row& row : rows) {
            const bool open = row.ours.ends_with('.');
            if (open ? !name.starts_with(row.ours) : name != row.ours) continue;
            const std::string_view theirs = column(row);
            if (theirs == "-") return "";
            return std::string(theirs == "=" ? row.ours : theirs) +
                   std::string(open ? name.substr(row.ours.size()) : std::string_view());
        }
        return "";
    }
    void put(const std::string& name, const Tensor& tensor) {
        std::string theirs;
        if (name.starts_with("blocks.")) {
            const size_t end = name.find('.', 7) + 1;
            const char* lead = naming != WeightNaming::hugging_face ? "blocks."
                               : config.dinov3                      ? "layer."
                                                                    : "encoder.layer.";
            theirs = renamed(kBlockNames, std::string_view(name).substr(end));
            if (!theirs.empty()) theirs = lead + name.substr(7, end - 7) + theirs;
        } else {
            theirs = renamed(kTopNames, name);
        }
        if (theirs.empty())
            dropped.push_back(name);
        else
            out.emplace_back(theirs, tensor);
    }
    void put_parts(const std::string& name, const Tensor& tensor, size_t at, size_t length,
                   std::initializer_list<const char*> parts) {
        const int64_t rows = tensor.size(0) / static_cast<int64_t>(parts.size());
        int64_t row = 0;
        for (const char* part : parts) {
            put(std::string(name).replace(at, length, part), tensor.slice(0, row, row + rows));
            row += rows;
        }
    }
    void put_qkv_bias(const std::string& name, const Tensor& tensor) {
        const int64_t width = tensor.size(0) / 3;
        if (naming == WeightNaming::meta) {
            put(name, tensor);
            if (!config.mask_k_bias) return;
            Tensor mask = Tensor::ones({3 * width});
            fill(mask.slice(0, width, 2 * width), 0);
            out.emplace_back(name + "_mask", mask);
            return;
        }
        const size_t at = name.size() - 8;  // qkv.bias
        for (int64_t i = 0; i < 3; ++i) {
            if (i == 1 && config.mask_k_bias) continue;
            const Tensor part = tensor.slice(0, i * width, (i + 1) * width);
            const std::string letter(1, "qkv"[i]);
            if (naming == WeightNaming::timm)
                out.emplace_back(name.substr(0, at) + letter + "_bias", part);
            else
                put(std::string(name).replace(at, 3, letter), part);
        }
    }
};

}  // namespace

NamedTensors load_network(const Pretrained& weights) {
    NamedTensors all;
    for (const auto& [name, tensor] : weights.names().tensors)
        all.emplace_back(name, load_mapped(weights.file(), tensor));
    for (const auto& [name, in_file] : weights.names().heads)
        all.emplace_back(name, weights.file().load(in_file));
    return all;
}

NamedTensors export_names(const NamedTensors& ours, const WeightsConfig& config, WeightNaming naming,
                          std::vector<std::string>& dropped) {
    Exporter e{config, naming};
    const bool hf = naming == WeightNaming::hugging_face, timm = naming == WeightNaming::timm;
    const auto find = [&](const char* wanted) {
        for (const auto& [name, tensor] : ours)
            if (name == wanted) return tensor;
        return Tensor();
    };
    for (const auto& [name, tensor] : ours) {
        const size_t qkv = name.find("attn.qkv."), w12 = name.find("mlp.w12.");
        const bool head = name.substr(0, name.find('.')).find("head") != std::string::npos;
        if (head) {
            e.out.emplace_back(hf && name.starts_with("head.") ? "classifier" + name.substr(4) : name,
                               tensor);
        } else if (qkv != std::string::npos && name.ends_with(".bias") && (config.mask_k_bias || hf)) {
            e.put_qkv_bias(name, tensor);
        } else if (qkv != std::string::npos && hf) {
            e.put_parts(name, tensor, qkv + 5, 3, {"q", "k", "v"});
        } else if (w12 != std::string::npos && config.dinov3) {
            e.put_parts(name, tensor, w12 + 4, 3, {"w1", "w2"});
        } else if (name == "mask_token" && hf && config.dinov3) {
            e.put(name, tensor.unsqueeze(0));
        } else if (name == "pos_embed" && timm && config.registers > 0) {
            e.put(name, tensor.slice(1, 1));  // the class token's own goes into the class token
        } else if (name == "cls_token" && timm && config.registers > 0 && !config.dinov3) {
            const Tensor sum = tensor.clone();
            accumulate(sum, find("pos_embed").slice(1, 0, 1));
            e.put(name, sum);
        } else {
            e.put(name, tensor);
        }
    }
    dropped = e.dropped;
    return e.out;
}

Metadata weights_metadata(const WeightsConfig& c) {
    Metadata m{{"format", "pt"},
               {"num_heads", std::to_string(c.heads)},
               {"norm_eps", exact_text(c.norm_eps)},
               {"interpolate_offset", exact_text(c.offset)},
               {"interpolate_antialias", c.antialias ? "1" : "0"}};
    if (c.dinov3) m["rope_base"] = exact_text(c.rope_base);
    if (c.dinov3) m["mask_k_bias"] = c.mask_k_bias ? "1" : "0";
    for (size_t i = 0; i < c.rope_periods.size(); ++i)
        m["rope_period." + std::to_string(i)] = exact_text(c.rope_periods[i]);
    if (c.image_size > 0) m["image_size"] = std::to_string(c.image_size);
    for (size_t i = 0; i < c.classes.size(); ++i) m["class." + std::to_string(i)] = c.classes[i];
    for (size_t i = 0; c.mean && c.std && i < 3; ++i) {
        m["mean." + std::to_string(i)] = exact_text((*c.mean)[i]);
        m["std." + std::to_string(i)] = exact_text((*c.std)[i]);
    }
    return m;
}

}  // namespace demi
