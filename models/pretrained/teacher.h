#pragma once
// A frozen teacher from any readable file of weights.
#include "models/frozen_teacher.h"
#include "models/pretrained/pretrained.h"

namespace demi {

// Network and, where the file has them, the heads "dino_head" and "ibot_head" of its training: Meta's, of either
// kind of weight norm (weight_g and weight_v, or parametrizations) or without (DINOv3's), or our own teacher.safetensors.
// Heads of any depth; heads of another shape than that of such an MLP are refused.
FrozenTeacher load_teacher(const Pretrained& weights, bool partial = false);

}  // namespace demi
