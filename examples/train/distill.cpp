#include "examples/train/distill.h"

#include <algorithm>
#include <cstdio>

#include "examples/data/hash.h"
#include "examples/train/model_file.h"
#include "models/pretrained/teacher.h"

namespace demi::examples {
namespace {

// From the student's normalisation to the teacher's own.
void set_colours(FrozenTeacher& teacher, const data::ChannelStats& own, const data::ChannelStats& student,
                 int64_t channels) {
    for (size_t c = 0; c < static_cast<size_t>(channels); ++c) {
        teacher.scale.push_back(student.std[c] / own.std[c]);
        teacher.shift.push_back((student.mean[c] - own.mean[c]) / own.std[c]);
    }
    const auto all = [](const std::vector<float>& v, float x) {
        return std::all_of(v.begin(), v.end(), [x](float y) { return x == y; });
    };
    if (all(teacher.scale, 1) && all(teacher.shift, 0)) teacher.scale.clear(), teacher.shift.clear();
}

}  // namespace

std::optional<FrozenTeacher> open_teacher(TrainOptions& options, const data::ChannelStats& stats,
                                          int64_t channels) {
    if (options.distill.empty()) return {};
    const Pretrained weights(options.distill, {options.distill_heads, "", true});
    std::printf("teacher, frozen: %s", weights.describe().c_str());
    FrozenTeacher teacher = load_teacher(weights, options.partial);
    const ViTConfig& config = teacher.backbone.config();
    check(config.in_chans == channels, "distill", "'", options.distill, "' takes pictures of ",
          config.in_chans, " channels, the data have ", channels);
    const auto own = stats_of(weights.config());
    set_colours(teacher, own ? *own : channels == 3 ? kImagenetColours : stats, stats, channels);
    if (!teacher.has_heads()) {
        std::printf("  it has no heads: its features of %lld are matched\n",
                    static_cast<long long>(config.embed_dim));
        return teacher;
    }
    options.prototypes = teacher.prototypes();
    options.ibot_head = teacher.ibot_head.weight_v.defined() && options.ibot_weight > 0;
    std::printf("  its heads have %lld prototypes%s\n", static_cast<long long>(options.prototypes),
                options.ibot_head ? ", and another serves masked patches" : "");
    return teacher;
}

uint64_t parameters_hash(const NamedParameters& parameters) {
    data::Hash hash;
    for (const auto& [name, parameter] : parameters) {
        const Tensor value = parameter.value().to(Device::cpu()).contiguous();
        const auto bytes = static_cast<size_t>(value.numel()) * size_of(value.dtype());
        hash.add(name).add(value.raw(), std::min<size_t>(bytes, 4096));
    }
    return hash.value();
}

}  // namespace demi::examples
