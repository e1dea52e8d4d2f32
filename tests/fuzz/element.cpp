#include "tests/fuzz/element.h"

#include <cstring>
#include <limits>
#include <sstream>

namespace demi::fuzz {

bool floating(DType dtype) {
    return dtype == DType::f16 || dtype == DType::bf16 || dtype == DType::f32 || dtype == DType::f64;
}

DType computing(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

DType wider(DType a, DType b) {
    if (a == b) return a;
    if (floating(a) != floating(b)) return floating(a) ? a : b;
    if (floating(a)) {
        if (a == DType::f64 || b == DType::f64) return DType::f64;
        return DType::f32;  // f32 with a half, or the two halves
    }
    const auto place = [](DType t) {
        return t == DType::boolean ? 0 : t == DType::u8 ? 1 : t == DType::i32 ? 2 : 3;
    };
    return place(a) > place(b) ? a : b;
}

namespace {

struct Format {
    int digits, lowest,
        top;  // of the significand; exponent of the smallest step; exponent of the first infinity
};
Format format(DType dtype) {
    if (dtype == DType::f16) return {11, -24, 16};
    if (dtype == DType::bf16) return {8, -133, 128};
    if (dtype == DType::f32) return {24, -149, 128};
    return {53, -1074, 1024};
}

double step(double v, DType dtype) {
    const Format f = format(dtype);
    const int exponent = v == 0 ? f.lowest : std::max(std::ilogb(v) - f.digits + 1, f.lowest);
    return std::ldexp(1.0, exponent);
}

template <class T> T load(const void* data, int64_t i) {
    T x;
    std::memcpy(&x, static_cast<const char*>(data) + i * int64_t(sizeof(T)), sizeof(T));
    return x;
}

// A half from its fields.
double from_fields(uint32_t h, int fraction_bits, int bias, int exponents) {
    const int exponent = static_cast<int>(h >> fraction_bits) & exponents;
    const double fraction = h & ((1u << fraction_bits) - 1), sign = h >> 15 ? -1 : 1;
    if (exponent == exponents)
        return fraction == 0 ? sign * std::numeric_limits<double>::infinity()
                             : std::numeric_limits<double>::quiet_NaN();
    const double significand = exponent == 0 ? fraction : fraction + (1u << fraction_bits);
    return sign * std::ldexp(significand, std::max(exponent, 1) - bias - fraction_bits);
}

double element(const void* data, int64_t i, DType dtype) {
    switch (dtype) {
    case DType::f16: return from_fields(load<uint16_t>(data, i), 10, 15, 31);
    case DType::bf16: return from_fields(load<uint16_t>(data, i), 7, 127, 255);
    case DType::f32: return static_cast<double>(load<float>(data, i));
    case DType::f64: return load<double>(data, i);
    case DType::i32: return load<int32_t>(data, i);
    case DType::i64: return static_cast<double>(load<int64_t>(data, i));
    default: return load<uint8_t>(data, i);
    }
}

uint64_t raw_bits(const void* data, int64_t i, size_t size) {
    uint64_t all = 0;
    std::memcpy(&all, static_cast<const char*>(data) + i * int64_t(size), size);
    return all;
}

void put(void* data, int64_t i, DType dtype, double v) {
    const auto store = [&](auto x) {
        std::memcpy(static_cast<char*>(data) + i * int64_t(sizeof(x)), &x, sizeof(x));
    };
    switch (dtype) {
    case DType::f16: return store(Half(static_cast<float>(v)).bits);  // v has that dtype's digits already
    case DType::bf16: return store(BFloat16(static_cast<float>(v)).bits);
    case DType::f32: return store(static_cast<float>(v));
    case DType::f64: return store(v);
    case DType::i32: return store(static_cast<int32_t>(v));
    case DType::i64: return store(static_cast<int64_t>(v));
    case DType::boolean: return store(static_cast<uint8_t>(v != 0));
    default: return store(static_cast<uint8_t>(v));
    }
}

template <class F> void places(const Tensor& t, F fn) {
    every(sizes_of(t.shape()), [&](const Sizes& at) {
        int64_t i = 0;
        for (size_t d = 0; d < at.size(); ++d) i += at[d] * t.strides()[static_cast<int>(d)];
        fn(i);
    });
}

}  // namespace

double rounded(double v, DType dtype) {
    if (!floating(dtype) || !std::isfinite(v)) return v;
    const double s = step(v, dtype), r = std::nearbyint(v / s) * s;
    return std::fabs(r) >= std::ldexp(1.0, format(dtype).top)
               ? std::copysign(std::numeric_limits<double>::infinity(), v)
               : r;
}

double half_step(double v, DType dtype) {
    return floating(dtype) && std::isfinite(v) ? step(v, dtype) / 2 : 0;
}

double largest(DType dtype) {
    const Format f = format(dtype);
    return (2 - std::ldexp(1.0, 1 - f.digits)) * std::ldexp(1.0, f.top - 1);
}

double unit(DType dtype) { return std::ldexp(1.0, dtype == DType::f64 ? -53 : -24); }

Sizes sizes_of(const Shape& shape) { return Sizes(shape.begin(), shape.end()); }
Shape shape_of(const Sizes& sizes) { return Shape(std::span<const int64_t>(sizes)); }

std::vector<double> read(const Tensor& t) {
    const Tensor here = t.device().is_cpu() ? t : t.to(Device::cpu());
    std::vector<double> all;
    if (t.numel() == 0) return all;
    const void* data = here.raw();
    places(here, [&](int64_t i) { all.push_back(element(data, i, here.dtype())); });
    return all;
}

std::vector<uint64_t> bits(const Tensor& t) {
    const Tensor here = t.device().is_cpu() ? t : t.to(Device::cpu());
    std::vector<uint64_t> all;
    if (t.numel() == 0) return all;
    const void* data = here.raw();
    places(here, [&](int64_t i) { all.push_back(raw_bits(data, i, size_of(here.dtype()))); });
    return all;
}

Tensor laid_out(const std::vector<double>& values, const Sizes& sizes, const Sizes& strides, int64_t offset,
                DType dtype, Device device) {
    int64_t last = offset;
    for (size_t d = 0; d < sizes.size(); ++d) last += std::max<int64_t>(sizes[d] - 1, 0) * strides[d];
    Tensor base = Tensor::empty({last + 1}, dtype);
    void* data = base.mutable_raw();
    for (int64_t i = 0; i <= last; ++i) put(data, i, dtype, floating(dtype) ? 3e4 : 1);
    size_t n = 0;
    places(base.as_strided(shape_of(sizes), shape_of(strides), offset),
           [&](int64_t i) { put(data, offset + i, dtype, rounded(values[n++], dtype)); });
    return base.to(device).as_strided(shape_of(sizes), shape_of(strides), offset);
}

Sizes row_major(const Sizes& sizes) {
    Sizes strides(sizes.size(), 1);
    for (size_t d = sizes.size(); d-- > 1;) strides[d - 1] = strides[d] * std::max<int64_t>(sizes[d], 1);
    return strides;
}

bool can_view(const Tensor& t, const Sizes& sizes) {
    if (t.numel() == 0) return true;
    std::vector<int64_t> from;
    places(t, [&](int64_t i) { from.push_back(i); });
    // The only candidate: the step between neighbours along each dimension, seen at the first element.
    const Sizes rows = row_major(sizes);
    size_t n = 0;
    bool fits = true;
    every(sizes, [&](const Sizes& at) {
        int64_t i = from[0];
        for (size_t d = 0; d < at.size(); ++d)
            if (at[d] > 0) i += at[d] * (from[static_cast<size_t>(rows[d])] - from[0]);
        fits = fits && i == from[n++];
    });
    return fits;
}

std::string text_of(const Sizes& sizes) {
    std::ostringstream out;
    out << shape_of(sizes);
    return out.str();
}

}  // namespace demi::fuzz
