#include "examples/common/compare.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "examples/common/files.h"
#include "examples/common/format.h"
#include "examples/common/metrics.h"
#include "examples/common/run_status.h"
#include "runtime/check.h"

namespace demi::examples {
namespace {

// The curves that are drawn, where a run has them: field, title, share or not, smooth or not.
struct Curves {
    const char *field, *title;
    bool share, smooth;
};
constexpr Curves kCurves[] = {
    {"loss", "Training loss", false, true},          {"test_loss", "Test loss", false, false},
    {"val_loss", "Validation loss", false, false},   {"train_accuracy", "Training accuracy", true, false},
    {"test_accuracy", "Test accuracy", true, false}, {"val_accuracy", "Validation accuracy", true, false},
    {"knn", "k-NN accuracy", true, false},           {"lr", "Learning rate", false, false},
    {"grad_norm", "Gradient norm", false, true}};

std::string last_and_best(const std::vector<double>& y, bool share, bool high) {
    const auto text = [share](double v) { return share ? percent(v) : significant(v); };
    double best = NAN;
    for (const double v : y)
        if (!std::isnan(v) && (std::isnan(best) || (high ? v > best : v < best))) best = v;
    return std::isnan(best) ? "–" : text(y.back()) + " (best " + text(best) + ")";
}

std::vector<std::string> option_names(const std::vector<RunSummary>& runs) {
    std::vector<std::string> names;
    for (const RunSummary& run : runs)
        for (const auto& [name, value] : run.options.fields())
            if (name != "out" && std::find(names.begin(), names.end(), name) == names.end())
                names.push_back(name);
    return names;
}

}  // namespace

RunSummary read_run(const std::string& path) {
    const std::string config = path + "/config.json";
    check(exists(config), "compare", path, " holds no run: there is no ", config);
    const auto there = parse_record(read_text(config));
    const auto options = there ? parse_record(there->text("options")) : std::nullopt;
    check(options.has_value(), "compare", config, " is not a run's configuration");
    RunSummary run{path, there->text("program"), "", *options, {}, 0};
    if (exists(path + "/metrics.jsonl")) run.metrics = read_metrics(path + "/metrics.jsonl");
    const RunStatus status = read_status(path + "/status.json");
    run.state = status.state;
    run.seconds = status.clock.seconds;
    return run;
}

Report compare_runs(std::vector<RunSummary> runs) {
    Report report;
    report.title = "Comparison of " + std::to_string(runs.size()) + " runs";
    Table results{"results", "Results", {""}, {{"steps"}, {"state"}, {"time"}}};
    for (const RunSummary& run : runs) {
        report.subtitle += (report.subtitle.empty() ? "" : ", ") + run.name;
        results.columns.push_back(run.name);
        const double steps = run.metrics.empty() ? 0 : run.metrics.back().number("step");
        results.rows[0].push_back(significant(steps, 9));
        results.rows[1].push_back(run.state.empty() ? "–" : run.state);
        results.rows[2].push_back(run.seconds > 0 ? human_time(run.seconds) : "–");
    }
    for (const Curves& curves : kCurves) {
        Chart chart;
        chart.title = curves.title;
        chart.percent = curves.share;
        chart.log_option = !curves.share;
        std::vector<std::string> row{curves.title};
        for (const RunSummary& run : runs) {
            Columns c = columns(run.metrics, "step", curves.field);
            row.push_back(last_and_best(c.y, curves.share, curves.share));
            if (!c.x.empty())
                chart.series.push_back({run.name, std::move(c.x), std::move(c.y), curves.smooth});
        }
        if (chart.series.empty()) continue;
        report.charts.push_back(std::move(chart));
        if (std::string(curves.field) != "lr" && std::string(curves.field) != "grad_norm")
            results.rows.push_back(std::move(row));
    }
    Table differ{"differences", "Settings that differ", results.columns, {}};
    for (const std::string& name : option_names(runs)) {
        std::vector<std::string> row{name};
        for (const RunSummary& run : runs) {
            const Value* value = run.options.find(name);
            row.push_back(value == nullptr || to_text(*value).empty() ? "–" : to_text(*value));
        }
        if (std::any_of(row.begin() + 2, row.end(), [&](const auto& cell) { return cell != row[1]; }))
            differ.rows.push_back(std::move(row));
    }
    report.tables = {std::move(results), std::move(differ)};
    if (report.tables[1].rows.empty()) report.notes.push_back("All settings are the same.");
    return report;
}

}  // namespace demi::examples
