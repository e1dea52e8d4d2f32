#include <cstdio>

#include "examples/common/environment.h"
#include "examples/common/format.h"
#include "examples/train/model_file.h"
#include "examples/train/supervised_run.h"
#include "models/checkpoint.h"
#include "runtime/allocator.h"

namespace demi::examples {

std::string Supervised::ending() const {
    if (const int stopped = signal_.of(*stop_))
        return "stopped by " + signal_name(stopped) + " at step " + std::to_string(step_);
    if (step_ < total_)
        return "stopped at step " + std::to_string(step_) + ": no better " + held_ + " accuracy in " +
               std::to_string(vain_tests_) + " epochs";
    return failure().empty() ? "finished" : "failed";
}

void Supervised::load_best() {
    const std::string path = folder_->file("best.safetensors");
    if (parallel_)
        return load_model(path, options_.ema > 0 ? *parallel_->average() : parallel_->model(), world_);
    load_state_dict(options_.ema > 0 ? average_parameters_ : parameters_, SafetensorsFile(path));
}

// The test that the report shows: of the test part where there is a validation part besides, and then of the
// best parameters where they were kept.
void Supervised::last_test() {
    const bool both = data_.opened.final_test != nullptr;
    if (!both && tested_at_ == step_) return;
    if (both && options_.keep_best && best_ >= 0 && best_step_ != step_) load_best();
    const Watch watch = [&](int64_t done, int64_t total) { progress_.working("testing", done, total); };
    tested_ = tested_on(both ? *data_.opened.final_test : *data_.opened.test, watch);
    tested_at_ = step_;
    // The line of an unbroken run, in the file of one that was resumed: only at the end.
    if (both && step_ == total_ &&
        !has_line(read_metrics(folder_->file("metrics.jsonl")), step_, "test_accuracy"))
        metrics_->write(Record()
                            .add("step", step_)
                            .add("epoch", epoch())
                            .add("test_loss", tested_->loss)
                            .add("test_accuracy", tested_->accuracy));
}

void Supervised::report() {
    const Classifier& model = options_.ema > 0 ? average_ : model_;
    const std::vector<demi::BoundaryRow> counters = boundary_totals(world_);
    const auto whole = whole_model();
    if (world_.rank() != 0) return;
    write_safetensors(folder_->file("model.safetensors"), state_dict(parameters_of(tested_model())), facts());
    const std::vector<Record> records = read_metrics(folder_->file("metrics.jsonl"));
    Report r;
    r.title =
        "Vision transformer on " + (options_.data.empty() ? std::string("drawn figures") : options_.data);
    r.subtitle =
        describe(model.backbone.config()) + ", " + options_.precision + ", boundary " + options_.boundary;
    r.status = ending();
    if (!failure().empty()) r.notes.push_back(failure());
    const bool both = data_.opened.final_test != nullptr;
    const data::DataSetPtr& pictures = both ? data_.opened.final_test : data_.opened.test;
    r.tiles = {{"test accuracy", percent(tested_->accuracy), grouped(pictures->size()) + " pictures"},
               {"test loss", significant(tested_->loss), ""},
               {"parameters", human_count(static_cast<double>(parameters_in_all_)), ""}};
    if (both && best_ >= 0)
        r.tiles.insert(r.tiles.begin() + 1, {"best validation accuracy", percent(best_),
                                             "epoch " + std::to_string(best_step_ / per_epoch_)});
    const RunClock clock = progress_.clock();
    add_run_tiles(r.tiles, clock, step_, allocator_stats(device_).peak_bytes);
    r.charts = {{"Loss",
                 "step",
                 {series(records, "train", "loss", true), series(records, held_, held_ + "_loss", false)},
                 {},
                 false,
                 true},
                {"Accuracy",
                 "step",
                 {series(records, "train", "train_accuracy", false),
                  series(records, held_, held_ + "_accuracy", false)},
                 {},
                 true,
                 false},
                {"Learning rate", "step", {series(records, "rate", "lr", false)}, {}, false, false},
                {"Gradient norm", "step", {series(records, "norm", "grad_norm", true)}, {}, false, true}};
    if (captured_) r.notes.push_back(kNotCounted);
    r.confusion = tested_->confusion;
    r.samples = samples_of(*tested_, *pictures);
    r.attention = attention_of(model.backbone, pictures, data_.stats, device_);
    r.boundary = boundary_rows(counters);
    r.config = options_.record();
    r.environment = environment();
    write_report(folder_->file("report.html"), r);
    if (options_.boundary_report) std::printf("%s", boundary_report(counters).c_str());
    if (options_.keep_best && best_ >= 0)
        std::printf("best %s accuracy %s, in epoch %lld: %s\n", held_.c_str(), percent(best_).c_str(),
                    static_cast<long long>((best_step_ + per_epoch_ - 1) / per_epoch_),
                    folder_->file("best.safetensors").c_str());
    std::printf("test accuracy %s (%s), %s, report %s\n", percent(tested_->accuracy).c_str(),
                signal_.of(*stop_) != 0 ? "stopped early" : "finished", human_time(clock.seconds).c_str(),
                folder_->file("report.html").c_str());
}

}  // namespace demi::examples
