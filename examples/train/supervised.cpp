#include "examples/train/supervised.h"

#include <cmath>
#include <cstdio>
#include <optional>

#include "examples/common/environment.h"
#include "examples/common/format.h"
#include "examples/train/common.h"
#include "examples/train/model_file.h"
#include "examples/train/snapshot.h"
#include "examples/train/testing.h"
#include "models/checkpoint.h"
#include "models/ema.h"
#include "models/schedule.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/reduce/reduce.h"
#include "runtime/allocator.h"
#include "runtime/parallel.h"
#include "runtime/profile.h"

namespace demi::examples {
namespace {

constexpr const char* kProgram = "train_vit";

class Supervised {
  public:
    explicit Supervised(TrainOptions options) : options_(std::move(options)) {
        device_ = open_device(options_);
        data_ = open_data(options_, false);
        make_model();
        plan();
    }
    int run();

  private:
    void make_model();
    void plan();
    void resume();
    void save();
    bool step(data::Batch& batch, Progress& progress, MetricsWriter& metrics);
    void test_now(Progress& progress, MetricsWriter* metrics);
    void report(const StopSignals& stop, const Progress& progress);
    SnapshotParts parts();
    SnapshotHead head() const;

    TrainOptions options_;
    TrainData data_;
    Device device_;
    Generator generator_;
    Classifier model_, average_;
    NamedParameters parameters_, average_parameters_;
    ForwardContext context_;
    std::optional<Optimizer> optimizer_;
    GradScaler scaler_{GradScalerOptions{.enabled = false}};
    CosineSchedule rate_;
    int64_t step_ = 0, total_ = 0, per_epoch_ = 0, epochs_ = 0;
    int64_t correct_ = 0, seen_ = 0, images_ = 0;
    std::optional<TestResult> tested_;
    int64_t tested_at_ = -1;
    std::unique_ptr<RunFolder> folder_;
};

void Supervised::make_model() {
    generator_ = Generator{static_cast<uint64_t>(options_.seed), 0};
    const ViTConfig config =
        model_config(options_, data_.opened.train->height(), data_.opened.train->channels());
    const auto classes = static_cast<int64_t>(data_.opened.train->classes().size());
    Generator init = generator_.fork(1);
    model_ = Classifier(config, classes, init);
    if (!options_.init_from.empty())
        init_parameters(parameters_of(model_), config, options_.init_from, options_.partial);
    to_device(model_, device_);
    parameters_ = parameters_of(model_);
    if (options_.ema > 0) {
        average_ = Classifier(config, classes, init);
        to_device(average_, device_);
        average_parameters_ = parameters_of(average_);
        copy_parameters(average_parameters_, parameters_);
    }
    context_ = forward_context(options_, generator_);
    scaler_ = GradScaler(GradScalerOptions{.enabled = context_.precision == Precision::f16});
}

void Supervised::plan() {
    options_.batch = std::min(options_.batch, data_.train_count);
    per_epoch_ = data_.train_count / options_.batch;
    const bool drawn = data_.opened.kind == "drawn";
    if (options_.augment == 0) options_.augment = drawn ? -1 : 1;
    if (options_.epochs == 0 && options_.steps == 0) options_.epochs = drawn ? 3 : 20;
    total_ = options_.steps > 0 ? options_.steps : options_.epochs * per_epoch_;
    epochs_ = ceil_div(total_, per_epoch_);
    rate_ = {options_.lr, std::min(options_.min_lr, options_.lr),
             total_,      static_cast<int64_t>(options_.warmup * static_cast<double>(total_)),
             0,           0};
    optimizer_.emplace(
        parameters_,
        parameter_options(parameters_, {options_.layer_decay, 1, model_.backbone.config().depth}),
        optimizer_options(options_));
}

SnapshotParts Supervised::parts() {
    SnapshotParts p;
    p.parameters = parameters_;
    if (options_.ema > 0) p.extra.emplace_back("ema.", average_parameters_);
    p.optimizer = &*optimizer_;
    p.scaler = &scaler_;
    p.generator = &generator_;
    return p;
}

SnapshotHead Supervised::head() const {
    SnapshotHead h;
    h.program = kProgram;
    h.step = step_;
    h.fingerprint = static_cast<int64_t>(data_.opened.train->fingerprint() >> 1);
    h.more = model_metadata(kProgram, model_.backbone.config(), data_.stats);
    h.more["correct"] = std::to_string(correct_);
    h.more["seen"] = std::to_string(seen_);
    return h;
}

void Supervised::save() { save_snapshot(folder_->file("checkpoint.safetensors"), head(), parts()); }

void Supervised::resume() {
    const SnapshotHead saved = load_snapshot(folder_->file("checkpoint.safetensors"), head(), parts());
    step_ = saved.step;
    correct_ = std::stoll(saved.more.at("correct"));
    seen_ = std::stoll(saved.more.at("seen"));
}

// One step; false when it was skipped because a gradient overflowed.
bool Supervised::step(data::Batch& batch, Progress& progress, MetricsWriter& metrics) {
    if (step_ % per_epoch_ == 0) correct_ = seen_ = 0;
    context_.training = true;
    Variable logits;
    {
        const ProfileScope scope("forward");
        logits = model_.forward(batch.images.to(device_), context_);
    }
    CrossEntropyOptions loss_options;
    loss_options.label_smoothing = options_.label_smoothing;
    const Variable loss = cross_entropy(logits, batch.labels.to(device_), loss_options);
    const double loss_value = loss.item();
    correct_ += count_equal(argmax(logits.value()), batch.labels.to(device_));
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
    progress.update(state);
    if (step_ % options_.log_every == 0 || step_ == 1 || step_ == total_ || skipped) {
        Record line;
        line.add("step", step_).add("epoch", state.epoch).add("loss", loss_value).add("lr", rate);
        line.add("grad_norm", outcome.norm).add("train_accuracy", state.accuracy);
        if (scaler_.enabled()) line.add("loss_scale", scaler_.scale()).add("skipped", skipped);
        metrics.write(line);
    }
    return !skipped;
}

// Without `metrics` for a test that an unbroken run would not make: its file must come out the same.
void Supervised::test_now(Progress& progress, MetricsWriter* metrics) {
    progress.pause("testing");
    const Classifier& model = options_.ema > 0 ? average_ : model_;
    tested_ =
        test(model, *data_.opened.test, data_.stats, data_.test_count, options_.batch, context_, device_);
    tested_at_ = step_;
    Record line;
    line.add("step", step_).add("epoch", (step_ + per_epoch_ - 1) / per_epoch_);
    line.add("test_loss", tested_->loss).add("test_accuracy", tested_->accuracy);
    if (metrics) metrics->write(line);
    progress.message(
        "epoch " + std::to_string((step_ + per_epoch_ - 1) / per_epoch_) + ": train accuracy " +
        percent(static_cast<double>(correct_) / static_cast<double>(std::max<int64_t>(seen_, 1))) +
        ", test accuracy " + percent(tested_->accuracy) + ", test loss " + significant(tested_->loss));
}

int Supervised::run() {
    folder_ = open_run(kProgram, options_, device_);
    if (options_.resume) resume();
    print_header(options_, data_, model_.backbone.config(), parameter_count(parameters_), device_, step_);
    std::fflush(stdout);

    const StopSignals stop;
    MetricsWriter metrics = open_metrics(*folder_, options_, step_);
    Progress progress;
    data::LoaderOptions order;
    order.batch = options_.batch;
    order.threads = static_cast<int>(options_.workers);
    order.seed = generator_.fork(2).seed;
    order.start = {step_ / per_epoch_, step_ % per_epoch_};
    const data::AugmentOptions augment =
        options_.augment > 0 ? data::AugmentOptions::standard(data_.opened.train->height(), data_.opened.flip)
                             : data::AugmentOptions::none();
    data::Loader loader(
        data_.train_count,
        data::supervised_batches(data_.opened.train, data_.stats, augment, generator_.fork(3).seed), order);
    StepTrace trace(options_.profile);
    data::Batch batch;
    while (step_ < total_ && !stop.requested() && loader.next(batch)) {
        step(batch, progress, metrics);
        trace.step_done(progress, step_ == total_);
        const bool epoch_over = step_ % per_epoch_ == 0 || step_ == total_;
        if (epoch_over) test_now(progress, &metrics);
        if (epoch_over || (options_.save_every > 0 && step_ % options_.save_every == 0)) {
            progress.pause("saving");
            metrics.sync();
            save();
        }
    }
    if (stop.requested()) {
        progress.message(std::string("stopped by ") + stop.name() + ", saving at step " +
                         std::to_string(step_));
        metrics.sync();
        save();
    }
    if (!tested_ || tested_at_ != step_) test_now(progress, nullptr);
    progress.finish();
    report(stop, progress);
    return stop.requested() ? 0 : expectation_status(options_, tested_->accuracy);
}

void Supervised::report(const StopSignals& stop, const Progress& progress) {
    const Classifier& model = options_.ema > 0 ? average_ : model_;
    write_safetensors(folder_->file("model.safetensors"),
                      state_dict(options_.ema > 0 ? average_parameters_ : parameters_),
                      model_metadata(kProgram, model.backbone.config(), data_.stats));
    const std::vector<Record> records = read_metrics(folder_->file("metrics.jsonl"));
    Report r;
    r.title =
        "Vision transformer on " + (options_.data.empty() ? std::string("drawn figures") : options_.data);
    r.subtitle =
        describe(model.backbone.config()) + ", " + options_.precision + ", boundary " + options_.boundary;
    r.status = stop.requested()
                   ? std::string("stopped by ") + stop.name() + " at step " + std::to_string(step_)
                   : "finished";
    const AllocatorStats memory = allocator_stats(device_);
    r.tiles = {{"test accuracy", percent(tested_->accuracy), std::to_string(data_.test_count) + " pictures"},
               {"test loss", significant(tested_->loss), ""},
               {"parameters", human_count(static_cast<double>(parameter_count(parameters_))), ""},
               {"time", human_time(progress.seconds()), std::to_string(step_) + " steps"},
               {"speed", human_count(progress.images_per_second()) + "/s", "pictures in training"},
               {"peak memory", human_bytes(static_cast<double>(memory.peak_bytes)), "tensors"}};
    r.charts = {
        {"Loss",
         "step",
         {series(records, "train", "loss", true), series(records, "test", "test_loss", false)},
         {},
         false,
         true},
        {"Accuracy",
         "step",
         {series(records, "train", "train_accuracy", false), series(records, "test", "test_accuracy", false)},
         {},
         true,
         false},
        {"Learning rate", "step", {series(records, "rate", "lr", false)}, {}, false, false},
        {"Gradient norm", "step", {series(records, "norm", "grad_norm", true)}, {}, false, true}};
    r.confusion = tested_->confusion;
    r.samples = samples_of(*tested_, *data_.opened.test);
    r.attention = attention_of(model.backbone, *data_.opened.test, data_.stats, device_);
    r.boundary = boundary_rows();
    r.config = options_.record();
    r.environment = environment();
    write_report(folder_->file("report.html"), r);
    if (options_.boundary_report) std::printf("%s", boundary_report().c_str());
    std::printf("test accuracy %s (%s), %s, report %s\n", percent(tested_->accuracy).c_str(),
                stop.requested() ? "stopped early" : "finished", human_time(progress.seconds()).c_str(),
                folder_->file("report.html").c_str());
}

}  // namespace

int train_supervised(TrainOptions options) { return Supervised(std::move(options)).run(); }

}  // namespace demi::examples
