#include <algorithm>

#include "examples/common/environment.h"
#include "examples/common/files.h"
#include "examples/common/format.h"
#include "examples/train/model_file.h"
#include "examples/train/selfsupervised_run.h"

namespace demi::examples {

// Of a backbone that waits for new heads: 0, and then a warm-up of its own.
static double backbone_rate(double rate, int64_t step, double warmup) {
    return step < 0 ? 0 : rate * std::min(1.0, static_cast<double>(step + 1) / std::max(warmup, 1.0));
}

void SelfSupervised::step(const data::Batch& batch) {
    // Schedules follow the steps that were taken: a skipped one moves nothing.
    const int64_t at = taken_, number = step_++;
    temp_now_ = temp_.at(at);
    const double rate = rate_.at(at);
    const bool frozen = static_cast<double>(at) < options_.freeze_last_layer * static_cast<double>(total_);
    const double backbone =
        backbone_rate(rate, at - options_.warmup_heads, options_.warmup * static_cast<double>(total_));
    const StepRates rates{.lr = rate,
                          .weight_decay = decay_.at(at),
                          .last_layer_lr = frozen ? 0 : rate,
                          .clip_grad = options_.clip_grad,
                          .clip_groups = clip_groups_,
                          .backbone_lr = options_.warmup_heads > 0 ? backbone : -1};
    const StepReport report = [this, at, number](const StepOutcome& outcome,
                                                 std::span<const double> numbers) {
        count(at, number, outcome, numbers);
    };
    const SslStep how{
        &*model_, device_, &scaler_, temp_now_,
        options_.ibot_weight > 0 && config_.feature_dim == 0 ? crops_.global_size / options_.patch : 0};
    if (parallel_) {
        take_shards(rates, report, pass_shards(how, batch, context_, *parallel_, number));
    } else {
        take(tensors_of(input_of(how, batch, generator_)), rates, report, logs(number));
        if (!scaler_.enabled()) move_teacher(at);
    }
    images_ += static_cast<int64_t>(batch.indices.size());
    ProgressState state;
    state.step = step_;
    state.total = total_;
    state.epoch = number / per_epoch_ + 1;
    state.epochs = (total_ + per_epoch_ - 1) / per_epoch_;
    state.images = images_;
    state.lr = rate;
    if (scores_.quick().measured()) {
        state.score = scores_.quick().knn;
        state.score_name = "k-NN";
    }
    const auto read = [this](ProgressState& drawn) {
        settle();
        drawn.loss = last_loss_;
        drawn.has_loss = true;
    };
    settled() ? read(state) : void(state.read = read);
    progress_.update(state);
}

Variable SelfSupervised::forward(const Tensors& inputs, Tensor numbers) {
    const LiveNumber temp([this] { return temp_now_; });
    const SslLosses losses = model_->losses(batch_of(inputs), temp, context_);
    write(losses, numbers);
    return losses.total;
}

void SelfSupervised::move_teacher(int64_t at) {
    if (parallel_) {
        parallel_->update_average(momentum_.at(at));
        model_->commit_centers();
    } else {
        model_->commit(momentum_.at(at));
    }
    ++taken_;
}

void SelfSupervised::count(int64_t at, int64_t number, const StepOutcome& outcome,
                           std::span<const double> numbers) {
    last_loss_ = numbers[0];
    check_taken(outcome.taken, scaler_, number + 1, last_loss_);
    if (outcome.taken && (parallel_ || scaler_.enabled())) move_teacher(at);
    if (!logs(number) && outcome.taken) return;
    Record line = record_of(result_of(numbers), number + 1);
    line.add("lr", rate_.at(at)).add("weight_decay", decay_.at(at)).add("teacher_temp", temp_.at(at));
    line.add("teacher_momentum", momentum_.at(at)).add("grad_norm", outcome.norm);
    if (scaler_.enabled()) line.add("loss_scale", scaler_.scale()).add("skipped", !outcome.taken);
    metrics_->write(line);
}

void SelfSupervised::evaluate() {
    if (!scores_.possible()) return;
    const auto whole = whole_teacher();
    const SslScores& now = scores_.during(model_->teacher_backbone(), watch("measuring features"));
    metrics_->write(Record().add("step", step_).add("knn", now.knn));
    progress_.message("step " + std::to_string(step_) + ": " + ssl_summary(now));
}

void SelfSupervised::yardsticks() {
    const auto whole = whole_teacher();
    scores_.before(model_->teacher_backbone(), watch("measuring features before training"));
    const SslScores& start = scores_.quick();
    metrics_->write(Record().add("step", 0).add("knn", start.untrained).add("knn_pixels", start.pixels));
    progress_.message("before training: " + ssl_summary(start));
}

data::Loader SelfSupervised::loader() {
    return loader_of(
        data::multicrop_batches(data_.opened.train, data_.stats, crops_, generator_.fork(3).seed));
}

void SelfSupervised::train(data::Loader& loader) {
    const std::vector<Record> records = read_metrics(folder_->file("metrics.jsonl"));
    for (const Record& r : records)
        if (r.find("loss")) last_loss_ = r.number("loss");
    // Of an earlier process that was stopped in its evaluation.
    if (scores_.possible() && !has_line(records, step_, "knn")) {
        if (step_ == 0) yardsticks();
        if (step_ > 0 && due()) evaluate();
    }
    take_steps(loader);
}

void SelfSupervised::thorough_evaluation() {
    const auto untrained = [&](const SslEvaluation::WithModel& measure) {
        TrainOptions start = options_;
        start.resume.clear();
        if (!start.init_from.empty() && !exists(start.init_from)) return;
        Generator init = generator_.fork(1);
        SSLMetaArch fresh(config_, init);
        fresh.to_device(device_);
        const InitFrom weights(start);
        if (weights.any()) weights.load(fresh.teacher_parameters(), {}, options_.partial, false);
        measure(fresh.teacher_backbone());
    };
    const auto whole = whole_teacher();
    scores_.after(model_->teacher_backbone(), untrained, options_.linear_probe, watch("measuring features"));
}

int SelfSupervised::run() {
    folder_ = open_run(kProgram, options_, device_);
    if (options_.resuming()) resume();
    print_header(options_, data_, model_->config().backbone, parameters_in_all_, device_, step_,
                 parallel_.get());
    std::printf("%s\n", describe(crops_).c_str());
    if (!scores_.possible())
        std::printf("no labels of two classes to measure with: no accuracies, nothing is set apart\n");
    std::fflush(stdout);
    stop_.emplace(world_.size() == 1);
    metrics_ = open_metrics(*folder_, options_, step_);
    {
        data::Loader batches = loader();
        try {
            train(batches);
            if (!signal_.of(*stop_) && scores_.possible()) thorough_evaluation();
        } catch (const Interrupted&) {
        }
    }
    const int stopped = signal_.of(*stop_);
    if (stopped != 0) {
        save();
        progress_.message("stopped by " + signal_name(stopped) + ", saved at step " + std::to_string(step_));
    }
    progress_.finish();
    report();
    return end_run(*folder_, options_, stopped, failure(), {"", step_, total_, progress_.clock()},
                   scores_.full().knn);
}

}  // namespace demi::examples
