#pragma once
// Internal: weights for pictures of another size, another patch, another number of channels.
#include "models/pretrained/config.h"

namespace demi {

// What of the tensor `name` differs between a file and a model, as text for the user: "grid 8 x 8 to 12 x 12"; "" where
// there is no way from one to the other. Known are pos_embed and patch_embed.proj.weight.
std::string adaptation(const std::string& name, const Shape& from, const Shape& to);

// The tensor in the shape `to`, f32:
//   pos_embed               to another grid, as the weights' own library does it
//   patch_embed.proj.weight to another patch: what it makes of a picture as much larger or smaller changes little; from
//                           grey pictures to RGB by the weights of luminance, from RGB to grey by the sum
Tensor adapted(const std::string& name, const Tensor& from, const Shape& to, const WeightsConfig& config);

}  // namespace demi
