#pragma once
// A training step of a classifier: on a whole batch, or on this rank's shards of one.
#include "examples/data/loader.h"
#include "examples/train/classifier.h"
#include "models/data_parallel.h"

namespace demi::examples {

struct ClassifierStep {
    const Classifier* model = nullptr;
    Device device;
    double label_smoothing = 0;
    GradScaler* scaler = nullptr;
};

struct BatchResult {
    double loss = 0;  // mean
    int64_t correct = 0, seen = 0;
};

// What a step reads of a batch: images, labels (undefined beside targets), targets.
Tensors inputs_of(const data::Batch& batch);
// Forward, with nothing read back: the mean loss, and how many of the pictures are right (i64).
struct BatchLoss {
    Variable loss;
    Tensor correct;
};
BatchLoss loss_of(const ClassifierStep& step, const Tensors& inputs, const ForwardContext& context);

// Forward and backward: the gradients are in the model's parameters.
BatchResult pass(const ClassifierStep& step, const data::Batch& batch, const ForwardContext& context);
// The same over all ranks, whose parts of the batch are batch.parts: the gradients are in `parallel`.
BatchResult pass_shards(const ClassifierStep& step, const data::Batch& batch, const ForwardContext& context,
                        DataParallel& parallel, int64_t number);

}  // namespace demi::examples
