#pragma once

// report.html: one file with everything in it (style, script, pictures; nothing is fetched), to
// be opened in a browser. Fill what you have; a section without data is left out. All text may
// hold anything, it is escaped.

#include <cstdint>
#include <string>
#include <vector>

#include "examples/common/picture.h"
#include "examples/common/record.h"

namespace demi::examples {

struct Tile {
    std::string label, value, detail;  // "test accuracy", "97.4 %", "epoch 5 of 5"
};

struct Series {
    std::string name;
    std::vector<double> x, y;  // NaN and inf leave a gap and are counted below the chart
    bool smooth = false;       // a running mean over the raw values, which stay behind it in a faint line
};

struct Chart {
    struct Level {
        std::string name;  // "raw pixels"
        double y = 0;
    };
    std::string title, x_label = "step";
    std::vector<Series> series;
    std::vector<Level> levels;  // dashed horizontal lines to compare with
    bool percent = false;       // y is a fraction, shown as 0..100 %
    bool log_option = false;    // offer a logarithmic y axis
};

struct Confusion {
    std::vector<std::string> classes;
    std::vector<int64_t> counts;  // counts[truth * classes.size() + predicted]
};

struct Sample {
    Picture picture;
    std::string truth, predicted;
    double confidence = 0;  // probability of `predicted`
    std::string name;       // file, or index; shown on hover
    bool correct() const { return truth == predicted; }
};

struct AttentionPicture {
    Picture picture;
    std::string caption;
    int rows = 0, columns = 0;              // patches
    std::vector<std::vector<float>> heads;  // [head][row * columns + column]
};

struct PcaPicture {
    Picture picture;
    std::string caption;
    int rows = 0, columns = 0;  // patches
    std::vector<float> rgb;     // [row * columns + column][3], 0..1: see pca.h
};

struct BoundaryRow {
    std::string site;       // "blocks.3.attn"
    std::string operand;    // "q", "grad out"
    std::string direction;  // "forward", "backward"
    std::string dtype;      // of the caller
    int64_t elements = 0, to_inf = 0, nan = 0, to_zero = 0, subnormal = 0;
    double amax = 0;  // largest finite magnitude before the cast
};

struct Table {
    std::string id, heading;
    std::vector<std::string> columns;
    std::vector<std::vector<std::string>> rows;  // the first cell names the row
};

constexpr size_t kMostMistakes = 24, kMostRight = 12;

struct Report {
    std::string title, subtitle;
    std::string status;              // "finished", "stopped by SIGINT at step 120"
    std::vector<std::string> notes;  // warnings to the reader, shown at the top
    std::vector<Tile> tiles;
    std::vector<Chart> charts;
    std::vector<Table> tables;
    Confusion confusion;
    std::vector<Sample>
        samples;  // shown: kMostMistakes, the surest first, and kMostRight, the least sure first
    std::vector<AttentionPicture> attention;
    std::vector<PcaPicture> pca;
    std::vector<BoundaryRow> boundary;
    Record config, environment;
};

std::string report_html(const Report& report);

// Atomic: the old report or the new one, never half of it.
void write_report(const std::string& path, const Report& report);

}  // namespace demi::examples
