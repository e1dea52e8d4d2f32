#pragma once
// Internal: what a supervised and a self-supervised run share: the steps, saving and going on.
#include <optional>

#include "examples/train/common.h"
#include "examples/train/init_from.h"
#include "examples/train/ranks.h"
#include "examples/train/shard_snapshot.h"

namespace demi::examples {

class TrainingRun {
  protected:
    TrainingRun(TrainOptions options, const Communicator& world)
        : options_(std::move(options)), world_(world) {}
    virtual ~TrainingRun() = default;

    // What a checkpoint holds beside the numbers below.
    virtual SnapshotHead head() const = 0;
    virtual SnapshotParts parts() = 0;
    virtual ShardParts shard_parts() = 0;
    virtual void step(const data::Batch& batch) = 0;
    virtual bool due() const = 0;  // a test, after the step that was taken
    virtual void evaluate() = 0;
    virtual bool enough() const { return false; }  // before total_ steps

    // Device, weights that the run starts from, and data.
    InitFrom open(bool unlabelled);
    SnapshotHead new_head(const char* program, const ViTConfig& model) const;
    void save();
    SnapshotHead load();
    // From where the run stands, in parts for the ranks.
    data::Loader loader_of(data::MakeBatch make) const;
    // Until the end, a signal, or enough(). Throws Interrupted where a test is interrupted.
    void take_steps(data::Loader& loader);
    // Why the training failed; "" where it did not.
    std::string failure() const { return overflow_text(scaler_, step_, last_loss_); }

    TrainOptions options_;
    Communicator world_;
    RunSignal signal_;  // of any rank
    Device device_;
    TrainData data_;
    Generator generator_;
    std::unique_ptr<DataParallel> parallel_;  // with more than one shard
    int64_t parameters_in_all_ = 0;
    ForwardContext context_;
    std::optional<Optimizer> optimizer_;
    GradScaler scaler_{GradScalerOptions{.enabled = false}};
    int64_t step_ = 0, total_ = 0, per_epoch_ = 0, images_ = 0, saved_at_ = -1;
    double last_loss_ = 0;
    std::unique_ptr<RunFolder> folder_;
    std::optional<StopSignals> stop_;
    std::unique_ptr<MetricsWriter> metrics_;
    Progress progress_;
};

}  // namespace demi::examples
