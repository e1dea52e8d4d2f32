#include "examples/train/training_run.h"

#include "examples/train/model_file.h"
#include "runtime/copy.h"
#include "runtime/profile.h"
#include "runtime/upload.h"

namespace demi::examples {

InitFrom TrainingRun::open(bool unlabelled) {
    device_ = open_device(options_);
    InitFrom weights(options_);
    weights.adapt(options_);
    data_ = open_data(options_, unlabelled);
    data_.stats = weights.stats(data_.stats, data_.opened.train->channels());
    return weights;
}

SnapshotHead TrainingRun::new_head(const char* program, const ViTConfig& model) const {
    SnapshotHead h;
    h.program = program;
    h.step = step_;
    h.fingerprint = static_cast<int64_t>(data_.opened.train->fingerprint() >> 1);
    h.more = model_metadata(program, model, data_.stats);
    return h;
}

void TrainingRun::save() {
    settle();
    if (saved_at_ == step_) return;
    progress_.pause("saving");
    metrics_->sync();
    const std::string path = folder_->file("checkpoint.safetensors");
    parallel_ ? save_shards(path, head(), shard_parts()) : save_snapshot(path, head(), parts());
    saved_at_ = step_;
    write_status(*folder_, "running", step_, total_, progress_.clock());
}

SnapshotHead TrainingRun::load() {
    const std::string path = folder_->file("checkpoint.safetensors");
    SnapshotHead saved =
        parallel_ ? load_shards(path, head(), shard_parts()) : load_snapshot(path, head(), parts());
    folder_->accept();
    step_ = saved_at_ = saved.step;
    images_ = step_ * options_.batch;
    progress_.count_from(read_status(folder_->file("status.json")).clock);
    return saved;
}

static void send(data::Batch& batch, Device device) {
    for (Tensor* t : {&batch.images, &batch.labels, &batch.targets, &batch.global_crops, &batch.local_crops})
        if (t->defined()) *t = upload(*t, device);
    for (data::Batch& part : batch.parts) send(part, device);
}

data::Loader TrainingRun::loader_of(data::MakeBatch make) const {
    data::LoaderOptions order;
    order.batch = options_.batch;
    order.threads = static_cast<int>(options_.workers);
    order.seed = generator_.fork(2).seed;
    order.start = {step_ / per_epoch_, step_ % per_epoch_};
    if (parallel_) make = sharded_batches(std::move(make), options_.shards, parallel_->own_shards());
    if (device_.is_cuda())
        make = [make = std::move(make), device = device_](data::Batch& batch) {
            make(batch);
            send(batch, device);
        };
    return {data_.opened.train->size(), std::move(make), order};
}

void TrainingRun::make_steps() {
    const std::string why = why_no_graphs(options_, context_, parallel_ != nullptr);
    const bool wanted = options_.graph && device_.is_cuda();
    const auto say = [this](const std::string& reason) {
        captured_ = false;
        progress_.message("steps run without CUDA graphs: " + reason);
    };
    if (wanted && !why.empty()) say(why);
    if (parallel_) return;
    steps_.emplace(StepGraphs::Options{device_, static_cast<int64_t>(outcome_size()) + numbers(),
                                       wanted && why.empty(), &generator_, &*optimizer_, say},
                   [this](const Tensors& inputs, const Tensor& numbers) { body(inputs, numbers); });
    captured_ = steps_->captures();
}

void TrainingRun::body(const Tensors& inputs, const Tensor& numbers) {
    const auto own = static_cast<int64_t>(outcome_size());
    const Variable loss = forward(inputs, numbers.slice(0, own));
    {
        const ProfileScope scope("backward");
        scaler_.backward(loss);
    }
    {
        const ProfileScope scope("optimizer");
        StepRates rates = rates_;
        rates.factors = gradient_factors(optimizer_->parameters(), rates.clip_groups, scaler_.live_inverse(),
                                         std::exchange(rates.clip_grad, 0));
        optimizer_->step(rates);
        copy(numbers.slice(0, 0, own), rates.factors.values.view({own}));
    }
    optimizer_->zero_grad();
    updated();
}

void TrainingRun::take(const Tensors& inputs, const StepRates& rates, StepReport report, bool now) {
    rates_ = rates;
    optimizer_->set_rates(rates);
    (*steps_)(inputs);
    waiting_.push_back(std::move(report));
    if (now || !steps_->captures() || steps_->full()) settle();
}

void TrainingRun::take_shards(const StepRates& rates, const StepReport& report,
                              std::span<const double> numbers) {
    StepOutcome outcome;
    {
        const ProfileScope scope("optimizer");
        outcome = parallel_->step(*optimizer_, scaler_, rates);
    }
    optimizer_->zero_grad();
    report(outcome, numbers);
}

void TrainingRun::settle() {
    const std::vector<StepReport> reports = std::exchange(waiting_, {});
    if (reports.empty()) return;
    const std::vector<std::vector<double>> rows = steps_->read();
    for (size_t i = 0; i < reports.size(); ++i) {
        const std::span<const double> row(rows[i]);
        const StepOutcome outcome = outcome_of(row.first(outcome_size()));
        if (!outcome.taken) optimizer_->take_back();
        scaler_.update(!outcome.taken);
        reports[i](outcome, row.subspan(outcome_size()));
    }
}

void TrainingRun::take_steps(data::Loader& loader) {
    make_steps();
    StepTrace trace(options_.profile);
    data::Batch batch;
    while (step_ < total_ && !enough()) {
        std::exception_ptr error;
        bool more = false;
        try {
            more = signal_.of(*stop_) == 0 && loader.next(batch);
        } catch (...) {
            error = std::current_exception();
        }
        signal_.agree(*stop_, world_, error != nullptr);
        const bool stops = signal_.of(*stop_) != 0;
        // A picture that cannot be read costs nothing that was learned.
        if (signal_.failed() || (signal_.save() && !stops)) save();
        if (error) std::rethrow_exception(error);
        if (signal_.failed()) world_.barrier();  // the rank that failed says why and ends the job
        if (signal_.save() && !stops)
            progress_.message("saved at step " + std::to_string(step_) + ", as asked by SIGUSR1");
        if (stops || !more) break;
        if (scaler_.enabled()) settle();  // whether the last step was taken says what the next one's scale is
        step(batch);
        trace.step_done(progress_, step_ == total_);
        if (due() || (options_.save_every > 0 && step_ % options_.save_every == 0)) save();
        if (due()) evaluate();
    }
    settle();
    steps_.reset();
}

}  // namespace demi::examples
