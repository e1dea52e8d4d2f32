#include <array>
#include <cstdio>

#include "examples/common/environment.h"
#include "examples/common/format.h"
#include "examples/train/model_file.h"
#include "examples/train/supervised_run.h"
#include "models/checkpoint.h"
#include "models/ema.h"
#include "runtime/copy.h"

namespace demi::examples {

void Supervised::step(const data::Batch& batch) {
    context_.training = true;
    const int64_t at = step_++, seen = std::ssize(batch.indices);
    images_ += seen;
    const StepRates rates{
        .lr = rate_.at(at), .weight_decay = options_.weight_decay, .clip_grad = options_.clip_grad};
    const StepReport report = [this, at, seen](const StepOutcome& outcome, std::span<const double> numbers) {
        count(at, seen, outcome, numbers);
    };
    if (parallel_) {
        const ClassifierStep how{&model_, device_, options_.label_smoothing, &scaler_};
        const BatchResult now = pass_shards(how, batch, context_, *parallel_, at);
        take_shards(rates, report, std::array{now.loss, static_cast<double>(now.correct)});
    } else {
        take(inputs_of(batch), rates, report, logs(at));
    }

    ProgressState state;
    state.step = step_;
    state.total = total_;
    state.epoch = at / per_epoch_ + 1;
    state.epochs = epochs_;
    state.images = images_;
    state.lr = rates.lr;
    if (tested_) state.score = tested_->accuracy;
    state.score_name = held_.c_str();
    const auto read = [this](ProgressState& drawn) {
        settle();
        drawn.loss = last_loss_;
        drawn.has_loss = true;
        drawn.accuracy = static_cast<double>(correct_) / static_cast<double>(seen_);
    };
    settled() ? read(state) : void(state.read = read);
    progress_.update(state);
}

Variable Supervised::forward(const Tensors& inputs, Tensor numbers) {
    const BatchLoss found = loss_of({&model_, device_, options_.label_smoothing, &scaler_}, inputs, context_);
    copy(numbers.select(0, 0), found.loss.value());
    copy(numbers.select(0, 1), found.correct);
    return found.loss;
}

void Supervised::updated() {
    if (options_.ema > 0 && !scaler_.enabled()) ema_update(average_parameters_, parameters_, options_.ema);
}

void Supervised::count(int64_t at, int64_t seen, const StepOutcome& outcome,
                       std::span<const double> numbers) {
    if (at % per_epoch_ == 0) correct_ = seen_ = 0;
    last_loss_ = numbers[0];
    correct_ += static_cast<int64_t>(numbers[1]);
    seen_ += seen;
    check_taken(outcome.taken, scaler_, at + 1, last_loss_);
    if (outcome.taken && options_.ema > 0) {
        if (parallel_)
            parallel_->update_average(options_.ema);
        else if (scaler_.enabled())  // not in updated(): a skipped step moves nothing
            ema_update(average_parameters_, parameters_, options_.ema);
    }
    if (!logs(at) && outcome.taken) return;
    Record line;
    line.add("step", at + 1).add("epoch", at / per_epoch_ + 1).add("loss", last_loss_);
    line.add("lr", rate_.at(at)).add("grad_norm", outcome.norm);
    line.add("train_accuracy", static_cast<double>(correct_) / static_cast<double>(seen_));
    if (scaler_.enabled()) line.add("loss_scale", scaler_.scale()).add("skipped", !outcome.taken);
    metrics_->write(line);
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
