#include "examples/train/common.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "autograd/grad_mode.h"
#include "examples/common/device.h"
#include "examples/common/environment.h"
#include "examples/common/files.h"
#include "examples/common/format.h"
#include "examples/common/text.h"
#include "examples/data/part.h"
#include "examples/train/classifier.h"
#include "runtime/atomic_file.h"
#include "runtime/comm/job.h"
#include "runtime/parallel.h"
#include "runtime/profile.h"

namespace demi::examples {

Device open_device(const TrainOptions& options) {
    if (options.threads > 0) set_num_threads(static_cast<int>(options.threads));
    return usable_device(options.device);
}

TrainData open_data(const TrainOptions& options, bool unlabelled) {
    TrainData d;
    data::OpenOptions open;
    open.image_size = options.image_size;
    open.channels = options.channels;
    open.test_fraction = options.val_fraction;
    open.need_labels = !unlabelled;
    open.val = options.val;
    open.upright = options.exif_orientation;
    open.skip_broken = options.skip_broken;
    d.opened = data::open_dataset(options.data, open);
    const data::DataSetPtr whole = d.opened.train;
    const int64_t present = data::classes_present(*whole);
    d.measurable = d.opened.labelled && present > 1 && d.opened.test != nullptr;
    check(unlabelled || d.opened.labelled, "data", "'", options.data,
          "' holds pictures without classes, this training needs labels");
    check(unlabelled || present > 1, "data", "'", options.data, "' holds only the class '",
          whole->classes()[static_cast<size_t>(whole->label(0))], "', this training needs two or more");
    check(unlabelled || d.opened.test != nullptr, "data", "'", options.data,
          "' leaves no pictures to test on: --val DIR names some, --val-fraction sets some apart");
    check(d.measurable || options.expect_accuracy < 0, "data", "'", options.data,
          "' has no labels of two classes to test with, which --expect-accuracy needs");
    check(whole->height() == whole->width(), "data", "needs square pictures: got ", whole->height(), " x ",
          whole->width(), "; --image-size makes them square");
    if (options.train_images > 0) d.opened.train = data::part_of(whole, options.train_images);
    if (options.test_images > 0)
        for (data::DataSetPtr* set : {&d.opened.test, &d.opened.final_test})
            *set = data::part_of(*set, options.test_images);
    d.stats = data::channel_stats(*whole);
    return d;
}

ForwardContext forward_context(const TrainOptions& options, Generator& generator) {
    ForwardContext context;
    context.precision = parse_precision(options.precision);
    context.boundary.mode = parse_boundary_mode(options.boundary);
    context.boundary.grad_scale = options.grad_scale == "auto" ? GradScale::automatic() : GradScale::none();
    context.boundary.site = "model";
    context.generator = &generator;
    return context;
}

OptimizerOptions optimizer_options(const TrainOptions& options) {
    OptimizerOptions settings;
    settings.kind = options.optimizer == "sgd" ? OptimizerKind::sgd : OptimizerKind::adamw;
    return settings;
}

std::unique_ptr<RunFolder> open_run(const std::string& program, const TrainOptions& options, Device device) {
    RunConfig config;
    config.program = program;
    config.options = options.record();
    config.defaults = options.defaults;
    config.environment = environment();
    config.environment.add("device", name(device));
    config.may_change = TrainOptions::may_change_on_resume();
    config.may_rise = {"epochs", "steps"};
    const RunStart start = options.resuming()  ? RunStart::resume
                           : options.overwrite ? RunStart::overwrite
                                               : RunStart::fresh;
    return std::make_unique<RunFolder>(options.out, start, config);
}

std::unique_ptr<MetricsWriter> open_metrics(const RunFolder& folder, const TrainOptions& options,
                                            int64_t step) {
    const std::string path = folder.file("metrics.jsonl");
    auto metrics = options.resuming() ? std::make_unique<MetricsWriter>(path, step)
                                      : std::make_unique<MetricsWriter>(path);
    if (options.tensorboard) metrics->mirror(folder.file("events.out.tfevents.demi"));
    return metrics;
}

void check_taken(bool taken, const GradScaler& scaler, int64_t step, double loss) {
    constexpr int64_t kSkipLimit = 20;
    check(taken || scaler.enabled(), "train", "the gradient is not finite at step ", step, " (loss ", loss,
          "); set DEMI_DETECT_ANOMALY=1 to see which operation makes the first NaN or infinity");
    check(scaler.skipped_in_a_row() < kSkipLimit, "train", kSkipLimit,
          " steps in a row overflowed; the loss scale is ", scaler.scale(), ", the loss ", loss);
}

std::string why_no_graphs(const TrainOptions& options, const ForwardContext& context, bool in_shards) {
    if (in_shards) return "the batch is cut into shards";
    if (context.boundary.mode != BoundaryMode::off &&
        context.boundary.grad_scale.kind == GradScale::Kind::automatic)
        return "--grad-scale auto reads the size of every gradient; none does not";
    if (options.centering == "centering") return "--centering centering has centers that move";
    if (options.boundary_report) return "--boundary-report counts in every step";
    if (!options.profile.empty()) return "--profile shows the operations of a step";
    if (anomaly_detection()) return "DEMI_DETECT_ANOMALY looks at every result";
    return "";
}

void print_header(const TrainOptions& options, const TrainData& data, const ViTConfig& model,
                  int64_t parameters, Device device, int64_t step, const DataParallel* parallel) {
    const data::DataSet& set = *data.opened.train;
    std::string count = grouped(set.size()) + " train";
    if (data.opened.test) count += " and " + grouped(data.opened.test->size()) + " test";
    std::printf("%s data: %s pictures of %lld x %lld, %s\n", data.opened.kind.c_str(), count.c_str(),
                static_cast<long long>(set.height()), static_cast<long long>(set.width()),
                !data.opened.labelled       ? "no labels"
                : set.classes().size() == 1 ? "1 class"
                                            : (std::to_string(set.classes().size()) + " classes").c_str());
    if (!data.opened.layout.empty()) std::printf("layout: %s\n", valid_utf8(data.opened.layout).c_str());
    for (const std::string& note : data.opened.notes) std::printf("%s\n", valid_utf8(note).c_str());
    std::printf("%s, %s parameters, %s, boundary %s, on %s with %d thread%s\n", describe(model).c_str(),
                human_count(static_cast<double>(parameters)).c_str(), options.precision.c_str(),
                options.boundary.c_str(), name(device).c_str(), num_threads(), num_threads() == 1 ? "" : "s");
    if (parallel)
        std::printf("%lld shards on %d rank%s (%s), sharding %s\n", static_cast<long long>(options.shards),
                    parallel->world().size(), parallel->world().size() == 1 ? "" : "s",
                    parallel->world().engine().c_str(), options.shard.c_str());
    if (options.resuming()) std::printf("resumed at step %lld\n", static_cast<long long>(step));
    std::fflush(stdout);
}

bool has_line(const std::vector<Record>& records, int64_t step, const std::string& field) {
    return std::any_of(records.rbegin(), records.rend(), [&](const Record& r) {
        return r.find(field) && r.number("step") == static_cast<double>(step);
    });
}

void write_status(const RunFolder& folder, const std::string& state, int64_t step, int64_t steps,
                  const RunClock& clock) {
    write_status(folder.file("status.json"), {state, step, steps, clock});
}

void add_run_tiles(std::vector<Tile>& tiles, const RunClock& clock, int64_t steps, int64_t peak_bytes) {
    tiles.push_back({"time", human_time(clock.seconds), std::to_string(steps) + " steps"});
    if (clock.speed() > 0)
        tiles.push_back({"speed", human_count(clock.speed()) + "/s", "pictures in training"});
    tiles.push_back({"peak memory", human_bytes(static_cast<double>(peak_bytes)), "tensors"});
}

Watch watch_of(Progress& progress, const StopSignals& stop, const std::string& note) {
    return [&progress, &stop, note](int64_t done, int64_t total) {
        progress.working(note, done, total);
        if (stop.requested()) throw Interrupted{};
    };
}

std::string overflow_text(const GradScaler& scaler, int64_t steps, double last_loss) {
    const bool most = steps >= 20 && scaler.skipped() * 2 > steps;
    if (std::isfinite(last_loss) && !most) return "";
    return "training failed: the last loss is " + significant(last_loss) + ", and " +
           std::to_string(scaler.skipped()) + " of " + std::to_string(steps) +
           " steps were skipped because a gradient was not finite; --precision bf16 or f32, or a lower --lr, "
           "help";
}

int end_run(const RunFolder& folder, const TrainOptions& options, int stopped, const std::string& failure,
            const RunStatus& status, double accuracy) {
    RunStatus end = status;
    end.state = stopped != 0 ? "interrupted" : failure.empty() ? "finished" : "failed";
    write_status(folder.file("status.json"), end);
    std::fflush(stdout);
    if (stopped != 0) return 128 + stopped;
    std::string text = failure;
    if (text.empty() && options.expect_accuracy >= 0 && !(accuracy >= options.expect_accuracy))
        text = "accuracy " + percent(accuracy) + " is below the expected " + percent(options.expect_accuracy);
    if (!text.empty() && launched_rank() == 0) std::fprintf(stderr, "%s\n", text.c_str());
    return text.empty() ? 0 : 1;
}

StepTrace::StepTrace(std::string path) : path_(launched_rank() == 0 ? std::move(path) : "") {
    if (path_.empty()) return;
    make_parent_folders(path_);
    const AtomicFile probe(path_);  // better refused now than after the steps
    start_profile();
}

StepTrace::~StepTrace() {
    if (!path_.empty()) stop_profile();
}

void StepTrace::step_done(Progress& progress, bool last) {
    if (path_.empty() || (++steps_ < 20 && !last)) return;
    const std::string path = std::exchange(path_, "");
    const Profile profile = stop_profile();
    profile.write_trace(path);
    progress.message("trace of " + std::to_string(steps_) + " steps: " + path + "\n" + profile.table());
}

Series series(const std::vector<Record>& records, const std::string& label, const std::string& field,
              bool smooth) {
    Columns c = columns(records, "step", field);
    return {label, std::move(c.x), std::move(c.y), smooth};
}

}  // namespace demi::examples
