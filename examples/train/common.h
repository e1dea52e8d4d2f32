#pragma once
// What both trainers do in the same way.
#include "examples/common/metrics.h"
#include "examples/common/progress.h"
#include "examples/common/report.h"
#include "examples/common/run_folder.h"
#include "examples/common/run_status.h"
#include "examples/common/signals.h"
#include "examples/data/batches.h"
#include "examples/data/open.h"
#include "examples/data/stats.h"
#include "examples/train/options.h"
#include "examples/train/watch.h"
#include "models/data_parallel.h"
#include "models/grad_scaler.h"
#include "models/optimizer.h"
#include "models/vision_transformer.h"
#include "runtime/non_copyable.h"

namespace demi::examples {

// Sets the threads, and throws when the device that --device names is not there.
Device open_device(const TrainOptions& options);

struct TrainData {
    data::OpenedData opened;  // after --train-images and --test-images
    data::ChannelStats stats;
    bool measurable = false;  // there is a test part, and there are labels of two or more classes
    const data::DataSetPtr& shown() const {
        return opened.test ? opened.test : opened.train;
    }  // for the report
};
// Square pictures; unless `unlabelled` is fine, measurable ones.
TrainData open_data(const TrainOptions& options, bool unlabelled);

ForwardContext forward_context(const TrainOptions& options, Generator& generator);
OptimizerOptions optimizer_options(const TrainOptions& options);
std::unique_ptr<RunFolder> open_run(const std::string& program, const TrainOptions& options, Device device);
std::unique_ptr<MetricsWriter> open_metrics(const RunFolder& folder, const TrainOptions& options,
                                            int64_t step);

// Whether metrics.jsonl has a line of this step with this field.
bool has_line(const std::vector<Record>& records, int64_t step, const std::string& field);

// A file of the run folder that tells how far the run is and how long it took.
void write_status(const RunFolder& folder, const std::string& state, int64_t step, int64_t steps,
                  const RunClock& clock);
// Time, speed where it is known, and memory.
void add_run_tiles(std::vector<Tile>& tiles, const RunClock& clock, int64_t steps, int64_t peak_bytes);

// Shows `note` and the part done, and throws Interrupted once a signal asks to stop.
Watch watch_of(Progress& progress, const StopSignals& stop, const std::string& note);

// Throws Error when a step was not taken and there is no scale to lower, or after twenty
// skipped steps in a row.
void check_taken(bool taken, const GradScaler& scaler, int64_t step, double loss);

// A note for the report of a run with graphs.
inline constexpr const char* kNotCounted = "The table of the fp16 boundary knows the steps before the graphs "
                                           "were captured, and tests. --no-graph counts all.";
// Why the steps of a run on a GPU cannot be captured as graphs; "" where they can.
std::string why_no_graphs(const TrainOptions& options, const ForwardContext& context, bool in_shards);

// Why the training failed without an error: the last loss is not finite, or most steps of 20 or more were
// skipped. "" where it did not.
std::string overflow_text(const GradScaler& scaler, int64_t steps, double last_loss);

// What a run ends with: status.json, a line on stderr for a failure or a missed --expect-accuracy, and the
// exit status of the process. stopped: the signal that ended it, or 0.
int end_run(const RunFolder& folder, const TrainOptions& options, int stopped, const std::string& failure,
            const RunStatus& status, double accuracy);

void print_header(const TrainOptions& options, const TrainData& data, const ViTConfig& model,
                  int64_t parameters, Device device, int64_t step, const DataParallel* parallel = nullptr);

// --profile: a Chrome trace of the first steps, and its summary on the terminal. Does nothing without a path.
class StepTrace : NonCopyable {
  public:
    explicit StepTrace(std::string path);
    // Gives up what was not written.
    ~StepTrace();
    void step_done(Progress& progress, bool last);  // writes after twenty steps or the last one

  private:
    std::string path_;
    int64_t steps_ = 0;
};

// A series of the report from metrics.jsonl.
Series series(const std::vector<Record>& records, const std::string& label, const std::string& field,
              bool smooth = false);

}  // namespace demi::examples
