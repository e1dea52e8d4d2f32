#pragma once
// What both trainers do in the same way.
#include "examples/common/metrics.h"
#include "examples/common/progress.h"
#include "examples/common/report.h"
#include "examples/common/run_folder.h"
#include "examples/common/signals.h"
#include "examples/data/open.h"
#include "examples/data/stats.h"
#include "examples/train/options.h"
#include "models/grad_scaler.h"
#include "models/optimizer.h"
#include "models/vision_transformer.h"

namespace demi::examples {

// Sets the threads, and throws when the device that --device names is not there.
Device open_device(const TrainOptions& options);

struct TrainData {
    data::OpenedData opened;
    data::ChannelStats stats;
    int64_t train_count = 0, test_count = 0;  // after --train-images and --test-images
};
// Square pictures with labels (unless `unlabelled` is fine) and something to test on.
TrainData open_data(const TrainOptions& options, bool unlabelled);

ForwardContext forward_context(const TrainOptions& options, Generator& generator);
OptimizerOptions optimizer_options(const TrainOptions& options);
std::unique_ptr<RunFolder> open_run(const std::string& program, const TrainOptions& options, Device device);
MetricsWriter open_metrics(const RunFolder& folder, const TrainOptions& options, int64_t step);

// scaler.step(). Throws Error when a gradient is not finite and there is no scale to lower, or after twenty
// skipped steps in a row.
StepOutcome take_step(Optimizer& optimizer, GradScaler& scaler, const StepRates& rates, int64_t step,
                      double loss);

// 0, or 1 with a line on stderr when --expect-accuracy asks for more than was reached.
int expectation_status(const TrainOptions& options, double accuracy);

void print_header(const TrainOptions& options, const TrainData& data, const ViTConfig& model,
                  int64_t parameters, Device device, int64_t step);

// --profile: a Chrome trace of the first steps, and its summary on the terminal. Does nothing without a path.
class StepTrace {
  public:
    explicit StepTrace(std::string path);
    ~StepTrace();  // gives up what was not written
    StepTrace(const StepTrace&) = delete;
    StepTrace& operator=(const StepTrace&) = delete;
    void step_done(Progress& progress, bool last);  // writes after twenty steps or the last one

  private:
    std::string path_;
    int64_t steps_ = 0;
};

// A series of the report from metrics.jsonl.
Series series(const std::vector<Record>& records, const std::string& label, const std::string& field,
              bool smooth = false);

}  // namespace demi::examples
