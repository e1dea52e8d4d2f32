// A Profile as a Chrome trace and as a table.
#include <algorithm>
#include <cstdio>
#include <map>

#include "runtime/atomic_file.h"
#include "runtime/profile.h"

namespace demi {
namespace {

std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        char code[8];
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
            out += code;
        } else {
            out += c;
        }
    }
    return out + '"';
}

struct Line {
    int64_t calls = 0;
    double total_ns = 0, own_ns = 0, longest_ns = 0, bytes = 0, allocations = 0;
};

double end_of(const ProfileSpan& span) {
    return static_cast<double>(span.start_ns) + static_cast<double>(span.duration_ns);
}

// Time within a span but not within a span inside it. In double, which any spans fit.
std::vector<double> own_times(const std::vector<ProfileSpan>& spans) {
    std::vector<double> own(spans.size());
    std::map<int, std::vector<size_t>> open;  // per thread, the spans around the one at hand
    for (size_t i = 0; i < spans.size(); ++i) {
        std::vector<size_t>& stack = open[spans[i].thread];
        while (!stack.empty() && end_of(spans[stack.back()]) <= static_cast<double>(spans[i].start_ns))
            stack.pop_back();
        if (!stack.empty()) own[stack.back()] -= static_cast<double>(spans[i].duration_ns);
        own[i] += static_cast<double>(spans[i].duration_ns);
        stack.push_back(i);
    }
    return own;
}

double ms(double ns) { return ns * 1e-6; }

}  // namespace

std::string Profile::trace_json() const {
    std::string out = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[";
    const char* separator = "\n";
    for (const ProfileSpan& span : spans) {
        char numbers[192];
        std::snprintf(numbers, sizeof numbers,
                      ",\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f,\"args\":{\"allocated_"
                      "bytes\":%lld,\"allocations\":%lld,\"device\":",
                      span.thread, static_cast<double>(span.start_ns) * 1e-3,
                      static_cast<double>(span.duration_ns) * 1e-3,
                      static_cast<long long>(span.allocated_bytes), static_cast<long long>(span.allocations));
        out += separator;
        out += "{\"name\":" + quoted(span.name) + numbers + quoted(demi::name(span.device)) + "}}";
        separator = ",\n";
    }
    return out + "\n]}\n";
}

void Profile::write_trace(const std::string& path) const { write_file_atomic(path, trace_json()); }

std::string Profile::table() const {
    const std::vector<double> own = own_times(spans);
    std::map<std::string, Line> by_name;
    size_t width = 4;
    double all_ns = 0;
    for (size_t i = 0; i < spans.size(); ++i) {
        Line& line = by_name[spans[i].name];
        ++line.calls;
        line.total_ns += static_cast<double>(spans[i].duration_ns);
        line.own_ns += own[i];
        line.longest_ns = std::max(line.longest_ns, static_cast<double>(spans[i].duration_ns));
        line.bytes += static_cast<double>(spans[i].allocated_bytes);
        line.allocations += static_cast<double>(spans[i].allocations);
        all_ns += own[i];
        width = std::max(width, spans[i].name.size());
    }
    std::vector<std::pair<std::string, Line>> lines(by_name.begin(), by_name.end());
    std::stable_sort(lines.begin(), lines.end(),
                     [](const auto& a, const auto& b) { return a.second.own_ns > b.second.own_ns; });

    char row[256];
    const auto add = [&](std::string& out, const std::string& name, const char* numbers) {
        out += name + std::string(width - name.size(), ' ') + numbers;
    };
    std::string out;
    std::snprintf(row, sizeof row, "%9s %11s %11s %6s %10s %10s %10s %8s\n", "calls", "total ms", "own ms",
                  "own %", "mean ms", "longest", "MiB", "allocs");
    add(out, "name", row);
    for (const auto& [name, line] : lines) {
        std::snprintf(row, sizeof row, "%9lld %11.3f %11.3f %6.1f %10.4f %10.3f %10.2f %8.0f\n",
                      static_cast<long long>(line.calls), ms(line.total_ns), ms(line.own_ns),
                      all_ns > 0 ? 100 * line.own_ns / all_ns : 0.0,
                      ms(line.total_ns) / static_cast<double>(line.calls), ms(line.longest_ns),
                      line.bytes / (1 << 20), line.allocations);
        add(out, name, row);
    }
    return out;
}

}  // namespace demi
