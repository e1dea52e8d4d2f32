// The ledger of the boundary: what was lost, per call site.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <map>
#include <mutex>
#include <tuple>

#include "ops/boundary/crossing.h"
#include "ops/boundary/pending_counts.h"
#include "runtime/capture.h"

namespace demi {
namespace {

using Key = std::tuple<std::string, std::string, Direction, std::string>;

// A line whose counters are all pending has no calls yet.
struct Ledger {
    std::mutex mutex;
    std::map<Key, size_t> index;
    std::vector<BoundaryRow> rows;
    std::vector<PendingRow> pending;
    uint64_t resets = 0;
    std::mutex reading;  // taken first: one thread at a time reads what is pending
};

Ledger& ledger() {
    static Ledger all;
    return all;
}

void add_call(BoundaryRow& row, const CastCounters& crossed, int k) {
    CastCounters more = crossed;
    more.amax = std::ldexp(more.amax, -k);
    row.min_exponent = row.calls == 0 ? k : std::min(row.min_exponent, k);
    row.max_exponent = row.calls == 0 ? k : std::max(row.max_exponent, k);
    ++row.calls;
    merge(row.counters, more);
}

// Reads what is pending. Operators of other threads go on meanwhile.
void read_pending(Ledger& all) {
    const std::lock_guard reading(all.reading);
    std::vector<PendingRow> late;
    uint64_t resets = 0;
    {
        const std::lock_guard lock(all.mutex);
        if (all.pending.empty()) return;
        check(!capturing(), "boundary", "a captured step cannot read the counters of its device");
        late.swap(all.pending);
        resets = all.resets;
    }
    settle(late);
    const std::lock_guard lock(all.mutex);
    if (resets != all.resets) return;
    for (const PendingRow& row : late)
        if (row.counters.elements > 0) add_call(all.rows[row.line], row.counters, row.k);
}

std::atomic<bool> counting{true};

std::string printed(const char* format, double x) {
    char text[32];
    std::snprintf(text, sizeof text, format, x);
    return text;
}

// "12 (0.3%)". Without exponents; 0% and 100% mean none and all.
std::string share(int64_t part, int64_t whole) {
    if (part == 0) return "0";
    const double percent = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
    std::string text = printed(percent < 10 ? "%.2g" : "%.0f", percent);
    if (percent < 0.001) text = "<0.001";
    if (percent > 99 && part < whole) text = ">99";
    return std::to_string(part) + " (" + text + "%)";
}

// Three digits, or all of a whole number's below ten million.
std::string number(double x) { return printed(x >= 999.5 && x < 9999999.5 ? "%.0f" : "%.3g", x); }

constexpr size_t kColumns = 11;
using Line = std::array<std::string, kColumns>;

Line line_of(const BoundaryRow& row) {
    const CastCounters& c = row.counters;
    std::string scale = "2^" + std::to_string(row.min_exponent);
    if (row.max_exponent != row.min_exponent) scale += "..2^" + std::to_string(row.max_exponent);
    return {row.site.empty() ? row.op : row.site + " " + row.op,
            std::string(name(row.direction)),
            row.operand,
            std::to_string(row.calls),
            std::to_string(c.elements),
            share(c.to_inf, c.elements),
            share(c.nan, c.elements),
            share(c.to_zero, c.elements),
            share(c.subnormal, c.elements),
            number(c.amax),
            row.direction == Direction::backward ? scale : ""};
}

}  // namespace

void set_boundary_counting(bool on) { counting.store(on, std::memory_order_relaxed); }
bool boundary_counting() { return counting.load(std::memory_order_relaxed); }

void merge(CastCounters& into, const CastCounters& from) {
    add_counters(into, from);
    if (from.pending == 0) return;
    if (into.pending != 0) settle(into);
    into.pending = from.pending;
}

void add_to_ledger(const BoundaryRow& more) {
    Ledger& all = ledger();
    const CastCounters& counters = more.counters;
    bool full = false;
    {
        const std::lock_guard lock(all.mutex);
        const auto [at, fresh] =
            all.index.try_emplace(Key{more.site, more.op, more.direction, more.operand}, all.rows.size());
        if (fresh) all.rows.push_back({more.site, more.op, more.direction, more.operand, 0, {}, 0, 0});
        if (counters.pending == 0) return add_call(all.rows[at->second], counters, more.min_exponent);
        all.pending.push_back({at->second, more.min_exponent, counters, slab_of(counters.pending)});
        full = all.pending.size() >= kMostPending;
    }
    if (full && !capturing()) read_pending(all);
}

size_t pending_rows() {
    Ledger& all = ledger();
    const std::lock_guard lock(all.mutex);
    return all.pending.size();
}

std::vector<BoundaryRow> boundary_counters() {
    Ledger& all = ledger();
    read_pending(all);
    const std::lock_guard lock(all.mutex);
    std::vector<BoundaryRow> rows;
    std::copy_if(all.rows.begin(), all.rows.end(), std::back_inserter(rows),
                 [](const BoundaryRow& row) { return row.calls > 0; });
    return rows;
}

void reset_boundary_counters() {
    Ledger& all = ledger();
    const std::lock_guard lock(all.mutex);
    all.index.clear();
    all.rows.clear();
    all.pending.clear();
    ++all.resets;
}

std::string boundary_report() { return boundary_report(boundary_counters()); }

std::string boundary_report(const std::vector<BoundaryRow>& rows) {
    if (rows.empty()) return "nothing crossed the fp16 boundary\n";
    std::vector<Line> lines{{"site", "direction", "operand", "calls", "elements", "to inf", "nan", "to zero",
                             "subnormal", "amax", "scale"}};
    for (const BoundaryRow& row : rows) lines.push_back(line_of(row));
    std::array<size_t, kColumns> width{};
    for (const Line& line : lines)
        for (size_t i = 0; i < kColumns; ++i) width[i] = std::max(width[i], line[i].size());
    std::string text;
    for (const Line& line : lines) {
        std::string one;
        for (size_t i = 0; i < kColumns; ++i) {
            const std::string space(width[i] - line[i].size(), ' ');
            one += (i < 3 ? line[i] + space : space + line[i]) + "  ";  // words left, numbers right
        }
        text += one.substr(0, one.find_last_not_of(' ') + 1) + "\n";
    }
    return text;
}

}  // namespace demi
