#pragma once
// Internal: one supervised run, from the options to the report.
#include <optional>

#include "examples/train/classifier_step.h"
#include "examples/train/common.h"
#include "examples/train/ranks.h"
#include "examples/train/shard_snapshot.h"
#include "examples/train/testing.h"
#include "models/schedule.h"

namespace demi::examples {

class Supervised {
  public:
    static constexpr const char* kProgram = "train_vit";

    Supervised(TrainOptions options, const Communicator& world);
    int run();

  private:
    void make_model();
    void plan();
    void resume();
    void save();
    data::Loader loader();
    void train(data::Loader& loader);
    void step(const data::Batch& batch);
    TestResult tested_on(const data::DataSet& set, const Watch& watch);
    void test_now();
    void last_test();
    void take_best();
    bool out_of_patience() const { return options_.patience > 0 && vain_tests_ >= options_.patience; }
    bool epoch_over() const { return step_ % per_epoch_ == 0 || step_ == total_; }
    int64_t epoch() const { return (step_ + per_epoch_ - 1) / per_epoch_; }
    void count_score(double accuracy, int64_t step);
    std::string ending() const;
    void report();
    SnapshotParts parts();
    ShardParts shard_parts();
    // Where the ranks hold parts of it: the tested model, whole, while this lives.
    std::unique_ptr<FlatModel::Whole> whole_model();
    Classifier& tested_model() { return options_.ema > 0 ? average_ : model_; }
    SnapshotHead head() const;
    // Why the training failed; "" where it did not.
    std::string failure() const { return overflow_text(scaler_, step_, last_loss_); }

    TrainOptions options_;
    Communicator world_;
    RunSignal signal_;  // of any rank
    TrainData data_;
    Device device_;
    Generator generator_;
    Classifier model_, average_;
    NamedParameters parameters_, average_parameters_;
    std::unique_ptr<DataParallel> parallel_;  // with more than one shard
    int64_t parameters_in_all_ = 0;
    ForwardContext context_;
    std::optional<Optimizer> optimizer_;
    GradScaler scaler_{GradScalerOptions{.enabled = false}};
    CosineSchedule rate_;
    int64_t step_ = 0, total_ = 0, per_epoch_ = 0, epochs_ = 0, saved_at_ = -1;
    int64_t correct_ = 0, seen_ = 0, images_ = 0;
    double last_loss_ = 0;
    std::string held_ =
        "test";  // what the held-out pictures are called: "val" where there is a test part besides
    double best_ = -1;
    int64_t best_step_ = 0, vain_tests_ = 0;
    std::optional<TestResult> tested_;  // of step tested_at_
    int64_t tested_at_ = -1;
    std::unique_ptr<RunFolder> folder_;
    std::optional<StopSignals> stop_;
    std::unique_ptr<MetricsWriter> metrics_;
    Progress progress_;
};

}  // namespace demi::examples
