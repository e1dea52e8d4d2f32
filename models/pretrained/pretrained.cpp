#include "models/pretrained/pretrained.h"

#include <algorithm>
#include <sstream>

#include "models/pretrained/adapt.h"
#include "models/pretrained/group.h"
#include "runtime/copy.h"

namespace demi {

Pretrained::Pretrained(const std::string& path, const PretrainedOptions& options)
    : file_(open_checkpoint(path, options.check_sums)) {
    TensorGroup group = find_network(file_, options.key);
    names_ = map_names(file_, group);
    prefix_ = group.prefix;
    other_networks_ = std::move(group.other_networks);
    elsewhere_ = group.elsewhere;
    config_ = read_weights_config(file_, names_, options.heads);
}

std::string Pretrained::describe() const {
    const WeightsConfig& c = config_;
    const char* source = names_.naming == WeightNaming::hugging_face ? "Hugging Face"
                         : names_.naming == WeightNaming::timm       ? "timm"
                                                                     : "Meta";
    std::ostringstream out;
    out << file_.path() << ": " << file_.format() << ", names of " << source << ", "
        << (c.dinov3 ? "DINOv3" : "DINOv2");
    if (!prefix_.empty()) out << ", prefix " << prefix_;
    out << ", " << names_.tensors.size() << " tensors, " << names_.heads.size() << " of heads";
    if (elsewhere_ > 0) out << ", " << elsewhere_ << " others left alone";
    if (!other_networks_.empty()) {
        std::vector<std::string> shown;
        for (const std::string& prefix : other_networks_)
            shown.push_back(prefix.empty() ? "(no prefix)" : prefix);
        out << " (other networks: " << list_names(shown) << "; --key takes one)";
    }
    out << "\n  width " << c.width << ", " << c.depth << " blocks, " << c.heads << " heads";
    if (!c.heads_from.starts_with("a ")) out << " (" << c.heads_from << ")";
    out << ", patch " << c.patch;
    if (c.img_size > 0) out << ", positions for " << c.img_size << " px";
    out << ", " << c.registers << " registers, " << (c.swiglu ? "SwiGLU " : "MLP ") << c.ffn_hidden
        << ", norm eps " << c.norm_eps << (c.mask_k_bias ? ", no bias of keys" : "") << "\n";
    if (c.heads_from.starts_with("a "))
        out << "  the number of heads, " << c.heads << ", is "
            << (c.heads_from == "a table of widths" ? "from " : "") << c.heads_from
            << "; --heads says another\n";
    return out.str();
}

namespace {

struct Fill {
    std::string name;  // of the parameter, without "backbone."
    Tensor to;
    MappedTensor from;
};

void fill_from(const CheckpointFile& file, const Fill& fill) {
    Tensor flat = fill.to.view({fill.to.numel()});
    int64_t at = 0;
    for (const WeightPiece& piece : fill.from.pieces) {
        Tensor part = flat.slice(0, at, at + piece.count);
        at += piece.count;
        if (piece.name.empty()) {
            demi::fill(part, 0);
            continue;
        }
        const Tensor all = file.load(piece.name);
        copy(part, all.view({all.numel()}).slice(0, piece.begin, piece.begin + piece.count));
    }
    check(all_finite(fill.to), "checkpoint", "'", file.path(), "': ", fill.name, " holds NaN or infinity");
}

bool is_float(const CheckpointFile& file, const MappedTensor& tensor) {
    return std::all_of(tensor.pieces.begin(), tensor.pieces.end(), [&](const WeightPiece& piece) {
        return piece.name.empty() || file.info(piece.name).dtype.find('F') != std::string::npos;
    });
}

const char* safetensors_name(DType dtype) {
    return dtype == DType::f16 ? "F16" : dtype == DType::bf16 ? "BF16" : dtype == DType::f32 ? "F32" : "F64";
}

bool of_head(const std::string& name) {
    return name.substr(0, name.find('.')).find("head") != std::string::npos;
}

}  // namespace

Tensor load_mapped(const CheckpointFile& file, const MappedTensor& tensor) {
    int64_t count = 0;
    for (const WeightPiece& piece : tensor.pieces) count = checked_add(count, piece.count, "load_mapped");
    check(!tensor.pieces.empty() && count == tensor.shape.numel(), "load_mapped", "pieces of ", count,
          " elements are no ", tensor.shape);
    std::optional<DType> dtype;
    for (const WeightPiece& piece : tensor.pieces)
        for (DType known : {DType::f16, DType::bf16, DType::f32, DType::f64})
            if (!piece.name.empty() && file.info(piece.name).dtype == safetensors_name(known))
                dtype = dtype ? promote(*dtype, known) : known;
    check(dtype.has_value(), "checkpoint", "'", file.path(), "': '", tensor.pieces[0].name,
          "' is no floating-point tensor");
    const Fill fill{tensor.pieces[0].name, Tensor::empty(tensor.shape, *dtype), tensor};
    fill_from(file, fill);
    return fill.to;
}

PretrainedReport load_pretrained(const NamedParameters& parameters, const Pretrained& weights, bool partial) {
    const CheckpointFile& file = weights.file();
    PretrainedReport report;
    std::vector<Fill> fills;
    std::vector<std::string> used;
    for (const auto& [full, parameter] : parameters) {
        const std::string name = full.starts_with("backbone.") ? full.substr(9) : full;
        MappedTensor half, head;
        const MappedTensor* from = find_mapped(weights.names(), name, half);
        if (of_head(name)) {
            const auto found = weights.names().heads.find(name);
            if (found != weights.names().heads.end() && file.info(found->second).shape == parameter.shape()) {
                head = {parameter.shape(), {{found->second, 0, parameter.numel()}}};
                from = &head;
            }
        }
        if (from == nullptr) {
            const bool optional = of_head(name) || name == "mask_token";
            (optional ? report.kept : report.missing).push_back(full);
            continue;
        }
        const bool same = from->shape == parameter.shape();
        const std::string how = same ? "" : adaptation(name, from->shape, parameter.shape());
        check(same || !how.empty(), "checkpoint", "'", file.path(), "': ", name, " is ", from->shape,
              ", the model's ", full, " is ", parameter.shape(), ": another model");
        if (!same) report.adapted.push_back(name + " (" + how + ")");
        check(is_float(file, *from), "checkpoint", "'", file.path(), "': ", name,
              " is no floating-point tensor");
        for (const WeightPiece& piece : from->pieces) used.push_back(piece.name);
        fills.push_back({name, parameter.value(), *from});
    }
    std::sort(used.begin(), used.end());
    report.left_over = weights.names().unknown;
    for (const auto& [name, tensor] : weights.names().tensors)
        for (const WeightPiece& piece : tensor.pieces)
            if (!name.starts_with("local_cls_norm.") && name != "rope_embed.periods" && !piece.name.empty() &&
                !std::binary_search(used.begin(), used.end(), piece.name))
                report.left_over.push_back(piece.name);
    std::sort(report.left_over.begin(), report.left_over.end());  // a tensor has pieces of one name
    report.left_over.erase(std::unique(report.left_over.begin(), report.left_over.end()),
                           report.left_over.end());
    report.loaded = fills.size();
    check(!fills.empty(), "checkpoint", "'", file.path(), "': none of its tensors fits this model");
    check(partial || report.missing.empty(), "checkpoint", "'", file.path(), "' lacks ",
          list_names(report.missing),
          ", which would stay as initialised (another model?); --partial goes on all the same");
    check(partial || report.left_over.empty(), "checkpoint", "'", file.path(),
          "' has what this model has no place for: ", list_names(report.left_over),
          " (another model?); --partial leaves it out");
    for (const Fill& fill : fills) {
        if (fill.from.shape == fill.to.shape())
            fill_from(file, fill);
        else
            copy(fill.to,
                 adapted(fill.name, load_mapped(file, fill.from), fill.to.shape(), weights.config()));
    }
    return report;
}

}  // namespace demi
