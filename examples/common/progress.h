#pragma once

// Progress of a training run. On a terminal: one line, rewritten in place at most ten times a second and
// never wider than the window. Elsewhere (pipe, file, TERM=dumb): one plain line per interval. The cursor is
// never hidden, so nothing has to be put back when the process dies. NO_COLOR switches colours off.

#include <chrono>
#include <cstdio>
#include <string>

#include "examples/common/progress_line.h"
#include "examples/common/run_status.h"
#include "runtime/non_copyable.h"

namespace demi::examples {

struct ProgressOptions {
    std::FILE* out = stdout;
    double plain_seconds = 5;  // between plain lines
    int64_t plain_steps = 0;   // when above 0: a plain line every so many steps instead
};

class Progress : NonCopyable {
  public:
    explicit Progress(const ProgressOptions& options = {});
    ~Progress();  // finish()

    // Call once per step; draws when it is time, and always for the first and the last step.
    void update(const ProgressState& state);

    // Shows `note` at once; the time until the next update() does not count for
    // images/s. For testing and saving.
    void pause(const std::string& note);

    // pause() with what is done of a whole, also before the first update(). In a pipe
    // a line every now and then.
    void working(const std::string& note, int64_t done, int64_t total);

    // Whole lines above the bar, or plain ones in a pipe.
    void message(const std::string& text);
    void warning(const std::string& text);

    // Draws the last state and ends the line. Further updates begin a new one.
    void finish();

    double images_per_second() const { return images_per_second_; }  // smoothed; NaN before the second step

    // A resumed run counts on from where the earlier processes were.
    void count_from(const RunClock& earlier) { earlier_ = earlier; }
    RunClock clock() const;  // of the whole run
    bool on_terminal() const { return terminal_; }

  private:
    using Clock = std::chrono::steady_clock;

    void measure(const ProgressState& state, Clock::time_point now);
    void draw();
    void put(const std::string& text);
    int terminal_width() const;

    ProgressOptions options_;
    bool terminal_ = false, colour_ = false, unicode_ = false;
    ProgressState state_;
    bool started_ = false, paused_ = false, line_open_ = false, stale_ = false;
    Clock::time_point begin_, last_update_, last_draw_, last_working_;
    double images_per_second_ = ProgressState::kUnknown;
    RunClock earlier_, here_;
    double rate_weight_ = 0, rate_images_ = 0;
    int64_t first_step_ = 0;
    Clock::time_point first_time_;
};

}  // namespace demi::examples
