#include <algorithm>
#include <cmath>

#include "ops/interpolate_bicubic/taps.h"

namespace demi {

namespace {

// Keys' cubic with parameter a; 0 from distance 2 on.
double cubic(double x, double a) {
    x = std::fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
    return 0;
}

void add_plain(Taps& taps, double step, int64_t i) {
    const double at = step * (static_cast<double>(i) + 0.5) - 0.5, below = std::floor(at);
    for (int k = -1; k <= 2; ++k) {
        const double place = std::clamp(below + k, 0.0, static_cast<double>(taps.in - 1));
        taps.index.push_back(static_cast<int64_t>(place));
        taps.weight.push_back(cubic(at - below - k, -0.75));
    }
}

void add_antialiased(Taps& taps, double step, int64_t i) {
    const double stretch = std::max(step, 1.0), center = step * (static_cast<double>(i) + 0.5);
    const double low = std::clamp(center - 2 * stretch + 0.5, 0.0, static_cast<double>(taps.in));
    const double high = std::clamp(center + 2 * stretch + 0.5, 0.0, static_cast<double>(taps.in));
    const size_t first = taps.weight.size();
    double sum = 0;
    for (int64_t j = static_cast<int64_t>(low); j < static_cast<int64_t>(high); ++j) {
        taps.index.push_back(j);
        taps.weight.push_back(cubic((static_cast<double>(j) - center + 0.5) / stretch, -0.5));
        sum += taps.weight.back();
    }
    for (size_t k = first; sum != 0 && k < taps.weight.size(); ++k) taps.weight[k] /= sum;
}

}  // namespace

Taps bicubic_taps(int64_t in, int64_t out, double scale, bool antialias) {
    Taps taps{in, out, {0}, {}, {}};
    if (antialias && in == out) scale = 0;  // PyTorch leaves such an axis alone, whatever the factor
    const double step = scale > 0 ? 1 / scale : static_cast<double>(in) / static_cast<double>(out);
    for (int64_t i = 0; i < out; ++i) {
        antialias ? add_antialiased(taps, step, i) : add_plain(taps, step, i);
        taps.start.push_back(static_cast<int64_t>(taps.index.size()));
    }
    return taps;
}

Taps Taps::transposed() const {
    Taps t{out, in, std::vector<int64_t>(static_cast<size_t>(in) + 1), {}, {}};
    t.index.resize(index.size());
    t.weight.resize(index.size());
    for (int64_t j : index) ++t.start[static_cast<size_t>(j) + 1];
    for (size_t j = 1; j < t.start.size(); ++j) t.start[j] += t.start[j - 1];
    std::vector<int64_t> next(t.start.begin(), t.start.end() - 1);
    for (int64_t i = 0; i < out; ++i)
        for (int64_t k = start[static_cast<size_t>(i)]; k < start[static_cast<size_t>(i) + 1]; ++k) {
            const size_t at = static_cast<size_t>(next[static_cast<size_t>(index[static_cast<size_t>(k)])]++);
            t.index[at] = i;
            t.weight[at] = weight[static_cast<size_t>(k)];
        }
    return t;
}

}  // namespace demi
