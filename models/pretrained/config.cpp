#include "models/pretrained/config.h"

#include <algorithm>
#include <cmath>

#include "models/pretrained/config_json.h"
#include "models/pretrained/pretrained.h"
#include "models/state.h"
#include "runtime/checkpoint/checkpoint.h"

namespace demi {
namespace {

constexpr int64_t kMostPixels = 65536;  // a side

struct Shapes {  // of a file's tensors under our names
    const CheckpointFile& file;
    const NameMap& map;

    template <class... Parts> [[noreturn]] void refuse(const Parts&... parts) const {
        fail("checkpoint", "'", file.path(), "': ", parts...);
    }
    const MappedTensor* find(const std::string& name) const {
        const auto found = map.tensors.find(name);
        return found == map.tensors.end() ? nullptr : &found->second;
    }
    Shape get(const std::string& name, int rank) const {
        const MappedTensor* tensor = find(name);
        if (tensor == nullptr) refuse("lacks ", name);
        if (tensor->shape.rank() != rank) refuse(name, " must have rank ", rank, ": got ", tensor->shape);
        return tensor->shape;
    }
    // The first block that has it: our name, or "".
    std::string in_any_block(const std::string& end) const {
        for (const auto& [name, tensor] : map.tensors)
            if (name.starts_with("blocks.") && name.ends_with(end)) return name;
        return "";
    }
};

int64_t depth_of(const Shapes& shapes) {
    int64_t depth = 0;
    for (const auto& [name, tensor] : shapes.map.tensors)
        if (name.starts_with("blocks."))
            depth = std::max(depth, 1 + static_cast<int64_t>(std::stoll(name.substr(7))));
    if (depth == 0) shapes.refuse("has no blocks");
    return depth;
}

void read_shapes(const Shapes& shapes, WeightsConfig& c) {
    const Shape patch = shapes.get("patch_embed.proj.weight", 4);
    if (patch[2] != patch[3]) shapes.refuse("patches must be square: patch_embed.proj.weight is ", patch);
    c.width = patch[0];
    c.channels = patch[1];
    c.patch = patch[2];
    c.depth = depth_of(shapes);
    if (std::min({c.width, c.channels, c.patch}) < 1)
        shapes.refuse("patch_embed.proj.weight is empty: ", patch);
    if (shapes.find("register_tokens") != nullptr) c.registers = shapes.get("register_tokens", 3)[1];
    const bool positions = shapes.find("pos_embed") != nullptr;
    if (positions && shapes.map.dinov3)
        shapes.refuse(
            "has a position embedding (pos_embed) beside names of DINOv3, which has none: another model");
    if (!shapes.map.dinov3) {
        const Shape shape = shapes.get("pos_embed", 3);
        const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(shape[1] - 1))));
        if (side < 1 || side * side + 1 != shape[1])
            shapes.refuse("pos_embed must be that of a class token and a square grid: got ", shape);
        c.img_size = side * c.patch;
    }
    const std::string w12 = shapes.in_any_block("mlp.w12.weight"),
                      fc1 = shapes.in_any_block("mlp.fc1.weight");
    if (w12.empty() && fc1.empty()) shapes.refuse("has no mlp in its blocks");
    c.swiglu = !w12.empty();
    c.ffn_hidden = c.swiglu ? shapes.get(w12, 2)[0] / 2 : shapes.get(fc1, 2)[0];
    c.layer_scale = !shapes.in_any_block("ls1.gamma").empty();
    c.qkv_bias = !shapes.in_any_block("attn.qkv.bias").empty();
    c.proj_bias = !shapes.in_any_block("attn.proj.bias").empty();
    c.ffn_bias = !shapes.in_any_block(c.swiglu ? "mlp.w12.bias" : "mlp.fc1.bias").empty();
    c.dinov3 = shapes.map.dinov3;
    c.mask_k_bias = shapes.map.masked_k;
    c.cls_norm = shapes.find("cls_norm.weight") != nullptr;
    c.local_cls_norm = shapes.find("local_cls_norm.weight") != nullptr;
    c.norm_eps = c.dinov3 ? 1e-5 : 1e-6;
    const WeightNaming naming = shapes.map.naming;
    c.antialias = naming == WeightNaming::timm || c.registers > 0;
    c.offset = naming == WeightNaming::meta && c.registers == 0 ? 0.1 : 0;
}

// Meta's files hold the periods of rope, rounded to bf16: with them outputs are those of Meta's code.
void read_periods(const CheckpointFile& file, const NameMap& map, WeightsConfig& c) {
    const auto periods = map.tensors.find("rope_embed.periods");
    if (periods == map.tensors.end()) return;
    c.rope_periods = load_mapped(file, periods->second).to_vector<double>();
    for (const double period : c.rope_periods)
        check(period > 0 && std::isfinite(period), "checkpoint", "'", file.path(),
              "': rope_embed.periods must be positive: got ", period);
}

