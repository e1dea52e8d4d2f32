#pragma once
// Internal: one supervised run, from the options to the report.
#include <optional>

#include "examples/train/classifier_step.h"
#include "examples/train/init_from.h"
#include "examples/train/testing.h"
#include "examples/train/training_run.h"
#include "models/schedule.h"

namespace demi::examples {

class Supervised : private TrainingRun {
  public:
    static constexpr const char* kProgram = "train_vit";

    Supervised(TrainOptions options, const Communicator& world);
    int run();

  private:
    void make_model(const InitFrom& weights);
    void plan();
    void resume();
    data::Loader loader();
    void train(data::Loader& loader);
    void step(const data::Batch& batch) override;
    Variable forward(const Tensors& inputs, Tensor numbers) override;
    int64_t numbers() const override { return 2; }  // loss, right ones
    void updated() override;
    void count(int64_t at, int64_t seen, const StepOutcome& outcome, std::span<const double> numbers);
    TestResult tested_on(const data::DataSet& set, const Watch& watch);
    void evaluate() override;
    void last_test();
    void load_best();
    bool enough() const override { return options_.patience > 0 && vain_tests_ >= options_.patience; }
    bool due() const override { return step_ % per_epoch_ == 0 || step_ == total_; }
    int64_t epoch() const { return (step_ + per_epoch_ - 1) / per_epoch_; }
    void count_score(double accuracy, int64_t step);
    std::string ending() const;
    void report();
    SnapshotParts parts() override;
    ShardParts shard_parts() override;
    // Where the ranks hold parts of it: the tested model, whole, while this lives.
    std::unique_ptr<FlatModel::Whole> whole_model();
    Metadata facts() const;  // of the model, for a file of it
    Classifier& tested_model() { return options_.ema > 0 ? average_ : model_; }
    SnapshotHead head() const override;

    Classifier model_, average_;
    NamedParameters parameters_, average_parameters_;
    CosineSchedule rate_;
    bool starts_trained_ = false;  // with a classifier from --init-from
    int64_t epochs_ = 0, correct_ = 0, seen_ = 0;
    // What the held-out pictures are called: "val" where there is a test part besides.
    std::string held_ = "test";
    double best_ = -1;
    int64_t best_step_ = 0, vain_tests_ = 0;
    std::optional<TestResult> tested_;  // of step tested_at_
    int64_t tested_at_ = -1;
};

}  // namespace demi::examples
