#include "examples/train/selfsupervised.h"

#include <cstdio>
#include <optional>

#include "examples/common/environment.h"
#include "examples/common/format.h"
#include "examples/train/classifier.h"
#include "examples/train/common.h"
#include "examples/train/model_file.h"
#include "examples/train/snapshot.h"
#include "examples/train/ssl_evaluation.h"
#include "examples/train/ssl_recipe.h"
#include "examples/train/ssl_setup.h"
#include "examples/train/testing.h"
#include "models/checkpoint.h"
#include "models/mask_generator.h"
#include "models/schedule.h"
#include "models/ssl_meta_arch.h"
#include "models/state.h"
#include "runtime/allocator.h"

namespace demi::examples {
namespace {

constexpr const char* kProgram = "train_dinov2";

class SelfSupervised {
  public:
    explicit SelfSupervised(TrainOptions options);
    int run();

  private:
    void make_model();
    void plan();
    void resume();
    void save() { save_snapshot(folder_->file("checkpoint.safetensors"), head(), parts()); }
    void step(const data::Batch& batch, Progress& progress, MetricsWriter& metrics);
    void evaluate(Progress& progress, MetricsWriter& metrics);
    void report(const StopSignals& stop, const Progress& progress);
    SnapshotParts parts();
    SnapshotHead head() const;

