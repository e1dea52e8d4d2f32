#pragma once
// Internal: what a supervised and a self-supervised run share: the steps, saving and going on.
#include <optional>

#include "examples/train/common.h"
#include "examples/train/init_from.h"
#include "examples/train/ranks.h"
#include "examples/train/shard_snapshot.h"
#include "examples/train/step_graphs.h"

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
    // A part of a step, with nothing read back: the loss of a batch, which also goes to `numbers`
    // (f64), as the first of those that the report below gets.
    virtual Variable forward(const Tensors& inputs, Tensor numbers) = 0;
    virtual int64_t numbers() const = 0;  // how many
    virtual void updated() {}             // behind the optimizer's step, in the graph
    virtual bool due() const = 0;         // a test, after the step that was taken
    virtual void evaluate() = 0;
    virtual bool enough() const { return false; }  // before total_ steps

    // Device, weights that the run starts from, and data.
    InitFrom open(bool unlabelled);
    SnapshotHead new_head(const char* program, const ViTConfig& model) const;
    void save();
    SnapshotHead load();
    // From where the run stands, in parts for the ranks.
    data::Loader loader_of(data::MakeBatch make) const;
    // A step on a batch that is whole, as a CUDA graph where it can be one. `report` is told how it went: at once, or,
    // where a graph ran, when something asks: settle(), and `now`.
    using StepReport = std::function<void(const StepOutcome&, std::span<const double> numbers)>;
    void take(const Tensors& inputs, const StepRates& rates, StepReport report, bool now);
    // A step on the shards of all ranks, behind their backward().
    void take_shards(const StepRates& rates, const StepReport& report, std::span<const double> numbers);
    void settle();  // tells what was not told yet
    bool settled() const { return waiting_.empty(); }
    // Until the end, a signal, or enough(). Throws Interrupted where a test is interrupted.
    void take_steps(data::Loader& loader);
    bool logs(int64_t at) const {  // a line of metrics.jsonl, in any case
        return (at + 1) % options_.log_every == 0 || at == 0 || at + 1 == total_;
    }
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
    std::vector<size_t> clip_groups_;  // of backbone and heads where they are apart, as StepRates has them
    std::unique_ptr<RunFolder> folder_;
    std::optional<StopSignals> stop_;
    std::unique_ptr<MetricsWriter> metrics_;
    Progress progress_;
    bool captured_ = false;  // steps ran as graphs

  private:
    void make_steps();
    void body(const Tensors& inputs, const Tensor& numbers);
    // Of a norm and a factor for each group, which stand before the numbers of a step.
    size_t outcome_size() const { return 2 * std::max<size_t>(clip_groups_.size(), 1); }

    StepRates rates_;  // of the step that is taken
    std::optional<StepGraphs> steps_;
    std::vector<StepReport> waiting_;
};

}  // namespace demi::examples
