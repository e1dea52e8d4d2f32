#pragma once
// A step of self-supervised training: on a whole batch, or on this rank's shards of one.
#include "examples/common/record.h"
#include "examples/data/loader.h"
#include "models/data_parallel.h"
#include "models/mask_generator.h"
#include "models/ssl_meta_arch.h"

namespace demi::examples {

struct SslStep {
    SSLMetaArch* model = nullptr;
    Device device;
    GradScaler* scaler = nullptr;
    double temp = 1;   // of the teacher
    int64_t grid = 0;  // patches along a side of a global crop, to be masked; 0: no masks
};

struct SslResult {
    static constexpr int64_t kNumbers = 6;
    double loss = 0, dino_local = 0, dino_global = 0, koleo = 0, ibot = 0, target_entropy = 0;
};

Record record_of(const SslResult& result, int64_t step);  // of metrics.jsonl

// What a step reads: crops, and masks of `grid` that are drawn here.
SslBatch input_of(const SslStep& step, const data::Batch& batch, Generator& draws);
// The same in the order in which a graph takes it, and back.
Tensors tensors_of(const SslBatch& input);
SslBatch batch_of(const Tensors& tensors);
// The result as f64 [kNumbers], with nothing read back; and what was read.
void write(const SslLosses& losses, const Tensor& numbers);
SslResult result_of(std::span<const double> numbers);

// Forward and backward over all ranks, whose parts of the batch are batch.parts: the gradients are in `parallel`.
std::vector<double> pass_shards(const SslStep& step, const data::Batch& batch, const ForwardContext& context,
                                DataParallel& parallel, int64_t number);

}  // namespace demi::examples
