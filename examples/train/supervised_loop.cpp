#include <cstdio>

#include "examples/common/environment.h"
#include "examples/common/format.h"
#include "examples/train/model_file.h"
#include "examples/train/supervised_run.h"
#include "models/checkpoint.h"
#include "models/ema.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/reduce/reduce.h"
#include "runtime/profile.h"

namespace demi::examples {

void Supervised::step(data::Batch& batch) {
    if (step_ % per_epoch_ == 0) correct_ = seen_ = 0;
    context_.training = true;
    Variable logits;
    {
        const ProfileScope scope("forward");
        logits = model_.forward(batch.images.to(device_), context_);
    }
    CrossEntropyOptions loss_options;
    const bool mixed = batch.targets.defined();  // smoothed already
    if (!mixed) loss_options.label_smoothing = options_.label_smoothing;
    const Tensor labels = (mixed ? argmax(batch.targets) : batch.labels).to(device_);
    const Variable loss = cross_entropy(logits, mixed ? batch.targets.to(device_) : labels, loss_options);
    const double loss_value = last_loss_ = loss.item();
    correct_ += count_equal(argmax(logits.value()), labels);
    seen_ += batch.labels.numel();
    images_ += batch.labels.numel();
    {
        const ProfileScope scope("backward");
        scaler_.backward(loss);
    }

    const double rate = rate_.at(step_);
    const StepRates rates{.lr = rate, .weight_decay = options_.weight_decay, .clip_grad = options_.clip_grad};
    const StepOutcome outcome = take_step(*optimizer_, scaler_, rates, step_ + 1, loss_value);
    const bool skipped = !outcome.taken;
    if (!skipped && options_.ema > 0) ema_update(average_parameters_, parameters_, options_.ema);
    ++step_;

    ProgressState state;
    state.step = step_;
    state.total = total_;
    state.epoch = (step_ - 1) / per_epoch_ + 1;
    state.epochs = epochs_;
    state.images = images_;
    state.loss = loss_value;
    state.has_loss = true;
    state.accuracy = static_cast<double>(correct_) / static_cast<double>(seen_);
    state.lr = rate;
    if (tested_) state.score = tested_->accuracy;
    state.score_name = held_.c_str();
    progress_.update(state);
    if (step_ % options_.log_every == 0 || step_ == 1 || step_ == total_ || skipped) {
        Record line;
        line.add("step", step_).add("epoch", state.epoch).add("loss", loss_value).add("lr", rate);
        line.add("grad_norm", outcome.norm).add("train_accuracy", state.accuracy);
        if (scaler_.enabled()) line.add("loss_scale", scaler_.scale()).add("skipped", skipped);
        metrics_->write(line);
    }
}

TestResult Supervised::tested_on(const data::DataSet& set, const Watch& watch) {
    const Classifier& model = options_.ema > 0 ? average_ : model_;
    return test(model, set, data_.stats, options_.batch, context_, device_, watch);
}

void Supervised::count_score(double accuracy, int64_t step) {
    ++vain_tests_;
    if (accuracy <= best_) return;
    best_ = accuracy;
    best_step_ = step;
    vain_tests_ = 0;
}

// The test at the end of an epoch.
void Supervised::test_now() {
    tested_ = tested_on(*data_.opened.test, watch_of(progress_, *stop_, "testing"));
    tested_at_ = step_;
    Record line;
    line.add("step", step_).add("epoch", epoch());
    line.add(held_ + "_loss", tested_->loss).add(held_ + "_accuracy", tested_->accuracy);
    count_score(tested_->accuracy, step_);
    if (options_.keep_best && best_step_ == step_)
        write_safetensors(folder_->file("best.safetensors"),
                          state_dict(options_.ema > 0 ? average_parameters_ : parameters_),
                          model_metadata(kProgram, model_.backbone.config(), data_.stats));
    metrics_->write(line);
    progress_.message(
        "epoch " + std::to_string(epoch()) + ": train accuracy " +
        percent(static_cast<double>(correct_) / static_cast<double>(std::max<int64_t>(seen_, 1))) + ", " +
        held_ + " accuracy " + percent(tested_->accuracy) + ", " + held_ + " loss " +
        significant(tested_->loss));
}

void Supervised::train(data::Loader& loader) {
    bool tested = false;
    for (const Record& r : read_metrics(folder_->file("metrics.jsonl"))) {
        if (r.find("loss")) last_loss_ = r.number("loss");
        if (!r.find(held_ + "_accuracy")) continue;
        count_score(r.number(held_ + "_accuracy"), static_cast<int64_t>(r.number("step")));
        tested = r.number("step") == static_cast<double>(step_);
    }
    if (step_ > 0 && epoch_over() && !tested) test_now();  // an earlier process was stopped in this test
    StepTrace trace(options_.profile);
    data::Batch batch;
    while (step_ < total_ && !stop_->requested() && !out_of_patience() &&
           next_batch(loader, batch, [this] { save(); })) {
        step(batch);
        trace.step_done(progress_, step_ == total_);
        const bool asked = stop_->save_requested();
        if (epoch_over() || asked || (options_.save_every > 0 && step_ % options_.save_every == 0)) save();
        if (asked) progress_.message("saved at step " + std::to_string(step_) + ", as asked by SIGUSR1");
        if (epoch_over()) test_now();
    }
}

int Supervised::run() {
    folder_ = open_run(kProgram, options_, device_);
    if (options_.resuming()) resume();
    print_header(options_, data_, model_.backbone.config(), parameter_count(parameters_), device_, step_);
    stop_.emplace();
    metrics_ = open_metrics(*folder_, options_, step_);
    {
        data::Loader batches = loader();
        try {
            train(batches);
        } catch (const Interrupted&) {
        }
    }
    if (stop_->requested()) {
        save();
        progress_.message(std::string("stopped by ") + stop_->name() + ", saved at step " +
                          std::to_string(step_) + "; last test (once more to leave it out)");
    }
    last_test();
    progress_.finish();
    report();
    return end_run(*folder_, options_, *stop_, failure(), {"", step_, total_, progress_.clock()},
                   tested_->accuracy);
}

}  // namespace demi::examples
