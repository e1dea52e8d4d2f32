#include "examples/common/pca.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "runtime/check.h"

namespace demi::examples {
namespace {

using Vector = std::vector<double>;

constexpr int kIterations = 60;

double dot(const double* a, const double* b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
}

// Makes v orthogonal to the earlier directions and of unit length; false when nothing is left of it.
bool orthonormalise(Vector& v, const std::vector<Vector>& earlier) {
    const double before = std::sqrt(dot(v.data(), v.data(), v.size()));
    for (const Vector& e : earlier) {
        const double along = dot(v.data(), e.data(), v.size());
        for (size_t i = 0; i < v.size(); ++i) v[i] -= along * e[i];
    }
    const double norm = std::sqrt(dot(v.data(), v.data(), v.size()));
    if (!(norm > 1e-9 * before)) return false;
    for (double& x : v) x /= norm;
    return true;
}

// Power iteration; `rows` is [count][dim] without its mean. Empty when no variance is left.
Vector next_direction(const Vector& rows, size_t dim, const std::vector<Vector>& earlier) {
    Vector v(dim);
    for (size_t i = 0; i < dim; ++i)
        v[i] = 1 + 0.5 * std::cos(1.7 * double(i + 1) * double(earlier.size() + 1));
    if (!orthonormalise(v, earlier)) return {};
    for (int round = 0; round < kIterations; ++round) {
        Vector sum(dim);
        for (size_t at = 0; at < rows.size(); at += dim) {
            const double along = dot(&rows[at], v.data(), dim);
            for (size_t i = 0; i < dim; ++i) sum[i] += along * rows[at + i];
        }
        if (!orthonormalise(sum, earlier)) return {};
        v = sum;
    }
    const auto largest =
        std::max_element(v.begin(), v.end(), [](double a, double b) { return std::fabs(a) < std::fabs(b); });
    if (*largest < 0)
        for (double& x : v) x = -x;
    return v;
}

void stretch(Vector& values) {
    Vector sorted = values;
    std::sort(sorted.begin(), sorted.end());
    const size_t cut = (sorted.size() - 1) / 50;
    const double low = sorted[cut], high = sorted[sorted.size() - 1 - cut];
    for (double& v : values) v = high > low ? std::clamp((v - low) / (high - low), 0.0, 1.0) : 0.5;
}

}  // namespace

std::vector<float> pca_colours(const float* features, int64_t count, int64_t dim) {
    check(count >= 0 && dim >= 1, "pca", "needs at least one feature per row: ", count, " rows of ", dim);
    const size_t n = static_cast<size_t>(count), d = static_cast<size_t>(dim);
    if (n == 0) return {};
    Vector rows(n * d);
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = std::isfinite(features[i]) ? double{features[i]} : 0;
    for (size_t c = 0; c < d; ++c) {
        double mean = 0;
        for (size_t r = 0; r < n; ++r) mean += rows[r * d + c];
        mean /= double(n);
        for (size_t r = 0; r < n; ++r) rows[r * d + c] -= mean;
    }
    std::vector<float> out(3 * n, 0.5f);
    std::vector<Vector> directions;
    for (size_t k = 0; k < 3; ++k) {
        Vector direction = next_direction(rows, d, directions);
        if (direction.empty()) break;
        Vector values(n);
        for (size_t r = 0; r < n; ++r) values[r] = dot(&rows[r * d], direction.data(), d);
        stretch(values);
        for (size_t r = 0; r < n; ++r) out[3 * r + k] = static_cast<float>(values[r]);
        directions.push_back(std::move(direction));
    }
    return out;
}

}  // namespace demi::examples
