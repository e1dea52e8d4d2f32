#include "examples/common/format.h"

#include <charconv>
#include <cmath>
#include <cstdio>

namespace demi::examples {
namespace {

std::string printed(const char* format, double value) {
    char text[64];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

std::string not_finite(double value) { return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf"; }

// Three significant digits without an exponent, for 1 <= |value| < 1000.
std::string three_digits(double value) {
    const double size = std::fabs(value);
    return printed(size < 9.995 ? "%.2f" : size < 99.95 ? "%.1f" : "%.0f", value);
}

std::string scaled(double value, double step, const char* const* units, int count) {
    int unit = 0;
    while (std::fabs(value) >= step - 0.5 && unit + 1 < count) {
        value /= step;
        ++unit;
    }
    const bool whole = unit == 0 && value == std::floor(value);
    std::string text = whole ? printed("%.0f", value) : three_digits(value);
    if (*units[unit]) text += std::string(" ") + units[unit];
    return text;
}

}  // namespace

std::string human_count(double value) {
    static const char* const units[] = {"", "k", "M", "G", "T", "P"};
    if (!std::isfinite(value)) return not_finite(value);
    return scaled(value, 1000, units, 6);
}

std::string human_bytes(double bytes) {
    static const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    if (!std::isfinite(bytes)) return not_finite(bytes);
    return scaled(bytes, 1024, units, 6);
}

std::string human_time(double seconds) {
    if (!std::isfinite(seconds)) return not_finite(seconds);
    if (seconds < 0) return "-" + human_time(-seconds);
    if (seconds < 0.9995) return printed("%.0f ms", seconds * 1000);
    if (seconds < 9.95) return printed(seconds == std::floor(seconds) ? "%.0f s" : "%.1f s", seconds);
    if (seconds < 59.5) return printed("%.0f s", seconds);
    char text[64];
    const double whole = std::floor(seconds + 0.5);
    const auto parts = [&](double large, double small, const char* format) {
        std::snprintf(text, sizeof text, format, std::floor(whole / large),
                      std::floor(std::fmod(whole, large) / small));
        return std::string(text);
    };
    if (whole < 3600) return parts(60, 1, "%.0f m %02.0f s");
    if (whole < 86400) return parts(3600, 60, "%.0f h %02.0f m");
    return parts(86400, 3600, "%.0f d %02.0f h");
}

std::string percent(double fraction) {
    if (!std::isfinite(fraction)) return not_finite(fraction);
    const double value = fraction * 100;
    const double size = std::fabs(value);
    // Never round a part up to all, or something down to nothing.
    if (size > 99.95 && size < 100) return value > 0 ? "> 99.9 %" : "< -99.9 %";
    if (size > 0 && size < 0.05) return value > 0 ? "< 0.1 %" : "> -0.1 %";
    return printed("%.1f %%", value);
}

std::string significant(double value, int digits) {
    if (!std::isfinite(value)) return not_finite(value);
    char text[64];
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    return text;
}

std::string grouped(int64_t value) {
    std::string digits = std::to_string(value);
    const size_t first = digits[0] == '-' ? 1 : 0;
    for (size_t at = digits.size(); at > first + 3;) {
        at -= 3;
        digits.insert(at, "\u202f");
    }
    return digits;
}

std::string shortest(double value) {
    if (!std::isfinite(value)) return not_finite(value);
    char text[64];
    const auto end = std::to_chars(text, text + sizeof text, value).ptr;
    return std::string(text, end);
}

}  // namespace demi::examples
