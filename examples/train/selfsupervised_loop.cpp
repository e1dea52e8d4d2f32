#include "examples/common/environment.h"
#include "examples/common/format.h"
#include "examples/train/model_file.h"
#include "examples/train/selfsupervised_run.h"
#include "models/mask_generator.h"

namespace demi::examples {

void SelfSupervised::step(const data::Batch& batch) {
    // Schedules follow the steps that were taken: a skipped one moves nothing.
    const int64_t at = taken_;
    SslBatch input;
    input.global_crops = batch.global_crops.to(device_);
    if (batch.local_crops.defined()) input.local_crops = batch.local_crops.to(device_);
    const int64_t grid = crops_.global_size / options_.patch;
    if (options_.ibot_weight > 0)
        input.masks =
            block_masks(input.global_crops.size(0), grid, grid, MaskOptions{}, generator_).to(device_);
    const double temp = temp_.at(at), rate = rate_.at(at);
    const bool frozen = static_cast<double>(at) < options_.freeze_last_layer * static_cast<double>(total_);
    const SslLosses losses = model_->losses(input, temp, context_);
    const double loss = losses.total.item();
    last_loss_ = loss;
    scaler_.backward(losses.total);
    size_t backbone = 0;
    for (const auto& [name, parameter] : student_) backbone += name.starts_with("backbone.");
    const StepRates rates{.lr = rate,
                          .weight_decay = decay_.at(at),
                          .last_layer_lr = frozen ? 0 : rate,
                          .clip_grad = options_.clip_grad,
                          .clip_groups = {backbone, student_.size() - backbone}};
    const StepOutcome outcome = take_step(*optimizer_, scaler_, rates, step_ + 1, loss);
    if (outcome.taken) {
        model_->commit(momentum_.at(at));
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
        Record line;
        line.add("step", step_)
            .add("loss", loss)
            .add("dino_local", losses.dino_local)
            .add("dino_global", losses.dino_global);
        line.add("koleo", losses.koleo)
            .add("ibot", losses.ibot)
            .add("target_entropy", losses.target_entropy)
            .add("lr", rate)
            .add("weight_decay", decay_.at(at));
        line.add("teacher_temp", temp)
            .add("teacher_momentum", momentum_.at(at))
            .add("grad_norm", outcome.norm);
        if (scaler_.enabled()) line.add("loss_scale", scaler_.scale()).add("skipped", !outcome.taken);
        metrics_->write(line);
    }
}

void SelfSupervised::evaluate() {
    if (!scores_.possible()) return;
    const SslScores& now =
        scores_.during(model_->teacher_backbone(), watch_of(progress_, *stop_, "measuring features"));
    metrics_->write(Record().add("step", step_).add("knn", now.knn));
    progress_.message("step " + std::to_string(step_) + ": " + ssl_summary(now));
}

void SelfSupervised::yardsticks() {
    scores_.before(model_->teacher_backbone(),
                   watch_of(progress_, *stop_, "measuring features before training"));
    const SslScores& start = scores_.quick();
    metrics_->write(Record().add("step", 0).add("knn", start.untrained).add("knn_pixels", start.pixels));
    progress_.message("before training: " + ssl_summary(start));
}

data::Loader SelfSupervised::loader() {
    data::LoaderOptions order;
    order.batch = options_.batch;
    order.threads = static_cast<int>(options_.workers);
    order.seed = generator_.fork(2).seed;
    order.start = {step_ / per_epoch_, step_ % per_epoch_};
    return {data_.opened.train->size(),
            data::multicrop_batches(data_.opened.train, data_.stats, crops_, generator_.fork(3).seed), order};
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
    StepTrace trace(options_.profile);
    data::Batch batch;
    while (step_ < total_ && !stop_->requested() && next_batch(loader, batch, [this] { save(); })) {
        step(batch);
        trace.step_done(progress_, step_ == total_);
        const bool asked = stop_->save_requested();
        if (due() || asked || (options_.save_every > 0 && step_ % options_.save_every == 0)) save();
        if (asked) progress_.message("saved at step " + std::to_string(step_) + ", as asked by SIGUSR1");
        if (due()) evaluate();
    }
}

void SelfSupervised::thorough_evaluation() {
    const auto untrained = [&](const SslEvaluation::WithModel& measure) {
        Generator init = generator_.fork(1);
        SSLMetaArch fresh(config_, init);
        fresh.to_device(device_);
        if (!options_.init_from.empty())
            init_parameters(fresh.teacher_parameters(), config_.backbone, options_.init_from,
                            options_.partial);
        measure(fresh.teacher_backbone());
    };
    scores_.after(model_->teacher_backbone(), untrained, options_.linear_probe,
                  watch_of(progress_, *stop_, "measuring features"));
}

int SelfSupervised::run() {
    folder_ = open_run(kProgram, options_, device_);
    if (options_.resuming()) resume();
    print_header(options_, data_, model_->config().backbone, parameter_count(student_), device_, step_);
    std::printf("%s\n", describe(crops_).c_str());
    if (!scores_.possible())
        std::printf("no labels of two classes to measure with: no accuracies, nothing is set apart\n");
    std::fflush(stdout);
    stop_.emplace();
    metrics_ = open_metrics(*folder_, options_, step_);
    {
        data::Loader batches = loader();
        try {
            train(batches);
            if (!stop_->requested() && scores_.possible()) thorough_evaluation();
        } catch (const Interrupted&) {
        }
    }
    if (stop_->requested()) {
        save();
        progress_.message(std::string("stopped by ") + stop_->name() + ", saved at step " +
                          std::to_string(step_));
    }
    progress_.finish();
    report();
    return end_run(*folder_, options_, *stop_, failure(), {"", step_, total_, progress_.clock()},
                   scores_.full().knn);
}

}  // namespace demi::examples
