#pragma once
#include <cmath>
#include <limits>

#include "runtime/copy.h"
#include "runtime/random.h"
#include "tests/support/device.h"

// What the tests of the index operators share.
namespace demi::test {

inline Tensor rows_of(const std::vector<int64_t>& values) {
    return Tensor::from(values, {static_cast<int64_t>(values.size())}).to(test_device());
}

inline Tensor normal_numbers(const Shape& shape, uint64_t seed, DType dtype = DType::f32, double scale = 1) {
    Generator generator{seed};
    Tensor t = Tensor::empty(shape);
    normal(t, generator, 0, scale);
    return t.to(dtype).to(test_device());
}

// Numbers that hurt at an fp16 boundary, among normal ones: +-0, values that vanish,
// become subnormal, overflow.
inline Tensor hard_numbers(const Shape& shape, DType dtype, Generator& generator, bool finite = false) {
    constexpr float inf = std::numeric_limits<float>::infinity();
    static constexpr float hard[] = {
        0.0f,       -0.0f,     0x1p-25f,   -0x1p-25f,
        0x1.8p-25f, 0x1p-24f,  3e-8f,      1e-5f,
        0x1p-14f,   6.1e-5f,   1e-40f,     -1e-44f,
        65504.0f,   -65504.0f, 65519.0f,   65519.996f,
        -65519.0f,  2049.0f,   1.0009766f, 0x1.ffep-15f,
        33333.3f,   65520.0f,  -65520.0f,  1e6f,
        -3e38f,     inf,       -inf,       std::numeric_limits<float>::quiet_NaN()};
    constexpr uint32_t kFinite = 21, kAll = sizeof hard / sizeof *hard;
    std::vector<float> values(static_cast<size_t>(shape.numel()));
    Tensor plain = Tensor::empty(shape);
    normal(plain, generator);
    for (size_t i = 0; i < values.size(); ++i)
        values[i] = generator.next_below(4) == 0 ? hard[generator.next_below(finite ? kFinite : kAll)]
                                                 : plain.data<float>()[i];
    return Tensor::from(values, shape).to(dtype).to(test_device());
}

// The same values in other memory: 0 contiguous, 1 rows farther apart, 2 every second
// element, 3 transposed memory.
inline Tensor laid_out(const Tensor& t, uint32_t kind) {
    Tensor wide;
    Shape shape = t.shape();
    const int last = t.rank() - 1;
    if (kind == 1) {
        shape[last] += 3;
        wide = Tensor::zeros(shape, t.dtype(), t.device()).slice(last, 2, 2 + t.size(last));
    } else if (kind == 2) {
        shape[last] = shape[last] * 2 + 1;
        wide = Tensor::zeros(shape, t.dtype(), t.device()).slice(last, 1, 1 + 2 * t.size(last), 2);
    } else if (kind == 3 && t.rank() > 1) {
        std::swap(shape[0], shape[last]);
        wide = Tensor::zeros(shape, t.dtype(), t.device()).transpose(0, last);
    } else {
        return t;
    }
    copy(wide, t);
    return wide;
}

inline float through_half(float x) { return static_cast<float>(Half(x)); }

}  // namespace demi::test
