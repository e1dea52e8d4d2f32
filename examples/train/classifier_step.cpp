#include "examples/train/classifier_step.h"

#include "examples/train/ranks.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/elementwise/compare.h"
#include "ops/reduce/reduce.h"
#include "runtime/profile.h"

namespace demi::examples {

Tensors inputs_of(const data::Batch& batch) {
    return {batch.images, batch.targets.defined() ? Tensor() : batch.labels, batch.targets};
}

BatchLoss loss_of(const ClassifierStep& step, const Tensors& inputs, const ForwardContext& context) {
    const auto here = [&](const Tensor& t) { return t.defined() ? t.to(step.device) : t; };
    const Tensor targets = here(inputs[2]);
    const bool mixed = targets.defined();  // smoothed already
    Variable logits;
    {
        const ProfileScope scope("forward");
        logits = step.model->forward(here(inputs[0]), context);
    }
    CrossEntropyOptions options;
    if (!mixed) options.label_smoothing = step.label_smoothing;
    const Tensor labels = mixed ? argmax(targets) : here(inputs[1]);
    return {cross_entropy(logits, mixed ? targets : labels, options),
            sum(eq(argmax(logits.value()), labels)).value()};
}

BatchResult pass(const ClassifierStep& step, const data::Batch& batch, const ForwardContext& context) {
    const BatchLoss found = loss_of(step, inputs_of(batch), context);
    const BatchResult result{found.loss.item(), static_cast<int64_t>(found.correct.item()),
                             batch.labels.numel()};
    const ProfileScope scope("backward");
    step.scaler->backward(found.loss);
    return result;
}

BatchResult pass_shards(const ClassifierStep& step, const data::Batch& batch, const ForwardContext& context,
                        DataParallel& parallel, int64_t number) {
    std::vector<double> own;
    for (size_t i = 0; i < batch.parts.size(); ++i) {
        Generator draws = shard_generator(*context.generator, number, parallel.own_shards()[i]);
        ForwardContext shard = context;
        shard.generator = &draws;
        shard.units = &parallel;
        parallel.begin_shard();
        const BatchResult r = pass(step, batch.parts[i], shard);
        parallel.end_shard();
        own.insert(own.end(), {r.loss, static_cast<double>(r.correct), static_cast<double>(r.seen)});
    }
    const auto count = static_cast<int64_t>(batch.parts.size());
    const std::vector<double> all = parallel.over_shards(Tensor::from(own, {count, 3})).to_vector<double>();
    BatchResult result;
    for (size_t at = 0; at < all.size(); at += 3) {  // in the order of the shards
        result.loss += all[at];
        result.correct += static_cast<int64_t>(all[at + 1]);
        result.seen += static_cast<int64_t>(all[at + 2]);
    }
    result.loss /= static_cast<double>(parallel.options().shards);
    return result;
}

}  // namespace demi::examples
