#include "examples/train/training_run.h"

#include "examples/train/model_file.h"

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

data::Loader TrainingRun::loader_of(data::MakeBatch make) const {
    data::LoaderOptions order;
    order.batch = options_.batch;
    order.threads = static_cast<int>(options_.workers);
    order.seed = generator_.fork(2).seed;
    order.start = {step_ / per_epoch_, step_ % per_epoch_};
    if (parallel_) make = sharded_batches(std::move(make), options_.shards, parallel_->own_shards());
    return {data_.opened.train->size(), std::move(make), order};
}

void TrainingRun::take_steps(data::Loader& loader) {
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
        step(batch);
        trace.step_done(progress_, step_ == total_);
        if (due() || (options_.save_every > 0 && step_ % options_.save_every == 0)) save();
        if (due()) evaluate();
    }
}

}  // namespace demi::examples
