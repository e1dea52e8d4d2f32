#include "tests/support/compare.h"

#include <cmath>
#include <cstring>
#include <sstream>

#include "runtime/random.h"

namespace demi::test {
namespace {

std::string place(int64_t flat, const Shape& shape) {
    Shape at = shape;
    for (int i = shape.rank() - 1; i >= 0; --i) {
        at[i] = flat % shape[i];
        flat /= shape[i];
    }
    std::ostringstream text;
    text << "element " << at << " of " << shape;
    return text.str();
}

std::string mismatch(const Tensor& got, const Tensor& want) {
    return "got " + describe(got) + ", want " + describe(want);
}

// How far beyond its limit a difference is; at most 1 is good.
double excess(double got, double want, Tolerance t) {
    if (std::isnan(got) && std::isnan(want)) return 0;
    if (got == want) return 0;
    const double difference = std::fabs(got - want);
    if (!std::isfinite(difference)) return INFINITY;
    const double limit = t.atol + t.rtol * std::fabs(want);
    return limit > 0 ? difference / limit : INFINITY;
}

}  // namespace

std::string compare(const Tensor& got, const Tensor& want, Tolerance tolerance) {
    if (!got.defined() || !want.defined() || got.shape() != want.shape()) return mismatch(got, want);
    const std::vector<double> a = got.to_vector<double>(), b = want.to_vector<double>();
    double worst = 1;
    int64_t worst_at = -1, bad = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        const double e = excess(a[i], b[i], tolerance);
        if (e <= 1) continue;
        ++bad;
        if (worst_at < 0 || e > worst) {
            worst = e;
            worst_at = static_cast<int64_t>(i);
        }
    }
    if (bad == 0) return "";
    const double x = a[static_cast<size_t>(worst_at)], y = b[static_cast<size_t>(worst_at)];
    std::ostringstream text;
    text.precision(9);
    text << place(worst_at, got.shape()) << ": got " << x << ", want " << y << ", difference "
         << std::fabs(x - y) << ", allowed " << tolerance.atol + tolerance.rtol * std::fabs(y) << "; " << bad
         << " of " << a.size() << " are off";
    return text.str();
}

namespace {

std::string first_difference(const Tensor& got, const Tensor& want, bool any_nan) {
    if (!got.defined() && !want.defined()) return "";
    if (!got.defined() || !want.defined() || got.shape() != want.shape() || got.dtype() != want.dtype())
        return mismatch(got, want);
    const Tensor a = got.to(Device::cpu()).contiguous(), b = want.to(Device::cpu()).contiguous();
    const size_t bytes = size_of(a.dtype());
    const char *x = static_cast<const char*>(a.raw()), *y = static_cast<const char*>(b.raw());
    std::vector<double> p, q;  // as numbers, once they are needed
    for (int64_t i = 0; i < a.numel(); ++i) {
        const size_t n = static_cast<size_t>(i), at = n * bytes;
        if (std::memcmp(x + at, y + at, bytes) == 0) continue;
        if (p.empty()) {
            p = a.to_vector<double>();
            q = b.to_vector<double>();
        }
        if (any_nan && std::isnan(p[n]) && std::isnan(q[n])) continue;
        std::ostringstream text;
        text.precision(17);
        text << place(i, a.shape()) << " differs in its bits: got " << p[n] << ", want " << q[n];
        return text.str();
    }
    return "";
}

}  // namespace

std::string same_bits(const Tensor& got, const Tensor& want) { return first_difference(got, want, false); }
std::string same_numbers(const Tensor& got, const Tensor& want) { return first_difference(got, want, true); }

Tolerance rounding_of(DType dtype, double factor) {
    const double unit = dtype == DType::f64   ? 1e-12
                        : dtype == DType::f32 ? 2e-6
                        : dtype == DType::f16 ? 1e-3
                                              : 8e-3;
    return {unit * factor, unit * factor};
}

Tensor drawn(const Shape& shape, uint64_t seed, DType dtype) {
    Generator generator{seed};
    Tensor x = Tensor::empty(shape);
    normal(x, generator);
    return x.to(dtype);
}

}  // namespace demi::test
