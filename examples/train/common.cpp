#include "examples/train/common.h"

#include <cmath>
#include <cstdio>
#include <utility>

#include "examples/common/device.h"
#include "examples/common/environment.h"
#include "examples/common/format.h"
#include "examples/common/text.h"
#include "examples/train/classifier.h"
#include "runtime/atomic_file.h"
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
    d.opened = data::open_dataset(options.data, open);
    check(unlabelled || d.opened.labelled, "data", "'", options.data,
          "' holds pictures without classes, this training needs labels");
    check(unlabelled || d.opened.train->classes().size() > 1, "data", "'", options.data,
          "' holds only the class '", d.opened.train->classes().front(),
          "', this training needs two or more");
    check(d.opened.test != nullptr, "data", "'", options.data, "' leaves no pictures to test on");
    check(d.opened.train->height() == d.opened.train->width(), "data", "needs square pictures: got ",
          d.opened.train->height(), " x ", d.opened.train->width());
    const auto limit = [](int64_t have, int64_t most) { return most > 0 ? std::min(have, most) : have; };
    d.train_count = limit(d.opened.train->size(), options.train_images);
    d.test_count = limit(d.opened.test->size(), options.test_images);
    d.stats = data::channel_stats(*d.opened.train);
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
    config.environment = environment();
    config.environment.add("device", name(device));
    config.may_change = TrainOptions::may_change_on_resume();
    const RunStart start = options.resume      ? RunStart::resume
                           : options.overwrite ? RunStart::overwrite
                                               : RunStart::fresh;
    return std::make_unique<RunFolder>(options.out, start, config);
}

MetricsWriter open_metrics(const RunFolder& folder, const TrainOptions& options, int64_t step) {
    const std::string path = folder.file("metrics.jsonl");
    return options.resume ? MetricsWriter(path, step) : MetricsWriter(path);
}

StepOutcome take_step(Optimizer& optimizer, GradScaler& scaler, const StepRates& rates, int64_t step,
                      double loss) {
    constexpr int64_t kSkipLimit = 20;
    bool taken = false;
    {
        const ProfileScope scope("optimizer");
        taken = scaler.step(optimizer, rates);
    }
    optimizer.zero_grad();
    check(taken || scaler.enabled(), "train", "the gradient is not finite at step ", step, " (loss ", loss,
          "); set DEMI_DETECT_ANOMALY=1 to see which operation makes the first NaN or infinity");
    check(scaler.skipped_in_a_row() < kSkipLimit, "train", kSkipLimit,
          " steps in a row overflowed; the loss scale is ", scaler.scale(), ", the loss ", loss);
    return optimizer.outcome();
}

void print_header(const TrainOptions& options, const TrainData& data, const ViTConfig& model,
                  int64_t parameters, Device device, int64_t step) {
    const data::DataSet& set = *data.opened.train;
    std::printf("%s data: %s train and %s test pictures of %lld x %lld, %zu class%s\n",
                data.opened.kind.c_str(), grouped(data.train_count).c_str(), grouped(data.test_count).c_str(),
                static_cast<long long>(set.height()), static_cast<long long>(set.width()),
                set.classes().size(), set.classes().size() == 1 ? "" : "es");
    for (const std::string& name : data.opened.skipped)
        std::printf("skipped: no .png or .jpg file in folder '%s'\n", valid_utf8(name).c_str());
    std::printf("%s, %s parameters, %s, boundary %s, on %s with %d thread%s\n", describe(model).c_str(),
                human_count(static_cast<double>(parameters)).c_str(), options.precision.c_str(),
                options.boundary.c_str(), name(device).c_str(), num_threads(), num_threads() == 1 ? "" : "s");
    if (options.resume) std::printf("resumed at step %lld\n", static_cast<long long>(step));
    std::fflush(stdout);
}

int expectation_status(const TrainOptions& options, double accuracy) {
    if (options.expect_accuracy < 0 || accuracy >= options.expect_accuracy) return 0;
    std::fflush(stdout);
    std::fprintf(stderr, "accuracy %s is below the expected %s\n", percent(accuracy).c_str(),
                 percent(options.expect_accuracy).c_str());
    return 1;
}

StepTrace::StepTrace(std::string path) : path_(std::move(path)) {
    if (path_.empty()) return;
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
