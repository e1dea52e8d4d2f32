#include <cstdio>

#include "examples/common/environment.h"
#include "examples/common/format.h"
#include "examples/train/model_file.h"
#include "examples/train/supervised_run.h"
#include "models/checkpoint.h"
#include "models/ema.h"

namespace demi::examples {

void Supervised::step(const data::Batch& batch) {
    if (step_ % per_epoch_ == 0) correct_ = seen_ = 0;
    context_.training = true;
    const ClassifierStep how{&model_, device_, options_.label_smoothing, &scaler_};
    const BatchResult now =
        parallel_ ? pass_shards(how, batch, context_, *parallel_, step_) : pass(how, batch, context_);
    const double loss_value = last_loss_ = now.loss;
    correct_ += now.correct;
    seen_ += now.seen;
    images_ += now.seen;

    const double rate = rate_.at(step_);
    const StepRates rates{.lr = rate, .weight_decay = options_.weight_decay, .clip_grad = options_.clip_grad};
    const StepOutcome outcome =
        take_step(*optimizer_, scaler_, rates, step_ + 1, loss_value, parallel_.get());
    const bool skipped = !outcome.taken;
    if (!skipped && options_.ema > 0)
        parallel_ ? parallel_->update_average(options_.ema)
                  : ema_update(average_parameters_, parameters_, options_.ema);
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
    const auto whole = whole_model();
    // Not interrupted where other ranks would wait.
    return test(tested_model(), set, data_.stats, options_.batch, context_, device_,
                world_.size() > 1 ? Watch() : watch, world_);
}

void Supervised::count_score(double accuracy, int64_t step) {
    ++vain_tests_;
    if (accuracy <= best_) return;
    best_ = accuracy;
    best_step_ = step;
    vain_tests_ = 0;
}

// The test at the end of an epoch.
void Supervised::evaluate() {
    tested_ = tested_on(*data_.opened.test, watch_of(progress_, *stop_, "testing"));
    tested_at_ = step_;
    Record line;
    line.add("step", step_).add("epoch", epoch());
    line.add(held_ + "_loss", tested_->loss).add(held_ + "_accuracy", tested_->accuracy);
    count_score(tested_->accuracy, step_);
    const auto whole = options_.keep_best ? whole_model() : nullptr;
    if (options_.keep_best && best_step_ == step_ && world_.rank() == 0)
        write_safetensors(folder_->file("best.safetensors"), state_dict(parameters_of(tested_model())),
                          facts());
    metrics_->write(line);
    const std::string trained =
        "epoch " + std::to_string(epoch()) + ": train accuracy " +
        percent(static_cast<double>(correct_) / static_cast<double>(std::max<int64_t>(seen_, 1))) + ", ";
    progress_.message((step_ == 0 ? "before training: " : trained) + held_ + " accuracy " +
                      percent(tested_->accuracy) + ", " + held_ + " loss " + significant(tested_->loss));
}

void Supervised::train(data::Loader& loader) {
    bool tested = false;
    for (const Record& r : read_metrics(folder_->file("metrics.jsonl"))) {
        if (r.find("loss")) last_loss_ = r.number("loss");
        if (!r.find(held_ + "_accuracy")) continue;
        count_score(r.number(held_ + "_accuracy"), static_cast<int64_t>(r.number("step")));
        tested = r.number("step") == static_cast<double>(step_);
    }
    // What the weights are worth here; or an earlier process was stopped in this test.
    if (!tested && (step_ == 0 ? starts_trained_ : due())) evaluate();
    take_steps(loader);
}

int Supervised::run() {
    folder_ = open_run(kProgram, options_, device_);
    if (options_.resuming()) resume();
    print_header(options_, data_, model_.backbone.config(), parameters_in_all_, device_, step_,
                 parallel_.get());
    stop_.emplace(world_.size() == 1);
    metrics_ = open_metrics(*folder_, options_, step_);
    {
        data::Loader batches = loader();
        try {
            train(batches);
        } catch (const Interrupted&) {
        }
    }
    const int stopped = signal_.of(*stop_);
    if (stopped != 0) {
        save();
        progress_.message("stopped by " + signal_name(stopped) + ", saved at step " + std::to_string(step_) +
                          "; last test (once more to leave it out)");
    }
    last_test();
    progress_.finish();
    report();
    return end_run(*folder_, options_, stopped, failure(), {"", step_, total_, progress_.clock()},
                   tested_->accuracy);
}

}  // namespace demi::examples
