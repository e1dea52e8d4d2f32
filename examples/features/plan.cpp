#include "examples/features/plan.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>

#include "examples/common/text.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "ops/views/concat.h"
#include "ops/views/views.h"

namespace demi::examples {
namespace {

// "4": the last four; "2,5,-1" and "5,": those.
std::vector<int64_t> layers_of(const std::string& text, int64_t depth) {
    std::vector<int64_t> numbers, layers;
    std::istringstream in(text);
    for (std::string part; std::getline(in, part, ',');) {
        int64_t n = 0;
        const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), n);
        check(error == std::errc() && end == part.data() + part.size(), "extract",
              "--layers takes a number or a list as 2,5,-1: got '", text, "'");
        numbers.push_back(n);
    }
    check(!numbers.empty(), "extract", "--layers takes a number or a list as 2,5,-1: got '", text, "'");
    if (text.find(',') == std::string::npos) {
        check(numbers[0] >= 1 && numbers[0] <= depth, "extract",
              "--layers must be at least 1 and at most the ", depth, " blocks of the network: got ", text);
        for (int64_t i = depth - numbers[0]; i < depth; ++i) layers.push_back(i);
        return layers;
    }
    for (int64_t n : numbers) {
        check(n >= -depth && n < depth, "extract", "--layers: block ", n, " is not among the ", depth,
              " blocks of the network, 0 to ", depth - 1);
        layers.push_back(n < 0 ? n + depth : n);
    }
    std::sort(layers.begin(), layers.end());
    layers.erase(std::unique(layers.begin(), layers.end()), layers.end());
    return layers;
}

void check_side(int64_t side, const ViTConfig& config) {
    const int64_t patch = config.patch_size, below = side / patch * patch;
    check(side >= patch && (config.rope || side % patch == 0), "extract",
          "--image-size must be a multiple of the ", "patch size ", patch, ": got ", side, ", near are ",
          std::max(below, patch), " and ", below + patch);
}

std::string json_numbers(const std::array<float, 3>& values) {
    std::string text;
    char digits[32];
    for (const float v : values)
        text += (text.empty() ? "" : ", ") +
                std::string(digits, std::to_chars(digits, digits + sizeof digits, v).ptr);
    return "[" + text + "]";
}

std::string columns_of(const ExtractOptions& options, const std::vector<int64_t>& layers, int64_t dim) {
    std::string text;
    int64_t at = 0;
    const auto add = [&](const char* token, int64_t layer) {
        text += (at == 0 ? "" : ", ") + std::string("{\"token\": \"") + token +
                "\", \"layer\": " + std::to_string(layer) + ", \"begin\": " + std::to_string(at) +
                ", \"end\": " + std::to_string(at + dim) + "}";
        at += dim;
    };
    for (int64_t layer : layers) add("class", layer);
    if (options.patch_mean) add("patch mean", layers.back());
    return "[" + text + "]";
}

}  // namespace

FeaturePlan make_plan(const ExtractOptions& options, const ViTConfig& config, int64_t trained) {
    FeaturePlan plan;
    plan.layers = layers_of(options.layers, config.depth);
    const int64_t patch = config.patch_size;
    const int64_t usual = std::max<int64_t>(std::min<int64_t>(trained, 224) / patch, 1) * patch;
    data::FramingOptions& framing = plan.framing;
    framing.framing = data::parse_framing(options.framing);
    framing.filter = data::parse_filter(options.filter);
    framing.height = options.image_size > 0 ? options.image_size : usual;
    framing.width = options.image_width > 0 ? options.image_width : framing.height;
    framing.resize = options.resize;
    framing.multiple = patch;
    const bool fit = framing.framing == data::Framing::fit;
    check(!fit || options.image_width == 0 || options.image_width == options.image_size, "extract",
          "--framing fit takes one --image-size, that of the shorter side");
    check(options.resize == 0 || framing.framing == data::Framing::crop, "extract",
          "--resize belongs to --framing crop");
    check_side(framing.height, config);
    check_side(framing.width, config);
    check(!fit || !(options.patch_tokens || options.attention), "extract",
          "--patch-tokens and --attention need pictures of one size: another --framing than fit");
    check(!options.registers || config.num_register_tokens > 0, "extract",
          "--registers: the network has no register or storage tokens");

    const int64_t rows = framing.height / patch, columns = framing.width / patch;
    const int64_t count = std::ssize(plan.layers), dim = config.embed_dim;
    const auto add = [&](const char* name, const Shape& shape) {
        plan.outputs.push_back({name, shape, plan.values});
        plan.values += shape.numel();
    };
    add("features", {(count + (options.patch_mean ? 1 : 0)) * dim});
    if (options.registers) add("registers", {config.num_register_tokens, count * dim});
    if (options.patch_tokens) add("patches", {rows, columns, count * dim});
    if (options.attention) add("attention", {config.num_heads, rows, columns});
    plan.columns = columns_of(options, plan.layers, dim);
    return plan;
}

void set_stats(FeaturePlan& plan, const data::ChannelStats& stats, const ExtractOptions& options) {
    plan.stats = stats;
    const data::FramingOptions& f = plan.framing;
    std::ostringstream out;
    out << "{\"framing\": \"" << options.framing << "\", \"image_size\": [" << f.height << ", " << f.width
        << "]";
    if (f.framing == data::Framing::crop) out << ", \"resize\": " << f.crop_resize();
    if (f.framing == data::Framing::fit) out << ", \"multiple_of\": " << f.multiple;
    out << ", \"filter\": \"" << options.filter
        << "\", \"antialias\": true, \"scale\": \"1/255\", \"mean\": " << json_numbers(stats.mean)
        << ", \"std\": " << json_numbers(stats.std)
        << ", \"exif_orientation\": " << (options.exif_orientation ? "true" : "false") << "}";
    plan.preprocessing = out.str();
}

Tensor compute_features(const DinoVisionTransformer& model, const Tensor& images, const FeaturePlan& plan,
                        const ExtractOptions& options, const ForwardContext& context) {
    const auto found = model.get_intermediate_layers(Variable(images), context, plan.layers);
    const int64_t batch = images.size(0);
    std::vector<Variable> parts, registers, patches;
    for (const auto& layer : found) {
        parts.push_back(layer.cls_token);
        if (options.registers) registers.push_back(layer.registers);
        if (options.patch_tokens) patches.push_back(layer.patches);
    }
    if (options.patch_mean) parts.push_back(mean(found.back().patches, {1}));
    const auto add = [&](const std::vector<Variable>& tokens) {
        if (tokens.empty()) return;
        const Variable joined = concat(tokens, 2);
        parts.push_back(reshape(joined, {batch, joined.size(1) * joined.size(2)}));
    };
    add(registers);
    add(patches);
    if (options.attention) {
        const Tensor all = model.get_last_selfattention(images);  // [B, heads, 1 + R + N]
        const int64_t first = 1 + model.config().num_register_tokens;
        const Tensor maps = all.slice(2, first, all.size(2)).contiguous();
        parts.push_back(Variable(maps.view({batch, maps.size(1) * maps.size(2)})));
    }
    return concat(parts, 1).value().to(Device::cpu());
}

}  // namespace demi::examples