    TrainOptions options_;
    Device device_;
    TrainData data_;
    data::MulticropOptions crops_;
    Generator generator_;
    std::optional<SSLMetaArch> model_;
    NamedParameters student_, teacher_;
    ForwardContext context_;
    std::optional<Optimizer> optimizer_;
    GradScaler scaler_{GradScalerOptions{.enabled = false}};
    CosineSchedule rate_, decay_, momentum_;
    LinearSchedule temp_;
    int64_t step_ = 0, taken_ = 0, total_ = 0, per_epoch_ = 0, images_ = 0;
    SslEvaluation scores_;
    std::unique_ptr<RunFolder> folder_;
};

SelfSupervised::SelfSupervised(TrainOptions options) : options_(std::move(options)) {
    device_ = open_device(options_);
    data_ = open_data(options_, true);
    apply_recipe(options_, data_.opened);
    make_model();
    plan();
    scores_ = SslEvaluation(data_, context_, device_, options_.eval_images);
}

void SelfSupervised::make_model() {
    generator_ = Generator{static_cast<uint64_t>(options_.seed), 0};
    const data::DataSet& set = *data_.opened.train;
    const SslConfig config = ssl_config(options_, model_config(options_, set.height(), set.channels()));
    Generator init = generator_.fork(1);
    model_.emplace(config, init);
    model_->to_device(device_);
    student_ = model_->student_parameters();
    teacher_ = model_->teacher_parameters();
    if (!options_.init_from.empty()) {
        init_parameters(student_, config.backbone, options_.init_from, options_.partial);
        copy_parameters(teacher_, student_);
    }
    context_ = forward_context(options_, generator_);
    context_.boundary.site = "student";
    context_.training = true;
    scaler_ = GradScaler(GradScalerOptions{.enabled = context_.precision == Precision::f16});
    crops_ = ssl_crops(options_, set.height(), data_.opened);
}

void SelfSupervised::plan() {
    options_.batch = std::min(options_.batch, data_.train_count);
    per_epoch_ = data_.train_count / options_.batch;
    total_ = options_.steps > 0 ? options_.steps : options_.epochs * per_epoch_;
    if (options_.eval_every == 0) options_.eval_every = std::max<int64_t>(total_ / 10, 1);
    const auto share = [&](double part) { return static_cast<int64_t>(part * static_cast<double>(total_)); };
    rate_ = {options_.lr, std::min(options_.min_lr, options_.lr), total_, share(options_.warmup), 0, 0};
    decay_ = {options_.weight_decay, options_.weight_decay_end, total_, 0, 0, 0};
    momentum_ = {options_.teacher_momentum, 1, total_, 0, 0, 0};
    temp_ = {options_.teacher_temp_start, options_.teacher_temp, share(0.3)};
    optimizer_.emplace(
        student_, parameter_options(student_, {options_.layer_decay, 1, model_->config().backbone.depth}),
        optimizer_options(options_));
}

SnapshotParts SelfSupervised::parts() {
    SnapshotParts p;
    p.parameters = teacher_;  // backbone.*: what other programs load
    NamedParameters centers;
    for (const auto& [name, tensor] : model_->centers()) centers.emplace_back(name, Variable(tensor));
    p.extra = {{"student.", student_}, {"", centers}};
    p.optimizer = &*optimizer_;
    p.scaler = &scaler_;
    p.generator = &generator_;
    return p;
}

SnapshotHead SelfSupervised::head() const {
    SnapshotHead h;
    h.program = kProgram;
    h.step = step_;
    h.fingerprint = static_cast<int64_t>(data_.opened.train->fingerprint() >> 1);
    h.more = model_metadata(kProgram, model_->config().backbone, data_.stats);
    h.more["taken"] = std::to_string(taken_);
    scores_.save(h.more);
    return h;
}

void SelfSupervised::resume() {
    const SnapshotHead saved = load_snapshot(folder_->file("checkpoint.safetensors"), head(), parts());
    step_ = saved.step;
    taken_ = state_int(saved.more, "taken");
    scores_.load(saved.more);
}

void SelfSupervised::step(const data::Batch& batch, Progress& progress, MetricsWriter& metrics) {
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
    progress.update(state);
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
        metrics.write(line);
    }
}

void SelfSupervised::evaluate(Progress& progress, MetricsWriter& metrics) {
    if (!data_.opened.labelled) return;
    progress.pause("testing");
    const SslScores& now = scores_.during(model_->teacher_backbone());
    metrics.write(Record().add("step", step_).add("knn", now.knn));
    progress.message("step " + std::to_string(step_) + ": " + ssl_summary(now));
}

int SelfSupervised::run() {
    folder_ = open_run(kProgram, options_, device_);
    if (options_.resume) resume();
    print_header(options_, data_, model_->config().backbone, parameter_count(student_), device_, step_);
    std::printf("%s\n", describe(crops_).c_str());
    const StopSignals stop;
    MetricsWriter metrics = open_metrics(*folder_, options_, step_);
    Progress progress;
    if (!options_.resume && data_.opened.labelled) {
        progress.pause("testing");
        scores_.before(model_->teacher_backbone());
        const SslScores& start = scores_.quick();
        metrics.write(Record().add("step", 0).add("knn", start.untrained).add("knn_pixels", start.pixels));
        progress.message("before training: " + ssl_summary(start));
    }
    data::LoaderOptions order;
    order.batch = options_.batch;
    order.threads = static_cast<int>(options_.workers);
    order.seed = generator_.fork(2).seed;
    order.start = {step_ / per_epoch_, step_ % per_epoch_};
    data::Loader loader(
        data_.train_count,
        data::multicrop_batches(data_.opened.train, data_.stats, crops_, generator_.fork(3).seed), order);
    StepTrace trace(options_.profile);
    data::Batch batch;
    while (step_ < total_ && !stop.requested() && loader.next(batch)) {
        step(batch, progress, metrics);
        trace.step_done(progress, step_ == total_);
        const bool due = step_ % options_.eval_every == 0 || step_ == total_;
        if (due) evaluate(progress, metrics);
        if (due || (options_.save_every > 0 && step_ % options_.save_every == 0)) {
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
    } else if (data_.opened.labelled) {
        progress.pause("testing");
        scores_.after(model_->teacher_backbone(), options_.linear_probe);
    }
    progress.finish();
    report(stop, progress);
    return stop.requested() ? 0 : expectation_status(options_, scores_.full().knn);
}

void SelfSupervised::report(const StopSignals& stop, const Progress& progress) {
    write_safetensors(folder_->file("teacher.safetensors"), state_dict(teacher_),
                      model_metadata(kProgram, model_->config().backbone, data_.stats));
    const std::vector<Record> records = read_metrics(folder_->file("metrics.jsonl"));
    const DinoVisionTransformer& model = model_->teacher_backbone();
    const SslScores& scores = stop.requested() ? scores_.quick() : scores_.full();
    Report r;
    r.title = "DINOv2 on " + (options_.data.empty() ? std::string("drawn figures") : options_.data);
    r.subtitle = describe(model.config()) + ", " + options_.precision + ", boundary " + options_.boundary;
    r.status = stop.requested()
                   ? std::string("stopped by ") + stop.name() + " at step " + std::to_string(step_)
                   : "finished";
    r.tiles = ssl_tiles(scores, progress.seconds(), step_, progress.images_per_second(),
                        allocator_stats(device_).peak_bytes);
    r.charts = ssl_charts(records, scores_.quick(), options_.prototypes);
    if (options_.local_crops > 0) r.notes = ssl_notes(records, options_.prototypes);
    r.boundary = boundary_rows();  // before the report's own pictures go through
    r.attention = attention_of(model, *data_.opened.test, data_.stats, device_);
    r.pca = pca_pictures(model, *data_.opened.test, data_.stats, device_);
    r.config = options_.record();
    r.environment = environment();
    write_report(folder_->file("report.html"), r);
    if (options_.boundary_report) std::printf("%s", boundary_report().c_str());
    std::printf("%s, %s, report %s\n", ssl_summary(scores).c_str(), human_time(progress.seconds()).c_str(),
                folder_->file("report.html").c_str());
}

}  // namespace

int train_selfsupervised(TrainOptions options) { return SelfSupervised(std::move(options)).run(); }

}  // namespace demi::examples
