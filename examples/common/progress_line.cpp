#include "examples/common/progress_line.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "examples/common/format.h"
#include "examples/common/text.h"

namespace demi::examples {
namespace {

struct Field {
    std::string text;
    int rank;  // 0 is kept longest
};

std::string of_total(int64_t part, int64_t total) {
    return std::to_string(part) + (total > 0 ? "/" + std::to_string(total) : "");
}

std::string fixed_loss(double loss) {
    const double size = std::fabs(loss);
    if (!std::isfinite(loss) || (size > 0 && size < 1e-3) || size >= 1000) return significant(loss, 3);
    char text[32];
    std::snprintf(text, sizeof text, size < 1 ? "%.4f" : size < 100 ? "%.3f" : "%.1f", loss);
    return text;
}

// Fields in the order in which they are shown, after the bar.
std::vector<Field> fields(const ProgressState& s) {
    std::vector<Field> out;
    out.push_back({of_total(s.step, s.total), 0});
    if (!s.note.empty()) out.push_back({valid_utf8(s.note), 1});
    if (s.has_loss || !std::isnan(s.loss)) out.push_back({"loss " + fixed_loss(s.loss), 2});
    if (!std::isnan(s.accuracy)) out.push_back({"acc " + percent(s.accuracy), 5});
    if (!std::isnan(s.score)) out.push_back({std::string(s.score_name) + " " + percent(s.score), 3});
    if (!std::isnan(s.lr)) out.push_back({"lr " + significant(s.lr, 2), 8});
    if (!std::isnan(s.images_per_second)) out.push_back({human_count(s.images_per_second) + " img/s", 7});
    if (!std::isnan(s.seconds_left) && s.step != s.total)
        out.push_back({human_time(std::max(std::ceil(s.seconds_left), 1.0)) + " left", 4});
    return out;
}

constexpr int kGap = 2;
constexpr int kSmallestBar = 8, kLargestBar = 30;

int width_of(const std::vector<Field>& list) {
    int width = 0;
    for (const Field& f : list) width += (width > 0 ? kGap : 0) + display_width(f.text);
    return width;
}

void drop_least_important(std::vector<Field>& list) {
    const auto by_rank = [](const Field& a, const Field& b) { return a.rank < b.rank; };
    list.erase(std::max_element(list.begin(), list.end(), by_rank));
}

std::string repeated(const char* text, int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += text;
    return out;
}

std::string bar(const ProgressState& s, int columns, const LineStyle& style) {
    const double part = std::clamp(static_cast<double>(s.step) / static_cast<double>(s.total), 0.0, 1.0);
    const int full = static_cast<int>(part * columns);
    const char* done = style.unicode ? "━" : "#";
    const char* rest = style.unicode ? "─" : "-";
    const std::string left = repeated(done, full), right = repeated(rest, columns - full);
    return style.colour ? "\x1b[36m" + left + "\x1b[0;2m" + right + "\x1b[0m" : left + right;
}

}  // namespace

std::string terminal_line(const ProgressState& state, const LineStyle& style) {
    const int room = std::max(style.width - 1, 0);
    std::vector<Field> head, tail = fields(state);
    if (state.epochs > 0) head.push_back({"epoch " + of_total(state.epoch, state.epochs), 6});
    // The epoch stands before the bar but is dropped in its turn with the others.
    const auto needed = [&] { return width_of(head) + (head.empty() ? 0 : kGap) + width_of(tail); };
    const bool has_bar = state.total > 0;
    const auto worst = [&] {
        int rank = 0;
        for (const Field& f : tail) rank = std::max(rank, f.rank);
        return rank;
    };
    // The bar gives way before the loss does.
    const auto bar_room = [&] { return has_bar && worst() > 2 ? kSmallestBar + kGap : 0; };
    while (tail.size() > 1 && needed() + bar_room() > room) {
        if (!head.empty() && head[0].rank > worst())
            head.clear();
        else
            drop_least_important(tail);
    }
    std::string line;
    for (const Field& f : head) line += f.text + std::string(kGap, ' ');
    const int left = room - needed() - kGap;
    if (has_bar && left >= kSmallestBar)
        line += bar(state, std::min(left, kLargestBar), style) + std::string(kGap, ' ');
    for (size_t i = 0; i < tail.size(); ++i) line += (i > 0 ? std::string(kGap, ' ') : "") + tail[i].text;
    // Only a line that is too long even without its bar, so without colours, comes to this.
    if (needed() > room) line = clip_to_width(line, room);
    return line;
}

std::string plain_line(const ProgressState& state) {
    std::string line = "step " + of_total(state.step, state.total);
    if (state.epochs > 0) line += " epoch " + of_total(state.epoch, state.epochs);
    const std::vector<Field> list = fields(state);
    for (size_t i = 1; i < list.size(); ++i) line += " " + list[i].text;
    return line;
}

}  // namespace demi::examples
