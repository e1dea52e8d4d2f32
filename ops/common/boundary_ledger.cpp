// The ledger of the boundary: who lost what, per call site.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>
#include <tuple>

#include "ops/common/boundary_call.h"

namespace demi {
namespace {

using Key = std::tuple<std::string, std::string, Direction, std::string>;

struct Ledger {
    std::mutex mutex;
    std::map<Key, size_t> index;
    std::vector<BoundaryRow> rows;
};

Ledger& ledger() {
    static Ledger all;
    return all;
}

std::atomic<bool> counting{true};

std::string share(int64_t part, int64_t whole) {
    if (part == 0) return "0";
    char text[64];
    std::snprintf(text, sizeof text, "%lld (%.2g%%)", static_cast<long long>(part),
                  100.0 * static_cast<double>(part) / static_cast<double>(whole));
    return text;
}

std::string number(double x) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3g", x);
    return text;
}

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
    into.elements += from.elements;
    into.to_inf += from.to_inf;
    into.nan += from.nan;
    into.to_zero += from.to_zero;
    into.subnormal += from.subnormal;
    into.amax = std::max(into.amax, from.amax);
}

void add_to_ledger(const BoundaryRow& more) {
    Ledger& all = ledger();
    const std::lock_guard lock(all.mutex);
    const auto [at, fresh] =
        all.index.try_emplace(Key{more.site, more.op, more.direction, more.operand}, all.rows.size());
    if (fresh) {
        all.rows.push_back(more);
        return;
    }
    BoundaryRow& row = all.rows[at->second];
    row.calls += more.calls;
    merge(row.counters, more.counters);
    row.min_exponent = std::min(row.min_exponent, more.min_exponent);
    row.max_exponent = std::max(row.max_exponent, more.max_exponent);
}

std::vector<BoundaryRow> boundary_counters() {
    Ledger& all = ledger();
    const std::lock_guard lock(all.mutex);
    return all.rows;
}

void reset_boundary_counters() {
    Ledger& all = ledger();
    const std::lock_guard lock(all.mutex);
    all.index.clear();
    all.rows.clear();
}

std::string boundary_report() {
    const std::vector<BoundaryRow> rows = boundary_counters();
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
