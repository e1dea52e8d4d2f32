#include "examples/train/ssl_recipe.h"

namespace demi::examples {
namespace {

struct Recipe {
    int64_t steps, patch;  // patch 0: by the picture's size
    double large, small;   // sides of the crops, in sides of the picture
    double lr, teacher_temp, teacher_momentum;
    double global_share, local_share, local_share_end;
    double color, hue, gray, invert;
};

constexpr Recipe kFigures = {4000, 8, 1, 0.5, 1.5e-3, 0.02, 0.9, 0.6, 0.3, 0.7, 2, 0.2, 0.5, 0.5};
constexpr Recipe kPhotographs = {4000, 0, 0.75, 0.375, 1.5e-3, 0.03, 0.95, 0.4, 0.2, 0.5, 1, 0.1, 0.2, 0};

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
