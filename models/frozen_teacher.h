#pragma once
// A teacher that does not learn and may be of another architecture: what SSLMetaArch distils a student from.
#include "models/dino_head.h"
#include "models/vision_transformer.h"

namespace demi {

struct FrozenTeacher {
    DinoVisionTransformer backbone;
    // Made by their default constructor where there are none: then features are matched. Without an ibot_head the
    // dino_head serves both.
    DINOHead dino_head, ibot_head;
    // Pictures as the teacher was trained on them: x scale + shift, one number for each channel; empty: as they come.
    std::vector<float> scale, shift;

    bool has_heads() const { return dino_head.weight_v.defined(); }
    const DINOHead& patch_head() const { return ibot_head.weight_v.defined() ? ibot_head : dino_head; }
    int64_t prototypes() const { return has_heads() ? dino_head.weight_v.size(0) : 0; }
    // What the teacher sees of crops [B, C, H, W]: its colours, and resized bicubically so that both see the same grid of
    // patches, whatever the size of theirs.
    Tensor images(const Tensor& crops, int64_t student_patch) const;
    void visit(const std::string& prefix, const ParameterVisitor& fn);
};

}  // namespace demi
