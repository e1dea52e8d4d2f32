#include "examples/train/supervised.h"

#include "examples/train/init_from.h"
#include "examples/train/model_file.h"
#include "examples/train/supervised_run.h"
#include "models/checkpoint.h"
#include "models/ema.h"
#include "models/state.h"
#include "runtime/parallel.h"

namespace demi::examples {

Supervised::Supervised(TrainOptions options, const Communicator& world)
    : TrainingRun(std::move(options), world) {
    const InitFrom weights = open(false);
    agree_on_run(world_, options_, device_, data_.opened.train->fingerprint(), data_.opened.train->size());
    if (data_.opened.final_test) held_ = "val";
    make_model(weights);
    plan();
}

void Supervised::make_model(const InitFrom& weights) {
    generator_ = Generator{static_cast<uint64_t>(options_.seed), 0};
    const data::DataSet& set = *data_.opened.train;
    const ViTConfig config = weights.any() ? weights.config(options_, set.height(), set.channels())
                                           : model_config(options_, set.height(), set.channels());
    const auto classes = static_cast<int64_t>(set.classes().size());
    Generator init = generator_.fork(1);
    model_ = Classifier(config, classes, init);
    if (weights.any() && !options_.resuming())
        starts_trained_ = weights.load(parameters_of(model_), set.classes(), options_.partial);
    to_device(model_, device_);
    freeze(parameters_of(model_), options_.freeze, config.depth);
    parameters_ = parameters_of(model_);
    if (options_.ema > 0) {
        average_ = Classifier(config, classes, init);
        to_device(average_, device_);
        average_parameters_ = parameters_of(average_);
        copy_parameters(average_parameters_, parameters_);
    }
    parameters_in_all_ = parameter_count(parameters_);
    if (options_.shards > 1) {
        const ParallelOptions share{options_.shards, parse_sharding(options_.shard)};
        parallel_ = std::make_unique<DataParallel>(world_, share, model_);
        if (options_.ema > 0) parallel_->add_average(average_);
        parameters_ = parallel_->parameters();
    }
    context_ = forward_context(options_, generator_);
    scaler_ = GradScaler(GradScalerOptions{.enabled = context_.precision == Precision::f16});
}

void Supervised::plan() {
    options_.batch = std::min(options_.batch, data_.opened.train->size());
    per_epoch_ = data_.opened.train->size() / options_.batch;
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

ShardParts Supervised::shard_parts() {
    return {parallel_.get(), "", "ema.", {}, &*optimizer_, &scaler_, &generator_};
}

std::unique_ptr<FlatModel::Whole> Supervised::whole_model() {
    if (!parallel_) return nullptr;
    return std::make_unique<FlatModel::Whole>(options_.ema > 0 ? *parallel_->average() : parallel_->model());
}

Metadata Supervised::facts() const {
    Metadata m = model_metadata(kProgram, model_.backbone.config(), data_.stats);
    add_classes(m, data_.opened.train->classes());
    if (!options_.exif_orientation) m["exif_orientation"] = "0";
    return m;
}

SnapshotHead Supervised::head() const {
    SnapshotHead h = new_head(kProgram, model_.backbone.config());
    h.more = facts();
    h.more["correct"] = std::to_string(correct_);
    h.more["seen"] = std::to_string(seen_);
    return h;
}

void Supervised::resume() {
    const SnapshotHead saved = load();
    correct_ = state_int(saved.more, "correct");
    seen_ = state_int(saved.more, "seen");
}

data::Loader Supervised::loader() {
    const data::DataSetPtr& set = data_.opened.train;
    data::AugmentOptions augment = options_.augment > 0
                                       ? data::AugmentOptions::standard(set->height(), data_.opened.flip)
                                       : data::AugmentOptions::none();
    if (options_.resized_crop > 0) augment.pad = 0;
    augment.crop_share = static_cast<float>(options_.resized_crop);
    augment.trivial = options_.trivial_augment;
    const data::MixOptions mix{static_cast<float>(options_.mixup), static_cast<float>(options_.cutmix),
                               static_cast<float>(options_.label_smoothing)};
    return loader_of(data::supervised_batches(set, data_.stats, augment, generator_.fork(3).seed, mix));
}

int train_supervised(TrainOptions options, const Communicator& world) {
    return Supervised(std::move(options), world).run();
}

}  // namespace demi::examples
