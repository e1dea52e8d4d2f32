#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>

#include "runtime/convert.h"
#include "runtime/copy_kernels.h"
#include "runtime/strided.h"

namespace demi {
namespace {

// f64 and integers to f16 must round once; going through f32 rounds twice. Rounding to odd on the way keeps
// the dropped bits visible, so that the last rounding sees every tie as what it is.
float round_to_odd(double x) {
    float y = static_cast<float>(x);
    if (static_cast<double>(y) == x || y != y || std::isinf(y)) return y;
    uint32_t bits = std::bit_cast<uint32_t>(y);
    if ((bits & 1u) == 0) bits = std::fabs(static_cast<double>(y)) > std::fabs(x) ? bits - 1 : bits + 1;
    return std::bit_cast<float>(bits);
}
double as_odd_double(int64_t x) {
    const int64_t sticky = (x & 0x7ff) != 0 ? 1 : 0;
    return x > -(INT64_C(1) << 53) && x < INT64_C(1) << 53 ? static_cast<double>(x)
                                                           : static_cast<double>(x >> 11 | sticky) * 2048.0;
}

template <class To, class From> To convert_one(From x) {
    if constexpr (std::is_same_v<To, bool>) {
        return static_cast<bool>(x != From(0.0f));
    } else if constexpr (std::is_same_v<To, Half> || std::is_same_v<To, BFloat16>) {
        if constexpr (std::is_same_v<From, double>)
            return To(round_to_odd(x));
        else if constexpr (std::is_same_v<From, int32_t> || std::is_same_v<From, int64_t>)
            return To(round_to_odd(as_odd_double(x)));
        else
            return To(static_cast<float>(x));
    } else if constexpr (std::is_integral_v<To> && !std::is_integral_v<From>) {
        // out-of-range floats saturate, NaN becomes 0: the plain cast would be undefined
        const double v = static_cast<double>(x);
        if (!(v == v)) return To{0};
        constexpr double low = static_cast<double>(std::numeric_limits<To>::min());
        constexpr double high = static_cast<double>(std::numeric_limits<To>::max());
        if (v <= low) return std::numeric_limits<To>::min();
        if (v >= high) return std::numeric_limits<To>::max();
        return static_cast<To>(v);
    } else {
        return static_cast<To>(x);
    }
}

// An element; the bytes of a bool that was never written may be anything, which no bool may hold.
template <class T> T element_at(const T* p) {
    if constexpr (std::is_same_v<T, bool>)
        return *reinterpret_cast<const unsigned char*>(p) != 0;
    else
        return *p;
}

// A row in a pair of dtypes: what differs. The walk over the rows is the same code for all.
using PairRow = void (*)(void* dst, int64_t dst_step, const void* src, int64_t src_step, int64_t count);

template <class To, class From>
void convert_row(void* to, int64_t dst_step, const void* from, int64_t src_step, int64_t count) {
    To* dst = static_cast<To*>(to);
    const From* src = static_cast<const From*>(from);
    if (dst_step == 1 && src_step == 1) {
        if constexpr (std::is_same_v<To, From>) {
            std::memcpy(dst, src, static_cast<size_t>(count) * sizeof(To));
            return;
        } else if constexpr (requires { convert(dst, src, count); }) {
            convert(dst, src, count);
            return;
        }
    }
    for (int64_t i = 0; i < count; ++i) dst[i * dst_step] = convert_one<To>(element_at(src + i * src_step));
}

template <class To, class From>
void add_row(void* to, int64_t dst_step, const void* from, int64_t src_step, int64_t count) {
    using Sum = std::conditional_t<std::is_same_v<To, double> || std::is_same_v<From, double>, double, float>;
    To* dst = static_cast<To*>(to);
    const From* src = static_cast<const From*>(from);
    if (dst_step == 1 && src_step == 1) {
        for (int64_t i = 0; i < count; ++i)
            dst[i] = convert_one<To>(static_cast<Sum>(dst[i]) + static_cast<Sum>(src[i]));
        return;
    }
    for (int64_t i = 0; i < count; ++i) {
        To& sum = dst[i * dst_step];
        sum = convert_one<To>(static_cast<Sum>(sum) + static_cast<Sum>(src[i * src_step]));
    }
}

void run_rows(Tensor& dst, const Tensor& src, PairRow row) {
    const StridedWalk<2> walk(dst.shape(), {&dst.strides(), &src.strides()});
    const auto dst_size = static_cast<int64_t>(size_of(dst.dtype()));
    const auto src_size = static_cast<int64_t>(size_of(src.dtype()));
    char* out = static_cast<char*>(dst.mutable_raw());
    const char* in = static_cast<const char*>(src.raw());
    for_each_row(walk, [&](const auto& at, int64_t count, const auto& step) {
        row(out + at[0] * dst_size, step[0], in + at[1] * src_size, step[1], count);
    });
}

void copy_forward(Tensor& dst, const Tensor& src) {
    PairRow row = nullptr;
    dispatch_all(dst.dtype(), "copy", [&]<class To>() {
        dispatch_all(src.dtype(), "copy", [&]<class From>() { row = convert_row<To, From>; });
    });
    run_rows(dst, src, row);
}

void accumulate_forward(Tensor& dst, const Tensor& src) {
    PairRow row = nullptr;
    dispatch_float(dst.dtype(), "accumulate", [&]<class To>() {
        dispatch_float(src.dtype(), "accumulate", [&]<class From>() { row = add_row<To, From>; });
    });
    run_rows(dst, src, row);
}

void fill_forward(Tensor& dst, double value) {
    const StridedWalk<1> walk(dst.shape(), {&dst.strides()});
    dispatch_all(dst.dtype(), "fill", [&]<class T>() {
        T* out = dst.mutable_data<T>();
        const T x = convert_one<T>(value);
        for_each_row(walk, [&](const auto& at, int64_t count, const auto& step) {
            T* row = out + at[0];
            for (int64_t i = 0; i < count; ++i) row[i * step[0]] = x;
        });
    });
}

bool finite_forward(const Tensor& tensor) {
    const StridedWalk<1> walk(tensor.shape(), {&tensor.strides()});
    std::atomic<bool> finite{true};
    dispatch_float(tensor.dtype(), "all_finite", [&]<class T>() {
        const T* in = tensor.data<T>();
        for_each_row(walk, [&](const auto& at, int64_t count, const auto& step) {
            compute_t<T> sum = 0;  // x * 0 is NaN for every x that is not finite
            for (int64_t i = 0; i < count; ++i) sum += static_cast<compute_t<T>>(in[at[0] + i * step[0]]) * 0;
            if (sum != 0) finite.store(false, std::memory_order_relaxed);
        });
    });
    return finite.load();
}

}  // namespace

const CopyKernels copy_cpu{copy_forward, fill_forward, accumulate_forward, finite_forward};

}  // namespace demi
