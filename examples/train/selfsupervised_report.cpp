#include <cstdio>

#include "examples/common/environment.h"
#include "examples/common/format.h"
#include "examples/train/model_file.h"
#include "examples/train/selfsupervised_run.h"
#include "examples/train/testing.h"
#include "models/checkpoint.h"
#include "runtime/allocator.h"

namespace demi::examples {

void SelfSupervised::report() {
    // Before the report's own pictures go through.
    const std::vector<demi::BoundaryRow> counters = boundary_totals(world_);
    const auto whole = whole_teacher();
    if (world_.rank() != 0) return;
    write_safetensors(folder_->file("teacher.safetensors"), state_dict(model_->teacher_parameters()),
                      model_metadata(kProgram, model_->config().backbone, data_.stats));
    const std::vector<Record> records = read_metrics(folder_->file("metrics.jsonl"));
    const DinoVisionTransformer& model = model_->teacher_backbone();
    const RunClock clock = progress_.clock();
    const SslScores& scores = scores_.full().measured() ? scores_.full() : scores_.quick();
    Report r;
    r.title = "DINOv2 on " + (options_.data.empty() ? std::string("drawn figures") : options_.data);
    r.subtitle = describe(model.config()) + ", " + options_.precision + ", boundary " + options_.boundary;
    const int stopped = signal_.of(*stop_);
    r.status = stopped != 0 ? "stopped by " + signal_name(stopped) + " at step " + std::to_string(step_)
               : failure().empty() ? "finished"
                                   : "failed";
    r.tiles = ssl_tiles(scores, clock, step_, allocator_stats(device_).peak_bytes);
    r.charts = ssl_charts(records, scores_.quick(), options_.prototypes);
    if (options_.local_crops > 0) r.notes = ssl_notes(records, options_.prototypes);
    if (!failure().empty()) r.notes.push_back(failure());
    if (captured_) r.notes.push_back(kNotCounted);
    r.boundary = boundary_rows(counters);
    r.attention = attention_of(model, data_.shown(), data_.stats, device_);
    r.pca = pca_pictures(model, data_.shown(), data_.stats, device_);
    r.config = options_.record();
    r.environment = environment();
    write_report(folder_->file("report.html"), r);
    if (options_.boundary_report) std::printf("%s", boundary_report(counters).c_str());
    const std::string summary = ssl_summary(scores);
    std::printf("%s%s, report %s\n", summary.empty() ? "" : (summary + ", ").c_str(),
                human_time(clock.seconds).c_str(), folder_->file("report.html").c_str());
}

}  // namespace demi::examples
