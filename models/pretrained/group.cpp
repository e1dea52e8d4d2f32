#include "models/pretrained/group.h"

#include <algorithm>

namespace demi {
namespace {

// The weight of the patch embedding, by Meta and timm, and by Hugging Face for DINOv2 and DINOv3.
constexpr std::string_view kAnchors[] = {"patch_embed.proj.weight",
                                         "embeddings.patch_embeddings.projection.weight",
                                         "embeddings.patch_embeddings.weight"};
constexpr std::string_view kWrappers[] = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
                                          "_forward_module"};
constexpr std::string_view kUsual[] = {
    "state_dict", "model",      "module", "backbone", "encoder", "dinov2", "dinov2_with_registers",
    "dinov3_vit", "pretrained", "net",    "network",  "trunk",   "vit"};

template <class Names> bool among(const Names& names, std::string_view name) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

std::vector<std::string_view> components(std::string_view name) {
    std::vector<std::string_view> all;
    while (true) {
        const size_t dot = name.find('.');
        all.push_back(name.substr(0, dot));
        if (dot == std::string_view::npos) return all;
        name.remove_prefix(dot + 1);
    }
}

std::string without_wrappers(const std::string& name) {
    if (name.find('_') == std::string::npos) return name;
    std::string out;
    for (std::string_view part : components(name))
        if (!among(kWrappers, part)) (out += out.empty() ? "" : ".") += part;
    return out;
}

int rank_of(const std::string& prefix) {
    bool usual = true;
    for (std::string_view part : components(prefix)) {
        if (part.starts_with("teacher")) return 0;
        if (part.starts_with("student") || part.starts_with("gram")) return 3;
        usual = usual && (part.empty() || among(kUsual, part));
    }
    return usual ? 1 : 2;
}

[[noreturn]] void refuse_without_network(const CheckpointFile& file) {
    const auto any = [&](std::string_view text) {
        return std::any_of(file.names().begin(), file.names().end(),
                           [&](const std::string& name) { return name.find(text) != std::string::npos; });
    };
    if (any("downsample_layers."))
        fail("checkpoint", "'", file.path(), "' is a ConvNeXt: needed is a vision transformer");
    if (!file.objects().empty())
        fail("checkpoint", "'", file.path(), "' holds no vision transformer, but under '",
             file.objects().begin()->first, "' an object of class ", file.objects().begin()->second,
             ": if that is the model, torch.save() its state_dict()");
    fail("checkpoint", "'", file.path(), "' holds no vision transformer: it has no '", kAnchors[0],
         "' (nor Hugging Face's '", kAnchors[1], "') but ", list_names(file.names()));
}

std::vector<std::string> prefixes_of(const std::map<std::string, std::string>& names) {
    std::vector<std::string> found;
    for (const auto& [name, in_file] : names)
        for (std::string_view anchor : kAnchors)
            if (name.ends_with(anchor) &&
                (name.size() == anchor.size() || name[name.size() - anchor.size() - 1] == '.') &&
                !name.starts_with("optimizer."))
                found.push_back(name.substr(0, name.size() - anchor.size()));
    std::stable_sort(found.begin(), found.end(), [](const std::string& a, const std::string& b) {
        const int x = rank_of(a), y = rank_of(b);
        return x != y ? x < y : a.size() < b.size();
    });
    return found;
}

// What heads have in front of their names: that of the network without its own last part.
std::string parent_of(const std::string& prefix) {
    const std::vector<std::string_view> parts = components(prefix);
    if (parts.size() < 2) return prefix;
    const std::string_view last = parts[parts.size() - 2];
    return last.starts_with("dinov") || last == "backbone" || last == "vit"
               ? prefix.substr(0, prefix.size() - last.size() - 1)
               : prefix;
}

}  // namespace

std::string list_names(const std::vector<std::string>& names) {
    std::string text;
    for (size_t i = 0; i < std::min<size_t>(names.size(), 4); ++i) text += (i > 0 ? ", " : "") + names[i];
    if (names.size() > 4) text += ", ... (" + std::to_string(names.size()) + " in all)";
    return text;
}

TensorGroup find_network(const CheckpointFile& file, const std::string& key) {
    std::map<std::string, std::string> names;
    for (const std::string& name : file.names()) {
        const auto [same, is_new] = names.emplace(without_wrappers(name), name);
        check(is_new, "checkpoint", "'", file.path(), "': '", name, "' and '", same->second,
              "' are the same name but for wrappers");
    }
    std::vector<std::string> all = prefixes_of(names), fitting;
    if (all.empty()) refuse_without_network(file);
    for (const std::string& prefix : all)
        if (prefix.starts_with(key)) fitting.push_back(prefix);
    check(!fitting.empty(), "checkpoint", "'", file.path(), "' has no network whose prefix begins with '",
          key, "', but ", list_names(all));
    check(fitting.size() == 1 || rank_of(fitting[0]) < 2 || rank_of(fitting[1]) != rank_of(fitting[0]),
          "checkpoint", "'", file.path(),
          "' holds several networks: say which with --key: ", list_names(fitting));
    TensorGroup group;
    group.prefix = fitting[0];
    const std::string parent = parent_of(group.prefix);
    for (const std::string& prefix : all)
        if (prefix != group.prefix) group.other_networks.push_back(prefix);
    for (const auto& [name, in_file] : names) {
        const auto claims = [&](const std::string& other) {
            return other.size() > group.prefix.size() && name.starts_with(other);
        };
        const bool other = name.starts_with("optimizer.") ||
                           std::any_of(group.other_networks.begin(), group.other_networks.end(), claims);
        if (!other && name.starts_with(group.prefix))
            group.members[name.substr(group.prefix.size())] = in_file;
        else if (!other && name.starts_with(parent))
            group.beside[name.substr(parent.size())] = in_file;
        else
            ++group.elsewhere;
    }
    for (const auto& [name, type] : file.objects())
        check(!name.starts_with(group.prefix), "checkpoint", "'", file.path(), "': '", name,
              "' is an object of class ", type, ": among the weights only tensors are allowed");
    return group;
}

}  // namespace demi
