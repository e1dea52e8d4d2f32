#include <algorithm>
#include <sstream>

#include "examples/common/record.h"
#include "examples/train/ranks.h"

namespace demi::examples {

static void add_to(demi::BoundaryRow& sum, const demi::BoundaryRow& row) {
    CastCounters& to = sum.counters;
    const CastCounters& from = row.counters;
    sum.calls += row.calls;
    to.elements += from.elements;
    to.to_inf += from.to_inf;
    to.nan += from.nan;
    to.to_zero += from.to_zero;
    to.subnormal += from.subnormal;
    to.amax = std::max(to.amax, from.amax);
    sum.min_exponent = std::min(sum.min_exponent, row.min_exponent);
    sum.max_exponent = std::max(sum.max_exponent, row.max_exponent);
}

std::vector<demi::BoundaryRow> boundary_totals(const Communicator& world) {
    std::vector<demi::BoundaryRow> sums = boundary_counters();
    if (world.size() == 1) return sums;
    std::string own;
    for (const demi::BoundaryRow& row : sums) {
        const CastCounters& c = row.counters;
        Record line;
        line.add("site", row.site).add("op", row.op).add("direction", static_cast<int>(row.direction));
        line.add("operand", row.operand).add("calls", row.calls).add("elements", c.elements);
        line.add("to_inf", c.to_inf).add("nan", c.nan).add("to_zero", c.to_zero);
        line.add("subnormal", c.subnormal).add("amax", c.amax);
        line.add("least", row.min_exponent).add("most", row.max_exponent);
        own += to_json(line) + "\n";
    }
    sums.clear();
    for (const std::string& text : world.all_gather_text(own)) {
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);) {
            const Record r = parse_record(line).value_or(Record());
            const auto number = [&](const char* name) { return static_cast<int64_t>(r.number(name)); };
            const demi::BoundaryRow row{r.text("site"),
                                        r.text("op"),
                                        static_cast<Direction>(number("direction")),
                                        r.text("operand"),
                                        number("calls"),
                                        {number("elements"), number("to_inf"), number("nan"),
                                         number("to_zero"), number("subnormal"), r.number("amax"), 0},
                                        static_cast<int>(number("least")),
                                        static_cast<int>(number("most"))};
            const auto same = [&](const demi::BoundaryRow& other) {
                return other.site == row.site && other.op == row.op && other.direction == row.direction &&
                       other.operand == row.operand;
            };
            const auto found = std::find_if(sums.begin(), sums.end(), same);
            if (found == sums.end())
                sums.push_back(row);
            else
                add_to(*found, row);
        }
    }
    return sums;
}

}  // namespace demi::examples
