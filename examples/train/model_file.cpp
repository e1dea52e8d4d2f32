#include "examples/train/model_file.h"

#include <cmath>
#include <cstdio>

#include "models/checkpoint.h"
#include "models/state.h"
#include "runtime/copy.h"

namespace demi::examples {

static const char* const kChannels[] = {"0", "1", "2"};

Metadata model_metadata(const std::string& program, const ViTConfig& config,
                        const data::ChannelStats& stats) {
    Metadata m{{"program", program},
               {"num_heads", std::to_string(config.num_heads)},
               {"interpolate_offset", exact_text(config.interpolate_offset)},
               {"interpolate_antialias", config.interpolate_antialias ? "1" : "0"}};
    for (size_t c = 0; c < 3; ++c) {
        m[std::string("mean.") + kChannels[c]] = exact_text(static_cast<double>(stats.mean[c]));
        m[std::string("std.") + kChannels[c]] = exact_text(static_cast<double>(stats.std[c]));
    }
    return m;
}

void read_model_metadata(const Metadata& m, ViTConfig& config) {
    if (m.contains("num_heads")) config.num_heads = state_int(m, "num_heads");
    check(config.num_heads >= 1, "checkpoint", "num_heads must be positive: got ", config.num_heads);
    if (m.contains("interpolate_offset")) config.interpolate_offset = state_double(m, "interpolate_offset");
    if (m.contains("interpolate_antialias"))
        config.interpolate_antialias = state_int(m, "interpolate_antialias") != 0;
}

std::optional<data::ChannelStats> stats_of(const Metadata& m) {
    if (!m.contains("mean.0")) return {};
    data::ChannelStats stats;
    for (size_t c = 0; c < 3; ++c) {
        stats.mean[c] = static_cast<float>(state_double(m, std::string("mean.") + kChannels[c]));
        stats.std[c] = static_cast<float>(state_double(m, std::string("std.") + kChannels[c]));
        check(std::isfinite(stats.mean[c]), "checkpoint", "mean.", c, " must be finite: got ", stats.mean[c]);
        check(stats.std[c] > 0 && std::isfinite(stats.std[c]), "checkpoint", "std.", c,
              " must be positive: got ", stats.std[c]);
    }
    return stats;
}

static bool of_head(const std::string& name) { return name.find("head.") != std::string::npos; }

// Heads are made for one task: the file's may have other sizes than ours, and are then of no use.
static bool heads_fit(const NamedParameters& parameters, const SafetensorsFile& file) {
    for (const auto& [name, parameter] : parameters)
        for (const std::string& other : file.names())
            if (of_head(name) && (other == name || other == "teacher." + name || other == "module." + name) &&
                file.info(other).shape != parameter.shape())
                return false;
    return true;
}

void check_finite(const NamedParameters& parameters, const std::string& path) {
    for (const auto& [name, parameter] : parameters)
        check(all_finite(parameter.value()), "checkpoint", "'", path, "': ", name, " holds NaN or infinity");
}

void init_parameters(const NamedParameters& parameters, const std::string& path) {
    const SafetensorsFile file(path);
    NamedParameters wanted = parameters;
    const bool fit = heads_fit(parameters, file);
    if (!fit) std::erase_if(wanted, [](const auto& entry) { return of_head(entry.first); });
    const LoadReport report = load_state_dict(wanted, file, {.prefix = "", .strict = false});
    const size_t loaded = wanted.size() - report.missing.size();
    check(loaded > 0, "init-from", "'", path, "' has no tensor with a name of this model, such as '",
          parameters.front().first, "'");
    check_finite(wanted, path);
    std::printf("%s: %zu of %zu parameters loaded", path.c_str(), loaded, parameters.size());
    if (!report.missing.empty()) std::printf(", not there: %s", report.missing.front().c_str());
    if (report.missing.size() > 1) std::printf(" and %zu more", report.missing.size() - 1);
    if (!fit) std::printf(", its head has other sizes and was left out");
    std::printf("\n");
}

}  // namespace demi::examples
