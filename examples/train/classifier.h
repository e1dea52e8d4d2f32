#pragma once
// A vision transformer with a linear classifier on [class token, mean of the patch tokens], or of timm on the class token.
#include "examples/train/options.h"
#include "models/vision_transformer.h"

namespace demi::examples {

struct Classifier {
    DinoVisionTransformer backbone;
    Linear head;

    Classifier() = default;
    Classifier(const ViTConfig& config, int64_t classes, Generator& generator);
    Variable forward(const Variable& images,
                     const ForwardContext& context) const;  // logits [B, classes], f32
    void visit(const std::string& prefix, const ParameterVisitor& fn);
};

// A patch for pictures of this side: one that cuts them into 4 x 4 to 16 x 16 patches where there is one, at
// most 32 x 32. 0 where none of up to 64 pixels does.
int64_t natural_patch(int64_t image_size);

// The options' model for pictures of this size; fills in what the options leave open.
ViTConfig model_config(TrainOptions& options, int64_t image_size, int64_t channels);
std::string describe(const ViTConfig& config);  // "ViT, patch 4, width 96, 6 blocks, 3 heads"

}  // namespace demi::examples
