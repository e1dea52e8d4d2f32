#include "models/pretrained/adapt.h"

#include <cmath>

#include "autograd/grad_mode.h"
#include "models/positions.h"
#include "ops/interpolate_bicubic/interpolate_bicubic.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"

namespace demi {
namespace {

// The side of the grid of a position embedding; 0 for none.
int64_t grid_of(const Shape& shape) {
    if (shape.rank() != 3 || shape[0] != 1 || shape[1] < 2) return 0;
    const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(shape[1] - 1))));
    return side * side + 1 == shape[1] ? side : 0;
}

// Weights of patches for pictures of another size: those of a network that resizes a patch back to its own size first. That
// is the transposed map of the resizing, so its backward.
Tensor with_patch(const Tensor& weight, int64_t side) {
    const EnableGrad grad;
    const Shape& from = weight.shape();
    BicubicOptions options;
    options.antialias = true;
    const Variable patch(Tensor::zeros({from[0], from[1], side, side}), true);
    sum(interpolate_bicubic(patch, from[2], from[3], options) * Variable(weight)).backward();
    return patch.grad();
}

// Grey weights see the luminance of RGB pictures; RGB weights see grey pictures as three equal channels.
Tensor with_channels(const Tensor& weight, int64_t channels) {
    const Variable grey(weight.size(1) == 1 ? weight : sum(Variable(weight), {1}, true).value());
    if (channels == 1) return grey.value();
    return (grey * Variable(Tensor::from(std::vector<float>{0.299f, 0.587f, 0.114f}, {1, 3, 1, 1}))).value();
}

}  // namespace

std::string adaptation(const std::string& name, const Shape& from, const Shape& to) {
    const auto text = [](int64_t a, int64_t b) { return std::to_string(a) + " to " + std::to_string(b); };
    if (name == "pos_embed") {
        const int64_t old = grid_of(from), side = grid_of(to);
        const auto square = [](int64_t n) { return std::to_string(n) + " x " + std::to_string(n); };
        return old > 0 && side > 0 && from[2] == to[2] ? "grid " + square(old) + " to " + square(side) : "";
    }
    if (name != "patch_embed.proj.weight" || from.rank() != 4 || to.rank() != 4 || from[0] != to[0])
        return "";
    const bool channels = from[1] == to[1] || (from[1] == 1 && to[1] == 3) || (from[1] == 3 && to[1] == 1);
    const bool square = from[2] == from[3] && to[2] == to[3] && from[2] >= 1 && to[2] >= 1 && to[2] <= 1024;
    if (!channels || !square) return "";
    std::string out;
    if (from[2] != to[2]) out = "patch " + text(from[2], to[2]);
    if (from[1] != to[1]) out += (out.empty() ? "" : ", ") + ("channels " + text(from[1], to[1]));
    return out;
}

Tensor adapted(const std::string& name, const Tensor& from, const Shape& to, const WeightsConfig& config) {
    const NoGrad no_grad;
    const Tensor f32 = from.to(DType::f32);
    if (name == "pos_embed") {
        const int64_t side = grid_of(to);
        return resize_positions(Variable(f32), side, side, config.antialias, config.offset).value();
    }
    const Tensor own = f32.size(1) == to[1] ? f32 : with_channels(f32, to[1]);
    return own.size(2) == to[2] ? own : with_patch(own, to[2]);
}

}  // namespace demi
