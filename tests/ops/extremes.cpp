#include "tests/ops/extremes.h"

#include <cmath>
#include <sstream>

#include "tests/support/device.h"

namespace demi::test {

double largest(DType dtype) {
    return dtype == DType::f64    ? 0x1.fffffffffffffp1023
           : dtype == DType::f32  ? 0x1.fffffep127
           : dtype == DType::bf16 ? 0x1.fep127
                                  : 65504;
}

double smallest(DType dtype) {
    return dtype == DType::f64    ? 0x1p-1074
           : dtype == DType::f32  ? 0x1p-149
           : dtype == DType::bf16 ? 0x1p-133
                                  : 0x1p-24;
}

double unit(DType dtype) {
    return dtype == DType::f64 ? 2e-15 : dtype == DType::f32 ? 1e-6 : dtype == DType::bf16 ? 4.1e-3 : 5.2e-4;
}

std::vector<double> extremes(DType dtype) {
    std::vector<double> out{0,   smallest(dtype),      1.5,           0.7, 3, 11, 80,
                            100, 0.9 * largest(dtype), largest(dtype)};
    const std::vector<double> powers =
        dtype == DType::f64
            ? std::vector<double>{1e-310, 1e-300, 1e-160, 1e-150, 1e-30, 720, 1e19, 1e150, 1e160, 1e300}
        : dtype == DType::f16
            ? std::vector<double>{1e-7, 1e-5, 1e-3, 300, 20000}
            : std::vector<double>{1e-40, 1e-38, 1e-30, 1e-20, 1e-19, 1e-10, 1e10, 1e19, 1e20, 1e30, 1e38};
    out.insert(out.end(), powers.begin(), powers.end());
    const size_t count = out.size();
    for (size_t i = 0; i < count; ++i) out.push_back(-out[i]);
    return Tensor::from(out, {static_cast<int64_t>(out.size())}).to(dtype).to_vector<double>();
}

std::string near(const Tensor& got, const std::vector<Wanted>& want, double rtol) {
    const std::vector<double> a = got.to_vector<double>();
    const DType dtype = got.dtype();
    int64_t bad = 0;
    std::ostringstream text;
    text.precision(17);
    for (size_t i = 0; i < a.size(); ++i) {
        const Wide w = want[i].value, top = static_cast<Wide>(largest(dtype)) * (1 - static_cast<Wide>(rtol));
        const Wide limit =
            static_cast<Wide>(rtol) * std::fabs(w) + want[i].atol + 2 * static_cast<Wide>(smallest(dtype));
        if (std::isnan(w)) continue;
        const bool good = std::fabs(static_cast<Wide>(a[i]) - w) <= limit ||
                          (a[i] >= top && w + limit >= top) || (a[i] <= -top && w - limit <= -top);
        if (good) continue;
        if (bad++ == 0) text << "element " << i << ": got " << a[i] << ", want " << w;
    }
    if (bad == 0) return "";
    text << "; " << bad << " of " << a.size() << " are off";
    return text.str();
}

}  // namespace demi::test
