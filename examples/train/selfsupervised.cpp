#include "examples/train/selfsupervised.h"

#include "examples/train/init_from.h"
#include "examples/train/model_file.h"
#include "examples/train/selfsupervised_run.h"
#include "examples/train/ssl_recipe.h"
#include "models/checkpoint.h"
#include "models/state.h"

namespace demi::examples {

SelfSupervised::SelfSupervised(TrainOptions options, const Communicator& world)
    : TrainingRun(std::move(options), world) {
    const InitFrom weights = open(true);
    apply_recipe(options_, data_.opened);
    frozen_ = open_teacher(options_, data_.stats, data_.opened.train->channels());
    agree_on_run(world_, options_, device_, data_.opened.train->fingerprint(), data_.opened.train->size());
    make_model(weights);
    plan();
    scores_ = SslEvaluation(data_, context_, device_, options_.eval_images, world_);
}

void SelfSupervised::make_model(const InitFrom& weights) {
    generator_ = Generator{static_cast<uint64_t>(options_.seed), 0};
    const data::DataSet& set = *data_.opened.train;
    config_ = ssl_config(options_, weights.any() ? weights.config(options_, set.height(), set.channels())
                                                 : model_config(options_, set.height(), set.channels()));
    if (frozen_ && !frozen_->has_heads()) config_.feature_dim = frozen_->backbone.config().embed_dim;
    if (frozen_) frozen_hash_ = std::to_string(parameters_hash(parameters_of(*frozen_)));
    Generator init = generator_.fork(1);
    model_.emplace(config_, init);
    if (frozen_) model_->distil(std::move(*frozen_));
    model_->to_device(device_);
    student_ = model_->student_parameters();
    teacher_ = model_->teacher_parameters();
    if (weights.any() && !options_.resuming()) {
        new_heads_ = !weights.load(student_, {}, options_.partial);
        copy_parameters(teacher_, student_);
    }
    freeze(student_, options_.freeze, config_.backbone.depth);
    parameters_in_all_ = parameter_count(student_);
    size_t backbone = 0;
    for (const auto& [name, parameter] : student_) backbone += name.starts_with("backbone.");
    clip_groups_ = {backbone, student_.size() - backbone};
    if (options_.shards > 1) {
        const ParallelOptions share{options_.shards, parse_sharding(options_.shard)};
        parallel_ = std::make_unique<DataParallel>(world_, share, model_->student_places());
        parallel_->add_average(model_->teacher_places());
        student_ = parallel_->parameters();
    }
    context_ = forward_context(options_, generator_);
    context_.boundary.site = "student";
    context_.training = true;
    scaler_ = GradScaler(GradScalerOptions{.enabled = context_.precision == Precision::f16});
    crops_ = ssl_crops(options_, set.height(), data_.opened);
}

void SelfSupervised::plan() {
    options_.batch = std::min(options_.batch, data_.opened.train->size());
    per_epoch_ = data_.opened.train->size() / options_.batch;
    total_ = options_.steps > 0 ? options_.steps : options_.epochs * per_epoch_;
    if (options_.eval_every == 0) options_.eval_every = std::max<int64_t>(total_ / 10, 1);
    const auto share = [&](double part) { return static_cast<int64_t>(part * static_cast<double>(total_)); };
    if (options_.warmup_heads < 0) options_.warmup_heads = new_heads_ ? share(0.1) : 0;
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

ShardParts SelfSupervised::shard_parts() {
    return {parallel_.get(), "student.", "", model_->centers(), &*optimizer_, &scaler_, &generator_};
}

SnapshotHead SelfSupervised::head() const {
    SnapshotHead h = new_head(kProgram, model_->config().backbone);
    h.more["taken"] = std::to_string(taken_);
    if (!frozen_hash_.empty()) h.more["distill"] = frozen_hash_;
    scores_.save(h.more);
    return h;
}

void SelfSupervised::resume() {
    const SnapshotHead saved = load();
    const auto teacher = saved.more.find("distill");
    check((teacher == saved.more.end() ? "" : teacher->second) == frozen_hash_, "distill", "'",
          options_.distill, "' is not the teacher that the run began with");
    taken_ = state_int(saved.more, "taken");
    scores_.load(saved.more);
}

int train_selfsupervised(TrainOptions options, const Communicator& world) {
    return SelfSupervised(std::move(options), world).run();
}

}  // namespace demi::examples
