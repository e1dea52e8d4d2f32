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
    const int64_t at = taken_;
    const double temp = temp_.at(at), rate = rate_.at(at);
    const bool frozen = static_cast<double>(at) < options_.freeze_last_layer * static_cast<double>(total_);
    const SslStep how{
        &*model_, device_, &scaler_, temp,
        options_.ibot_weight > 0 && config_.feature_dim == 0 ? crops_.global_size / options_.patch : 0};
    const SslResult losses =
        parallel_ ? pass_shards(how, batch, context_, *parallel_, step_) : pass(how, batch, context_);
    const double loss = last_loss_ = losses.loss;
    const double backbone =
        backbone_rate(rate, at - options_.warmup_heads, options_.warmup * static_cast<double>(total_));
    const StepRates rates{.lr = rate,
                          .weight_decay = decay_.at(at),
                          .last_layer_lr = frozen ? 0 : rate,
                          .clip_grad = options_.clip_grad,
                          .clip_groups = clip_groups_,
                          .backbone_lr = options_.warmup_heads > 0 ? backbone : -1};
    const StepOutcome outcome = take_step(*optimizer_, scaler_, rates, step_ + 1, loss, parallel_.get());
    if (outcome.taken) {
        if (parallel_) {
            parallel_->update_average(momentum_.at(at));
            model_->commit_centers();
        } else {
            model_->commit(momentum_.at(at));
        }
        ++taken_;
    }
    ++step_;
    images_ += static_cast<int64_t>(batch.indices.size());
    ProgressState state;
    state.step = step_;
    state.total = total_;
    state.epoch = (step_ - 1) / per_epoch_ + 1;
    state.epochs = (total_ + per_epoch_ - 1) / per_epoch_;
    state.images = images_;
    state.loss = loss;
    state.has_loss = true;
    state.lr = rate;
    if (scores_.quick().measured()) {
        state.score = scores_.quick().knn;
        state.score_name = "k-NN";
    }
    progress_.update(state);
    if (step_ % options_.log_every == 0 || step_ == 1 || step_ == total_ || !outcome.taken) {
        Record line = record_of(losses, step_);
        line.add("lr", rate).add("weight_decay", decay_.at(at)).add("teacher_temp", temp);
        line.add("teacher_momentum", momentum_.at(at)).add("grad_norm", outcome.norm);
        if (scaler_.enabled()) line.add("loss_scale", scaler_.scale()).add("skipped", !outcome.taken);
        metrics_->write(line);
    }
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
