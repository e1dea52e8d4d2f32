#pragma once
// Internal: one self-supervised run, from the options to the report.
#include <optional>

#include "examples/train/classifier.h"
#include "examples/train/distill.h"
#include "examples/train/init_from.h"
#include "examples/train/ssl_evaluation.h"
#include "examples/train/ssl_setup.h"
#include "examples/train/ssl_step.h"
#include "examples/train/training_run.h"
#include "models/schedule.h"
#include "models/ssl_meta_arch.h"

namespace demi::examples {

class SelfSupervised : private TrainingRun {
  public:
    static constexpr const char* kProgram = "train_dinov2";

    SelfSupervised(TrainOptions options, const Communicator& world);
    int run();

  private:
    void make_model(const InitFrom& weights);
    void plan();
    void resume();
    void yardsticks();
    void train(data::Loader& loader);
    data::Loader loader();
    void step(const data::Batch& batch) override;
    Variable forward(const Tensors& inputs, Tensor numbers) override;
    int64_t numbers() const override { return SslResult::kNumbers; }
    void count(int64_t at, int64_t number, const StepOutcome& outcome, std::span<const double> numbers);
    void move_teacher(int64_t at);  // after a step that was taken
    void evaluate() override;
    void thorough_evaluation();
    void report();
    SnapshotParts parts() override;
    ShardParts shard_parts() override;
    // Where the ranks hold parts of it: the teacher, whole, while this lives.
    std::unique_ptr<FlatModel::Whole> whole_teacher() {
        return parallel_ ? std::make_unique<FlatModel::Whole>(*parallel_->average()) : nullptr;
    }
    Watch watch(const std::string& note) {  // not interrupted where other ranks would wait
        return world_.size() > 1 ? Watch() : watch_of(progress_, *stop_, note);
    }
    SnapshotHead head() const override;
    bool due() const override { return step_ % options_.eval_every == 0 || step_ == total_; }

    data::MulticropOptions crops_;
    SslConfig config_;
    std::optional<SSLMetaArch> model_;
    std::optional<FrozenTeacher> frozen_;  // until the model has it
    std::string frozen_hash_;              // empty: none
    NamedParameters student_, teacher_;
    CosineSchedule rate_, decay_, momentum_;
    LinearSchedule temp_;
    double temp_now_ = 1;     // of the step that is taken
    bool new_heads_ = false;  // on a backbone from --init-from
    int64_t taken_ = 0;
    SslEvaluation scores_;
};

}  // namespace demi::examples
