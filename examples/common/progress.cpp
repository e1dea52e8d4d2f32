#include "examples/common/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "examples/common/format.h"
#include "examples/common/text.h"

namespace demi::examples {
namespace {

constexpr double kDrawSeconds = 0.1;
constexpr double kRateSeconds = 5;  // older steps count less and less in images/s

double seconds_between(std::chrono::steady_clock::time_point a, std::chrono::steady_clock::time_point b) {
    return std::chrono::duration<double>(b - a).count();
}

bool environment_set(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0';
}

bool utf8_locale() {
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        if (!environment_set(name)) continue;
        const char* value = std::getenv(name);
        return std::strstr(value, "UTF-8") || std::strstr(value, "utf8") || std::strstr(value, "UTF8") ||
               std::strstr(value, "utf-8");
    }
    return false;
}

}  // namespace

Progress::Progress(const ProgressOptions& options) : options_(options), begin_(Clock::now()) {
    const char* term = std::getenv("TERM");
    terminal_ = ::isatty(::fileno(options_.out)) && term != nullptr && std::strcmp(term, "dumb") != 0;
    colour_ = terminal_ && !environment_set("NO_COLOR");
    unicode_ = utf8_locale();
    last_draw_ = last_working_ = begin_;
}

Progress::~Progress() {
    state_.read = nullptr;  // what it reads may be gone
    finish();
}

RunClock Progress::clock() const {
    return {earlier_.seconds + seconds_between(begin_, Clock::now()), earlier_.training + here_.training,
            earlier_.images + here_.images};
}

// Asked for every line drawn, so a window that changes its size needs no signal handler.
int Progress::terminal_width() const {
    winsize size = {};
    if (::ioctl(::fileno(options_.out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return 80;
}

void Progress::put(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), options_.out);
    std::fflush(options_.out);
}

void Progress::measure(const ProgressState& state, Clock::time_point now) {
    if (!started_ || state.step < state_.step) {
        started_ = true;
        first_step_ = state.step;
        first_time_ = now;
    } else if (!paused_ && state.images > state_.images) {
        const double passed = seconds_between(last_update_, now);
        here_.training += passed;
        here_.images += state.images - state_.images;
        const double keep = std::exp(-passed / kRateSeconds);
        rate_weight_ = rate_weight_ * keep + passed;
        rate_images_ = rate_images_ * keep + static_cast<double>(state.images - state_.images);
        if (rate_weight_ > 0) images_per_second_ = rate_images_ / rate_weight_;
    }
    paused_ = false;
    last_update_ = now;
}

void Progress::update(const ProgressState& state) {
    const Clock::time_point now = Clock::now();
    const bool first = !started_;
    measure(state, now);
    state_ = state;
    state_.images_per_second = images_per_second_;
    // Time left from the whole run so far: tests and checkpoints on the way will happen again.
    const int64_t steps = state.step - first_step_;
    if (steps > 0 && state.total >= state.step)
        state_.seconds_left = seconds_between(first_time_, now) / static_cast<double>(steps) *
                              static_cast<double>(state.total - state.step);
    stale_ = true;
    const double since = seconds_between(last_draw_, now);
    const bool last = state.total > 0 && state.step >= state.total;
    const bool due = terminal_                  ? since >= kDrawSeconds
                     : options_.plain_steps > 0 ? state.step % options_.plain_steps == 0
                                                : since >= options_.plain_seconds;
    if (first || last || due) draw();
}

void Progress::draw() {
    if (!started_) return;
    if (const auto read = std::exchange(state_.read, nullptr)) read(state_);
    if (terminal_) {
        // One write, line first and the rest of the row erased after it: nothing flickers.
        put("\r" + terminal_line(state_, {terminal_width(), colour_, unicode_}) + "\x1b[K");
        line_open_ = true;
    } else {
        put(plain_line(state_) + "\n");
    }
    last_draw_ = Clock::now();
    stale_ = false;
}

void Progress::pause(const std::string& note) {
    paused_ = true;
    if (!terminal_ || !started_) return;
    state_.note = note;
    draw();
}

void Progress::working(const std::string& note, int64_t done, int64_t total) {
    paused_ = true;
    const Clock::time_point now = Clock::now();
    const double since = seconds_between(std::max(last_draw_, last_working_), now);
    if (since < (terminal_ ? kDrawSeconds : options_.plain_seconds)) return;
    last_working_ = now;
    const std::string text = note + " " + percent(static_cast<double>(done) / static_cast<double>(total));
    if (!terminal_) {
        put(text + "\n");
    } else if (started_) {
        state_.note = text;
        draw();
    } else {
        put("\r" + text + "\x1b[K");
        line_open_ = true;
    }
}

void Progress::message(const std::string& text) {
    put((line_open_ ? "\r\x1b[K" : "") + valid_utf8(text) + "\n");
    if (!line_open_) return;
    line_open_ = started_;
    draw();
}

void Progress::warning(const std::string& text) {
    message((colour_ ? "\x1b[33mwarning:\x1b[0m " : "warning: ") + text);
}

void Progress::finish() {
    if (started_ && (stale_ || (terminal_ && !state_.note.empty()))) {
        state_.note.clear();
        draw();
    }
    if (line_open_) put("\n");
    line_open_ = started_ = false;
    state_ = {};
    rate_weight_ = rate_images_ = 0;
}

}  // namespace demi::examples
