#pragma once
// Internal: one self-supervised run, from the options to the report.
#include <optional>

#include "examples/train/classifier.h"
#include "examples/train/common.h"
#include "examples/train/ranks.h"
#include "examples/train/shard_snapshot.h"
#include "examples/train/ssl_evaluation.h"
#include "examples/train/ssl_setup.h"
#include "examples/train/ssl_step.h"
#include "models/schedule.h"
#include "models/ssl_meta_arch.h"

namespace demi::examples {

class SelfSupervised {
  public:
    static constexpr const char* kProgram = "train_dinov2";

    SelfSupervised(TrainOptions options, const Communicator& world);
    int run();

  private:
    void make_model();
    void plan();
    void resume();
    void save();
    void yardsticks();
    void train(data::Loader& loader);
    data::Loader loader();
    void step(const data::Batch& batch);
    void evaluate();
    void thorough_evaluation();
    void report();
    SnapshotParts parts();
    ShardParts shard_parts();
    // Where the ranks hold parts of it: the teacher, whole, while this lives.
    std::unique_ptr<FlatModel::Whole> whole_teacher() {
        return parallel_ ? std::make_unique<FlatModel::Whole>(*parallel_->average()) : nullptr;
    }
    Watch watch(const std::string& note) {  // not interrupted where other ranks would wait
        return world_.size() > 1 ? Watch() : watch_of(progress_, *stop_, note);
    }
    SnapshotHead head() const;
    // Why the training failed; "" where it did not.
    std::string failure() const { return overflow_text(scaler_, step_, last_loss_); }
    bool due() const { return step_ % options_.eval_every == 0 || step_ == total_; }

    TrainOptions options_;
    Communicator world_;
    RunSignal signal_;  // of any rank
    Device device_;
    TrainData data_;
    data::MulticropOptions crops_;
    Generator generator_;
    SslConfig config_;
    std::optional<SSLMetaArch> model_;
    NamedParameters student_, teacher_;
    std::unique_ptr<DataParallel> parallel_;  // with more than one shard
    std::vector<size_t> clip_groups_;         // parameters of the student's backbone, of its heads
    int64_t parameters_in_all_ = 0;
    ForwardContext context_;
    std::optional<Optimizer> optimizer_;
    GradScaler scaler_{GradScalerOptions{.enabled = false}};
    CosineSchedule rate_, decay_, momentum_;
    LinearSchedule temp_;
    int64_t step_ = 0, taken_ = 0, total_ = 0, per_epoch_ = 0, images_ = 0, saved_at_ = -1;
    double last_loss_ = 0;
    SslEvaluation scores_;
    std::unique_ptr<RunFolder> folder_;
    std::optional<StopSignals> stop_;
    std::unique_ptr<MetricsWriter> metrics_;
    Progress progress_;
};

}  // namespace demi::examples
