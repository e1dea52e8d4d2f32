#include "examples/train/init_from.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "examples/common/files.h"
#include "examples/common/text.h"
#include "examples/train/model_file.h"
#include "runtime/copy.h"

namespace demi::examples {
namespace {

constexpr int64_t kMostDefault = 224;  // pixels a side, of weights that are for larger pictures

// The side of pictures that our own trainers made the weights for; 0 for others.
int64_t own_size(const Pretrained& weights) {
    return weights.file().metadata().contains("program") ? weights.config().img_size : 0;
}

// The side of pictures that the weights are for: of released ones at most 224, in whole patches.
int64_t usual_size(const Pretrained& weights) {
    const WeightsConfig& c = weights.config();
    for (int64_t side : {own_size(weights), c.image_size})
        if (side > 0 && side % c.patch == 0) return side;
    const int64_t side = c.img_size > 0 ? std::min(c.img_size, kMostDefault) : kMostDefault;
    return std::max(side / c.patch, int64_t{1}) * c.patch;
}

// The weights' own, or as much larger as the pictures are than those of our own training: then the grid stays as it is.
int64_t usual_patch(const Pretrained& weights, int64_t side) {
    const int64_t patch = weights.config().patch, own = own_size(weights);
    return own > 0 && side * patch % own == 0 ? side * patch / own : patch;
}

std::string number(double x) {
    const auto whole = static_cast<int64_t>(x);
    return static_cast<double>(whole) == x ? std::to_string(whole) : std::to_string(x);
}

}  // namespace

InitFrom::InitFrom(const TrainOptions& options) {
    if (options.init_from.empty()) return;
    const std::string own = options.out + "/checkpoint.safetensors";
    const bool goes_on = options.resuming() && exists(own);
    weights_.emplace(goes_on ? own : options.init_from,
                     PretrainedOptions{options.has("heads") ? options.heads : 0, "", true});
}

void InitFrom::adapt(TrainOptions& options) const {
    if (!weights_) return;
    const WeightsConfig& c = weights_->config();
    check(c.channels == 1 || c.channels == 3, "init-from", "'", options.init_from, "' is for pictures of ",
          c.channels, " channels: only 1 and 3 are read");
    if (c.channels == 3) options.channels = 3;  // grey pictures become RGB
    if (options.image_size == 0) options.image_size = usual_size(*weights_);
    if (options.patch > 0) return;
    options.patch = usual_patch(*weights_, options.image_size);
    if (options.patch != c.patch)
        std::printf(
            "patch %lld: the weights' grid of patches stays as it is; --patch %lld makes more of them\n",
            static_cast<long long>(options.patch), static_cast<long long>(c.patch));
}

ViTConfig InitFrom::config(TrainOptions& o, int64_t image_size, int64_t channels) const {
    const WeightsConfig& c = weights_->config();
    ViTConfig v = vit_config(c);
    const auto agree = [&](const char* flag, double said, double there) {
        check(!o.has(flag) || std::abs(said - there) < 1e-6, "init-from", "'", o.init_from, "' has --", flag,
              " ", number(there),
              c.heads_from.starts_with("a ") || std::string(flag) != "heads" ? "" : " (" + c.heads_from + ")",
              ": got --", flag, " ", number(said));
    };
    if (o.has("model")) {
        const ViTConfig named = vit_config(o.model, o.patch);
        check(named.embed_dim == c.width && named.depth == c.depth, "init-from", "'", o.init_from,
              "' is of width ", c.width, " with ", c.depth, " blocks: no ", o.model);
    }
    const double ratio = static_cast<double>(c.ffn_hidden) / static_cast<double>(c.width);
    agree("dim", static_cast<double>(o.dim), static_cast<double>(c.width));
    agree("heads", static_cast<double>(o.heads), static_cast<double>(c.heads));
    agree("swiglu", o.swiglu ? 1 : 0, c.swiglu ? 1 : 0);
    agree("rope", o.rope ? 1 : 0, v.rope ? 1 : 0);
    agree("mlp-ratio", o.mlp_ratio, ratio);
    check(image_size % o.patch == 0, "init-from", "--image-size must be a multiple of the patch ", o.patch,
          ": got ", image_size, "; ", image_size / o.patch * o.patch, " or ",
          (image_size / o.patch + 1) * o.patch, " would fit");
    v.patch_size = o.patch;
    v.img_size = image_size;
    v.in_chans = channels;
    v.drop_path_rate = o.drop_path;
    if (o.has("depth")) v.depth = o.depth;
    if (o.has("registers")) v.num_register_tokens = o.registers;
    if (!c.layer_scale && o.layer_scale > 0) v.init_values = o.layer_scale;
    o.dim = c.width;
    o.depth = v.depth;
    o.heads = c.heads;
    o.mlp_ratio = ratio;
    o.swiglu = c.swiglu;
    o.rope = v.rope.has_value();
    o.registers = v.num_register_tokens;
    return v;
}

data::ChannelStats InitFrom::stats(const data::ChannelStats& otherwise, int64_t channels) const {
    if (!weights_) return otherwise;
    const WeightsConfig& c = weights_->config();
    std::optional<data::ChannelStats> stats = stats_of(c);
    if (!stats && c.channels == 1) return otherwise;
    if (!stats) stats = kImagenetColours;
    if (c.channels == 1 && channels == 3)
        for (size_t i = 1; i < 3; ++i) {
            stats->mean[i] = stats->mean[0];
            stats->std[i] = stats->std[0];
        }
    return *stats;
}

namespace {

// The rows of the file's classifier that belong to the model's classes; their number, and -1 for none of its shape.
int64_t load_head(const NamedParameters& parameters, const Pretrained& weights,
                  const std::vector<std::string>& classes) {
    const std::vector<std::string>& theirs = weights.config().classes;
    int64_t taken = -1;
    for (const auto& [name, parameter] : parameters) {
        if (!name.starts_with("head.")) continue;
        const auto found = weights.names().heads.find(name);
        if (found == weights.names().heads.end()) return -1;
        const Tensor from = weights.file().load(found->second);
        const Shape& shape = from.shape();
        if (shape.rank() != parameter.rank() || (shape.rank() == 2 && shape[1] != parameter.size(1)))
            return -1;
        if (theirs.empty() && !(shape == parameter.shape())) return -1;
        check(all_finite(from), "init-from", "'", weights.file().path(), "': ", name,
              " holds NaN or infinity");
        taken = 0;
        for (int64_t i = 0; i < std::ssize(classes); ++i) {
            const auto at =
                std::find(theirs.begin(), theirs.end(), valid_utf8(classes[static_cast<size_t>(i)]));
            const int64_t row = theirs.empty() ? i : at == theirs.end() ? -1 : at - theirs.begin();
            if (row < 0 || row >= shape[0]) continue;
            copy(parameter.value().select(0, i), from.select(0, row));
            ++taken;
        }
    }
    return taken;
}

}  // namespace

bool InitFrom::load(const NamedParameters& parameters, const std::vector<std::string>& classes, bool partial,
                    bool print) const {
    if (print) std::printf("%s", weights_->describe().c_str());
    NamedParameters rest;
    for (const auto& entry : parameters)
        if (!entry.first.starts_with("head.")) rest.push_back(entry);
    const bool classifier = rest.size() < parameters.size();
    const PretrainedReport report = load_pretrained(rest, *weights_, partial);
    if (print) print_report(rest, report);
    if (!classifier)
        return std::none_of(report.kept.begin(), report.kept.end(),
                            [](const std::string& name) { return name.find("head") != std::string::npos; });
    const int64_t taken = load_head(parameters, *weights_, classes);
    if (taken > 0)
        std::printf("  classifier: %lld of %zu classes loaded%s\n", static_cast<long long>(taken),
                    classes.size(),
                    weights_->config().classes.empty() ? ", by their numbers: the file names none" : "");
    else
        std::printf("  classifier: stays as initialised, the weights have none of these classes\n");
    return taken == std::ssize(classes);
}

void freeze(const NamedParameters& parameters, const std::string& what, int64_t depth) {
    if (what.empty()) return;
    int64_t blocks = 0;
    const bool all = what == "backbone";
    const auto [end, error] = std::from_chars(what.data(), what.data() + what.size(), blocks);
    check(all || (error == std::errc() && end == what.data() + what.size() && blocks >= 1 && blocks <= depth),
          "freeze", "--freeze takes backbone or a number of blocks from 1 to ", depth, ": got '", what, "'");
    for (auto [full, parameter] : parameters) {
        const std::string name = full.starts_with("backbone.") ? full.substr(9) : full;
        const bool head = name.substr(0, name.find('.')).find("head") != std::string::npos;
        bool frozen = !head;
        if (!all && name.starts_with("blocks."))
            frozen = std::stoll(name.substr(7)) < blocks;
        else if (!all)
            frozen = !head && name.find("norm") == std::string::npos;  // the last norms lie behind all blocks
        if (frozen) parameter.requires_grad_(false);
    }
}

}  // namespace demi::examples
