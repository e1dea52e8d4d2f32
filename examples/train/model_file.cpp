#include "examples/train/model_file.h"

#include <cstdio>

#include "examples/common/text.h"
#include "models/pretrained/export.h"
#include "models/state.h"

namespace demi::examples {

static const char* const kChannels[] = {"0", "1", "2"};

Metadata model_metadata(const std::string& program, const ViTConfig& config,
                        const data::ChannelStats& stats) {
    Metadata m{{"program", program},
               {"num_heads", std::to_string(config.num_heads)},
               {"image_size", std::to_string(config.img_size)},
               {"norm_eps", exact_text(config.norm_eps)},
               {"interpolate_offset", exact_text(config.interpolate_offset)},
               {"interpolate_antialias", config.interpolate_antialias ? "1" : "0"}};
    if (config.rope) {
        m["rope_base"] = exact_text(config.rope->base);
        m["mask_k_bias"] = config.mask_k_bias ? "1" : "0";
        for (size_t j = 0; j < config.rope->periods.size(); ++j)
            m["rope_period." + std::to_string(j)] = exact_text(config.rope->periods[j]);
    }
    for (size_t c = 0; c < 3; ++c) {
        m[std::string("mean.") + kChannels[c]] = exact_text(static_cast<double>(stats.mean[c]));
        m[std::string("std.") + kChannels[c]] = exact_text(static_cast<double>(stats.std[c]));
    }
    return m;
}

void add_classes(Metadata& metadata, const std::vector<std::string>& classes) {
    for (size_t i = 0; i < classes.size(); ++i)
        metadata["class." + std::to_string(i)] = valid_utf8(classes[i]);
}

std::optional<data::ChannelStats> stats_of(const WeightsConfig& config) {
    if (!config.mean || !config.std) return {};
    data::ChannelStats stats;
    for (size_t c = 0; c < 3; ++c) {
        stats.mean[c] = static_cast<float>((*config.mean)[c]);
        stats.std[c] = static_cast<float>((*config.std)[c]);
    }
    return stats;
}

void print_report(const NamedParameters& parameters, const PretrainedReport& report) {
    std::printf("  %zu of %zu parameters loaded", report.loaded, parameters.size());
    const auto list = [](const char* what, const std::vector<std::string>& names) {
        if (!names.empty()) std::printf("; %s: %s", what, list_names(names).c_str());
    };
    list("brought into shape", report.adapted);
    list("stay as initialised, as they may", report.kept);
    list("stay as initialised", report.missing);
    list("left out of the file", report.left_over);
    std::printf("\n");
}

DinoVisionTransformer load_backbone(const Pretrained& weights, bool partial) {
    std::printf("%s", weights.describe().c_str());
    Generator generator;
    std::optional<SkipInit> skip;
    if (!partial) skip.emplace();  // else some parameters may stay as they are made here
    DinoVisionTransformer model(vit_config(weights.config()), generator);
    const NamedParameters parameters = parameters_of(model);
    print_report(parameters, load_pretrained(parameters, weights, partial));
    return model;
}

void convert(const ConvertOptions& options) {
    check(options.out.ends_with(".safetensors"), "convert", "the result must end in .safetensors: got '",
          options.out, "'");
    const Pretrained weights(options.in, {options.heads, options.key, !options.ignore_crc});
    std::printf("%s", weights.describe().c_str());
    const std::vector<std::string>& unknown = weights.names().unknown;
    check(options.partial || unknown.empty(), "convert", "'", options.in,
          "' has what a vision transformer has no place "
          "for: ",
          list_names(unknown), "; --partial leaves it out");
    std::vector<std::string> dropped;
    const WeightNaming naming = options.to == "hf"     ? WeightNaming::hugging_face
                                : options.to == "timm" ? WeightNaming::timm
                                                       : WeightNaming::meta;
    const NamedTensors tensors = export_names(load_network(weights), weights.config(), naming, dropped);
    write_safetensors(options.out, tensors, weights_metadata(weights.config()));
    std::printf("%s: %zu tensors", options.out.c_str(), tensors.size());
    if (!dropped.empty()) std::printf("; these names have no place for %s", list_names(dropped).c_str());
    std::printf("\n");
}

}  // namespace demi::examples
