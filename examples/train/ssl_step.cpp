#include "examples/train/ssl_step.h"

#include "examples/train/ranks.h"
#include "runtime/copy.h"

namespace demi::examples {
SslBatch input_of(const SslStep& step, const data::Batch& batch, Generator& draws) {
    SslBatch input;
    input.global_crops = batch.global_crops.to(step.device);
    if (batch.local_crops.defined()) input.local_crops = batch.local_crops.to(step.device);
    if (step.grid == 0) return input;
    const Tensor masks = block_masks(input.global_crops.size(0), step.grid, step.grid, MaskOptions{}, draws);
    input.masks = masks.to(step.device);
    input.positions = masked_positions(masks).to(step.device);
    input.weights = mask_weights(masks).to(step.device);
    return input;
}

Tensors tensors_of(const SslBatch& input) {
    return {input.global_crops, input.local_crops, input.masks, input.positions, input.weights};
}

SslBatch batch_of(const Tensors& t) { return {t[0], t[1], t[2], t[3], t[4]}; }

void write(const SslLosses& losses, const Tensor& numbers) {
    const Tensor parts[] = {losses.total.value(), losses.dino_local, losses.dino_global,
                            losses.koleo,         losses.ibot,       losses.target_entropy};
    for (int64_t i = 0; i < SslResult::kNumbers; ++i)
        parts[i].defined() ? copy(numbers.select(0, i), parts[i]) : fill(numbers.select(0, i), 0);
}

SslResult result_of(std::span<const double> n) { return {n[0], n[1], n[2], n[3], n[4], n[5]}; }

Record record_of(const SslResult& result, int64_t step) {
    Record line;
    line.add("step", step).add("loss", result.loss).add("dino_local", result.dino_local);
    line.add("dino_global", result.dino_global).add("koleo", result.koleo).add("ibot", result.ibot);
    line.add("target_entropy", result.target_entropy);
    return line;
}

std::vector<double> pass_shards(const SslStep& step, const data::Batch& batch, const ForwardContext& context,
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
            const Tensor numbers = Tensor::zeros({SslResult::kNumbers}, DType::f64);
            write(losses, numbers);
            step.scaler->backward(losses.total);
            const std::vector<double> values = numbers.to_vector<double>();
            own.insert(own.end(), values.begin(), values.end());
        }
        parallel.end_shard();
    }
    const auto count = static_cast<int64_t>(shards.size());
    const std::vector<double> all =
        parallel.over_shards(Tensor::from(own, {count, SslResult::kNumbers})).to_vector<double>();
    std::vector<double> means(SslResult::kNumbers);
    for (size_t at = 0; at < all.size(); ++at)
        means[at % means.size()] += all[at];  // in the order of the shards
    for (double& mean : means) mean /= static_cast<double>(parallel.options().shards);
    return means;
}

}  // namespace demi::examples
