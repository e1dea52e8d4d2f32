#pragma once

// The text of one progress line, as pure functions: what Progress draws.

#include <cstdint>
#include <functional>
#include <limits>
#include <string>

namespace demi::examples {

struct ProgressState {
    static constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

    int64_t step = 0, total = 0;    // total 0: not known, no bar
    int64_t epoch = 0, epochs = 0;  // shown when epochs > 0
    int64_t images = 0;             // seen by this process so far; the rate comes from it
    double loss = kUnknown;         // fields are left out while kUnknown; a NaN that was computed: has_loss
    double accuracy = kUnknown;     // 0..1
    double score = kUnknown;        // 0..1, of the last evaluation
    const char* score_name = "val";
    double lr = kUnknown;
    bool has_loss = false;
    double images_per_second = kUnknown;  // filled by Progress
    double seconds_left = kUnknown;       // filled by Progress
    std::string note;                     // "testing", "saving"
    // Fills in what costs something to know; called before the state is drawn, if it is.
    std::function<void(ProgressState&)> read{};
};

struct LineStyle {
    int width = 80;       // columns of the terminal; the line leaves the last one free
    bool colour = false;  // ANSI colours
    bool unicode = true;  // a bar of box characters, else of # and -
};

// Never wider than style.width - 1 columns (colours not counted): fields are dropped from the least important
// on, the bar takes what is left.
std::string terminal_line(const ProgressState& state, const LineStyle& style);

// step 120/500 epoch 2/5 loss 0.4321 acc 91.2 % lr 0.0003 812 img/s 1 m 02 s left
std::string plain_line(const ProgressState& state);

}  // namespace demi::examples
