#include "examples/train/ssl_step.h"

#include "examples/train/ranks.h"

namespace demi::examples {
namespace {

SslBatch input_of(const SslStep& step, const data::Batch& batch, Generator& draws) {
    SslBatch input;
    input.global_crops = batch.global_crops.to(step.device);
    if (batch.local_crops.defined()) input.local_crops = batch.local_crops.to(step.device);
    if (step.grid > 0)
        input.masks = block_masks(input.global_crops.size(0), step.grid, step.grid, MaskOptions{}, draws)
                          .to(step.device);
    return input;
}

SslResult result_of(const SslLosses& losses) {
    return {losses.total.item(), losses.dino_local, losses.dino_global,
            losses.koleo,        losses.ibot,       losses.target_entropy};
}

}  // namespace

Record record_of(const SslResult& result, int64_t step) {
    Record line;
    line.add("step", step).add("loss", result.loss).add("dino_local", result.dino_local);
    line.add("dino_global", result.dino_global).add("koleo", result.koleo).add("ibot", result.ibot);
    line.add("target_entropy", result.target_entropy);
    return line;
}

SslResult pass(const SslStep& step, const data::Batch& batch, const ForwardContext& context) {
    const SslLosses losses =
        step.model->losses(input_of(step, batch, *context.generator), step.temp, context);
    const SslResult result = result_of(losses);
    step.scaler->backward(losses.total);
    return result;
}

SslResult pass_shards(const SslStep& step, const data::Batch& batch, const ForwardContext& context,
                      DataParallel& parallel, int64_t number) {
    const std::vector<int64_t>& shards = parallel.own_shards();
    std::vector<Generator> draws;
    std::vector<SslBatch> inputs;
    std::vector<SslLogits> logits;
    ForwardContext shard = context;
    shard.units = &parallel;
    // The targets look at the whole batch: the teacher goes first.
    for (size_t i = 0; i < shards.size(); ++i) {
        draws.push_back(shard_generator(*context.generator, number, shards[i]));
        inputs.push_back(input_of(step, batch.parts[i], draws[i]));
        parallel.begin_average();
        logits.push_back(step.model->teacher_logits(inputs[i], shard));
        parallel.end_average();
    }
    const std::vector<SslTargets> targets =
        step.model->targets(logits, step.temp, [&](const Tensor& own) { return parallel.over_shards(own); });
    logits.clear();
    std::vector<double> own;
    for (size_t i = 0; i < shards.size(); ++i) {
        shard.generator = &draws[i];
        parallel.begin_shard();
        {
            const SslLosses losses = step.model->student_losses(inputs[i], targets[i], shard);
            const SslResult r = result_of(losses);
            step.scaler->backward(losses.total);
            own.insert(own.end(), {r.loss, r.dino_local, r.dino_global, r.koleo, r.ibot, r.target_entropy});
        }
        parallel.end_shard();
    }
    const auto count = static_cast<int64_t>(shards.size());
    const std::vector<double> all = parallel.over_shards(Tensor::from(own, {count, 6})).to_vector<double>();
    SslResult sum;
    const auto total = static_cast<double>(parallel.options().shards);
    double* const means[] = {&sum.loss,  &sum.dino_local, &sum.dino_global,
                             &sum.koleo, &sum.ibot,       &sum.target_entropy};
    for (size_t at = 0; at < all.size(); at += 6)  // in the order of the shards
        for (size_t k = 0; k < 6; ++k) *means[k] += all[at + k];
    for (double* mean : means) *mean /= total;
    return sum;
}

}  // namespace demi::examples
