#include "models/checkpoint.h"

#include <algorithm>
#include <set>

#include "models/pretrained/names.h"
#include "runtime/copy.h"

namespace demi {

NamedTensors state_dict(const NamedParameters& parameters, const std::string& prefix) {
    NamedTensors all;
    for (const auto& [name, parameter] : parameters) all.emplace_back(prefix + name, parameter.value());
    return all;
}

static bool is_number(std::string_view text) {
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "module.backbone.blocks.1.7.attn.qkv.weight" -> "blocks.7.attn.qkv.weight"
static std::string plain_name(std::string name) {
    for (const char* lead : {"teacher.", "module.", "backbone."})
        if (name.starts_with(lead)) name.erase(0, std::string_view(lead).size());
    const size_t at = name.find("blocks.");
    if (at == std::string::npos || (at > 0 && name[at - 1] != '.')) return name;
    const size_t chunk = at + 7, dot = name.find('.', chunk);
    if (dot == std::string::npos) return name;
    const size_t next = name.find('.', dot + 1);
    if (next == std::string::npos) return name;
    const std::string_view view = name;
    if (is_number(view.substr(chunk, dot - chunk)) && is_number(view.substr(dot + 1, next - dot - 1)))
        name.erase(chunk, dot + 1 - chunk);
    return name;
}

LoadReport load_state_dict(const NamedParameters& parameters, const SafetensorsFile& file,
                           const LoadOptions& options) {
    std::map<std::string, std::string> in_file;  // plain name -> name in the file
    for (const std::string& name : file.names())
        if (name.starts_with(options.prefix)) in_file[plain_name(name.substr(options.prefix.size()))] = name;

    LoadReport report;
    std::vector<std::pair<Tensor, Tensor>> copies;
    std::set<std::string> used;
    for (const auto& [name, parameter] : parameters) {
        const auto found = in_file.find(plain_name(name));
        if (found == in_file.end()) {
            report.missing.push_back(name);
            continue;
        }
        used.insert(found->first);
        const Shape& shape = file.info(found->second).shape;
        check(shape == parameter.shape(), "load_state_dict", "'", file.path(), "': ", found->second,
              " has shape ", shape, " but the model's ", name, " has ", parameter.shape(),
              " (another model?)");
        copies.emplace_back(parameter.value(), file.load(found->second));
    }
    for (const auto& [plain, name] : in_file)
        if (used.count(plain) == 0) report.unexpected.push_back(name);
    check(!options.strict || report.missing.empty(), "load_state_dict", "'", file.path(), "' lacks ",
          list_names(report.missing), " (another model?)");
    check(!options.strict || report.unexpected.empty(), "load_state_dict", "'", file.path(),
          "' has tensors that the model lacks: ", list_names(report.unexpected), " (another model?)");
    for (const auto& [to, from] : copies) copy(to, from);
    return report;
}

}  // namespace demi
