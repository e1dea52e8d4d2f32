// layernorm_isa.cpp in f64, element by element.
#include "ops/layernorm/layernorm_f64.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/common/rows.h"

namespace demi {
namespace {

struct Stats {
    double mean, shift, rstd, factor;  // see layernorm_kernels.h

    double normal(double x) const { return ((x * factor - mean) - shift) * rstd; }
};

template <class F> double mean_of(int64_t width, F&& term) {
    double sum = 0;
    for (int64_t i = 0; i < width; ++i) sum += term(i);
    return sum / static_cast<double>(width);
}

// The variance of x times s.factor; not finite where squares leave the range.
double find_stats(const double* x, int64_t width, Stats& s) {
    s.mean = mean_of(width, [&](int64_t i) { return x[i] * s.factor; });
    for (int turn = 0;; ++turn) {
        s.shift = mean_of(width, [&](int64_t i) { return x[i] * s.factor - s.mean; });
        const double square = mean_of(
            width, [&](int64_t i) { return (x[i] * s.factor - s.mean) * (x[i] * s.factor - s.mean); });
        if (turn == 1 || s.shift * s.shift <= 0x1p-20 * square)
            return std::max(square - s.shift * s.shift, 0.0);
        s.mean += s.shift;
    }
}

Stats stats_of(const double* x, int64_t width, double eps) {
    Stats s{0, 0, 0, 1};
    double variance = find_stats(x, width, s);
    if (std::isfinite(variance) && variance > 0 && variance + eps >= 1e-290) {
        s.rstd = 1 / std::sqrt(variance + eps);
    } else if (std::all_of(x, x + width, [&](double v) { return v == x[0]; })) {
        return {0, 0, eps > 0 ? 1 / std::sqrt(eps) : 0, 0};
    } else {
        s.factor = std::ldexp(1.0, balance(x, width, 200));
        variance = find_stats(x, width, s);
        s.rstd = 1 / std::hypot(std::sqrt(variance), std::sqrt(eps) * s.factor);
    }
    if (std::fabs(s.shift * s.rstd) < 0x1p-44) s.shift = 0;  // as good as none
    return s;
}

// False where a result is not finite. g: dy * weight * 2^h.
bool write_gradient(const double* x, const double* dy, const double* dsum, const double* weight,
                    const Stats& s, double* dx, int64_t width, int h, bool corrected) {
    const auto g = [&](int64_t i) { return (h == 0 ? dy[i] : std::ldexp(dy[i], h)) * weight[i]; };
    double a = mean_of(width, g);
    if (corrected) a += mean_of(width, [&](int64_t i) { return g(i) - a; });
    const double b = mean_of(width, [&](int64_t i) { return g(i) * s.normal(x[i]); });
    const int back = (s.factor == 0 ? 0 : std::ilogb(s.factor)) - h;
    bool good = true;
    for (int64_t i = 0; i < width; ++i) {
        const double d = s.rstd * (g(i) - a - s.normal(x[i]) * b);
        dx[i] = (back == 0 ? d : std::ldexp(d, back)) + (dsum ? dsum[i] : 0.0);
        good = good && std::isfinite(dx[i]);
    }
    return good;
}

}  // namespace

void layernorm_forward_f64(const double* x, const double* residual, const double* weight, const double* bias,
                           double* sum, double* y, double* stats, int64_t rows, int64_t width, double eps) {
    for (int64_t r = 0; r < rows; ++r, x += width, y += width) {
        const double* in = x;
        if (residual != nullptr) {
            for (int64_t i = 0; i < width; ++i) sum[r * width + i] = x[i] + residual[r * width + i];
            in = sum + r * width;
        }
        const Stats s = stats_of(in, width, eps);
        for (int64_t i = 0; i < width; ++i) y[i] = s.normal(in[i]) * weight[i] + bias[i];
        std::memcpy(stats + 4 * r, &s, sizeof s);
    }
}

void layernorm_backward_f64(const double* x, const double* dy, const double* dsum, const double* weight,
                            const double* stats, double* dx, double* dweight, double* dbias, int64_t rows,
                            int64_t width) {
    for (int64_t r = 0; r < rows; ++r, x += width, dy += width) {
        Stats s;
        std::memcpy(&s, stats + 4 * r, sizeof s);
        for (int64_t i = 0; dweight != nullptr && i < width; ++i) {
            dweight[i] += dy[i] * s.normal(x[i]);
            dbias[i] += dy[i];
        }
        if (dx == nullptr) continue;
        const double* more = dsum != nullptr ? dsum + r * width : nullptr;
        double* out = dx + r * width;
        if (s.factor != 1 || !write_gradient(x, dy, more, weight, s, out, width, 0, false))
            write_gradient(x, dy, more, weight, s, out, width, balance(dy, width, -10), true);
    }
}

}  // namespace demi