// What our own programs write.
void read_metadata(const Metadata& m, WeightsConfig& c) {
    if (m.contains("num_heads")) {
        c.heads = state_int(m, "num_heads");
        check(c.heads >= 1, "checkpoint", "num_heads must be positive: got ", c.heads);
        c.heads_from = "metadata";
    }
    if (m.contains("interpolate_offset")) c.offset = state_double(m, "interpolate_offset");
    if (m.contains("interpolate_antialias")) c.antialias = state_int(m, "interpolate_antialias") != 0;
    if (m.contains("norm_eps")) c.norm_eps = state_double(m, "norm_eps");
    if (m.contains("rope_base")) c.rope_base = state_double(m, "rope_base");
    if (m.contains("rope_period.0")) c.rope_periods.clear();  // the same as the file's tensor
    for (std::string key = "rope_period.0"; m.contains(key);) {
        c.rope_periods.push_back(state_double(m, key));
        key = "rope_period." + std::to_string(c.rope_periods.size());
    }
    if (m.contains("mask_k_bias")) c.mask_k_bias = state_int(m, "mask_k_bias") != 0;
    if (m.contains("image_size")) {
        c.image_size = state_int(m, "image_size");
        check(c.image_size >= 1 && c.image_size <= kMostPixels, "checkpoint", "image_size must lie in [1, ",
              kMostPixels, "]: got ", c.image_size);
    }
    for (std::string key = "class.0"; m.contains(key); key = "class." + std::to_string(c.classes.size()))
        c.classes.push_back(m.at(key));
    if (!m.contains("mean.0")) return;
    c.mean.emplace();
    c.std.emplace();
    for (size_t i = 0; i < 3; ++i) {
        (*c.mean)[i] = state_double(m, "mean." + std::to_string(i));
        (*c.std)[i] = state_double(m, "std." + std::to_string(i));
    }
}

// Heads of 64 but for these.
void guess_heads(WeightsConfig& c) {
    struct Known {
        bool dinov3;
        int64_t width, heads;
    };
    constexpr Known kKnown[] = {{false, 1152, 16}, {false, 1280, 16}, {false, 1408, 16},
                                {true, 1152, 18},  {true, 1280, 20},  {true, 4096, 32}};
    c.heads = std::max<int64_t>(c.width / 64, 1);
    c.heads_from = "a guess: width / 64";
    for (const Known& known : kKnown)
        if (known.dinov3 == c.dinov3 && known.width == c.width) {
            c.heads = known.heads;
            c.heads_from = "a table of widths";
        }
}

}  // namespace

WeightsConfig read_weights_config(const CheckpointFile& file, const NameMap& map, int64_t heads) {
    WeightsConfig c;
    read_shapes({file, map}, c);
    read_periods(file, map, c);
    read_metadata(file.metadata(), c);
    if (!file.config().empty()) read_config_json(file.path(), file.config(), c);
    if (!file.preprocessor().empty()) read_preprocessor_json(file.path(), file.preprocessor(), c);
    if (!c.mean && c.dinov3 && file.path().find("sat493m") != std::string::npos) {  // satellite pictures
        c.mean = {0.430, 0.411, 0.296};
        c.std = {0.213, 0.156, 0.143};
    }
    if (heads > 0) {
        c.heads = heads;
        c.heads_from = "the caller";
    } else if (const auto n = static_cast<int64_t>(c.rope_periods.size());
               c.heads == 0 && n > 0 && c.width >= 4 * n) {
        c.heads = c.width / (4 * n);  // a head has four elements for each period
        c.heads_from = "rope_embed.periods";
    } else if (c.heads == 0) {
        guess_heads(c);
    }
    check(c.width % c.heads == 0, "checkpoint", "'", file.path(), "': width ", c.width, " is no multiple of ",
          c.heads, " heads (", c.heads_from, "); say --heads");
    if (c.mean)
        for (size_t i = 0; i < 3; ++i) {
            check(std::isfinite((*c.mean)[i]), "checkpoint", "mean.", i, " must be finite: got ",
                  (*c.mean)[i]);
            check((*c.std)[i] > 0 && std::isfinite((*c.std)[i]), "checkpoint", "std.", i,
                  " must be positive: got ", (*c.std)[i]);
        }
    return c;
}

ViTConfig vit_config(const WeightsConfig& c) {
    ViTConfig v;
    if (c.img_size > 0) v.img_size = c.img_size;
    v.patch_size = c.patch;
    v.in_chans = c.channels;
    v.embed_dim = c.width;
    v.depth = c.depth;
    v.num_heads = c.heads;
    v.ffn_hidden = c.ffn_hidden;
    v.qkv_bias = c.qkv_bias;
    v.proj_bias = c.proj_bias;
    v.ffn_bias = c.ffn_bias;
    if (c.layer_scale) v.init_values = 1.0;
    if (c.swiglu) v.ffn_layer = "swiglufused";
    v.num_register_tokens = c.registers;
    v.interpolate_antialias = c.antialias;
    v.interpolate_offset = c.offset;
    v.norm_eps = c.norm_eps;
    v.mask_k_bias = c.mask_k_bias;
    if (!c.dinov3) return v;
    if (c.swiglu) v.ffn_layer = "swiglu_split";
    v.cls_norm = c.cls_norm;
    v.local_cls_norm = c.local_cls_norm;
    v.drop_path_uniform = v.drop_path_subsets = true;
    v.rope.emplace();
    v.rope->base = c.rope_base;
    v.rope->periods = c.rope_periods;
    return v;
}

}  // namespace demi
