#include "examples/train/ssl_recipe.h"

namespace demi::examples {
namespace {

void fill(double& value, double otherwise) {
    if (value < 0) value = otherwise;
}

void fill(int64_t& value, int64_t otherwise) {
    if (value == 0) value = otherwise;
}

}  // namespace

void apply_recipe(TrainOptions& o, const data::OpenedData& data) {
    const Recipe& r = data.kind == "drawn" ? kFigures : kPhotographs;
    const int64_t side = data.train->height();
    const auto part = [&](double share) {
        return std::max(static_cast<int64_t>(share * static_cast<double>(side) + 0.5), int64_t{1});
    };
    if (o.epochs == 0) fill(o.steps, r.steps);
    if (o.patch == 0 && r.patch > 0 && side % r.patch == 0 && o.model.empty()) o.patch = r.patch;
    fill(o.global_size, part(r.large));
    fill(o.local_size, part(r.small));
    fill(o.lr, r.lr);
    fill(o.teacher_temp, r.teacher_temp);
    fill(o.teacher_temp_start, o.teacher_temp);
    fill(o.teacher_momentum, r.teacher_momentum);
    fill(o.global_share, r.global_share);
    fill(o.local_share, r.local_share);
    fill(o.local_share_end, std::max(r.local_share_end, o.local_share));
    fill(o.color, r.color);
    fill(o.hue, r.hue);
    fill(o.gray, r.gray);
    fill(o.invert, r.invert);
}

}  // namespace demi::examples
