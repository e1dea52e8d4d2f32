// Rows of operands and results: converted, rounded, scaled and counted on their way in and out.
#include "ops/memory_efficient_attention/attention_tiles.h"

namespace demi::DEMI_ISA_NS::attention {
namespace {

constexpr float kLargestHalf = 65504.f;

DEMI_INLINE vf through_f16(vf x, const Cast& cast) {
    if (!cast.round) return x;
    // NaN comes through: max and min give their second operand.
    return round_f16(cast.saturate ? max(broadcast(-kLargestHalf), min(broadcast(kLargestHalf), x)) : x);
}

// Rows of one head are far apart, often a page each: the processor does not foresee them.
template <class T>
DEMI_INLINE void prefetch_row(const T* in, int64_t stride, int64_t row, int64_t rows, int64_t columns) {
    constexpr int64_t kAhead = 8;
    if (row + kAhead >= rows) return;
    const char* p = reinterpret_cast<const char*>(in + (row + kAhead) * stride);
    const int64_t bytes = columns * static_cast<int64_t>(sizeof(T));
    for (int64_t j = 0; j < bytes; j += 64) __builtin_prefetch(p + j);
}

template <class T>
bool load_rows_of(const Rows& in, int64_t rows, int64_t columns, float* out, int64_t width, float factor) {
    const T* data = reinterpret_cast<const T*>(in.data);
    const Cast cast = in.cast;
    const vf before = broadcast(cast.scale), after = broadcast(cast.undo * factor);
    const int64_t whole = columns / kLanes * kLanes;
    const int rest = static_cast<int>(columns - whole);
    vf bad = zero();  // 0 * x is 0 for every finite x and NaN for the others
    for (int64_t i = 0; i < rows; ++i) {
        const T* row = data + i * in.stride;
        float* to = out + i * width;
        prefetch_row(data, in.stride, i, rows, columns);
        for (int64_t j = 0; j < whole; j += kLanes) {
            const vf x = through_f16(loadu(row + j) * before, cast) * after;
            bad = fma(x, zero(), bad);
            storeu(to + j, x);
        }
        if (rest != 0) {
            const vf x = through_f16(load_n(row + whole, rest) * before, cast) * after;
            bad = fma(x, zero(), bad);
            storeu(to + whole, x);
        }
    }
    return !any(mask_not(equal(bad, bad)));
}

template <class T>
void store_row_of(T* out, const Cast& cast, const float* in, int64_t columns, float factor) {
    const vf times = broadcast(factor), before = broadcast(cast.scale), after = broadcast(cast.undo);
    const int64_t whole = columns / kLanes * kLanes;
    const int rest = static_cast<int>(columns - whole);
    for (int64_t j = 0; j < whole; j += kLanes)
        storeu(out + j, through_f16(loadu(in + j) * times * before, cast) * after);
    if (rest != 0)
        store_n(out + whole, through_f16(load_n(in + whole, rest) * times * before, cast) * after, rest);
}

// What happened to the values of one row, counted in the lanes of vectors.
template <class T>
void count_row(const T* row, int64_t columns, vf times, vf before, CastCounters* counters) {
    const vf one = broadcast(1.f), tiny = broadcast(0x1p-25f), large = broadcast(65520.f);
    const vf normal = broadcast(0x1p-14f - 0x1p-25f);  // from here on, a value rounds to a normal number
    vf nan = zero(), to_inf = zero(), to_zero = zero(), subnormal = zero(), top = zero();
    for (int64_t j = 0; j < columns; j += kLanes) {
        const int n = static_cast<int>(min64(kLanes, columns - j));
        const vf size = abs((n == kLanes ? loadu(row + j) : load_n(row + j, n)) * times * before);
        nan = nan + select(equal(size, size), zero(), one);
        to_inf = to_inf + select(less_equal(large, size), one, zero());
        to_zero = to_zero + select(mask_and(less(zero(), size), less_equal(size, tiny)), one, zero());
        subnormal = subnormal + select(mask_and(less(tiny, size), less(size, normal)), one, zero());
        top = max(size, top);  // NaN leaves it
    }
    counters->nan += static_cast<int64_t>(hsum(nan));
    counters->to_inf += static_cast<int64_t>(hsum(to_inf));
    counters->to_zero += static_cast<int64_t>(hsum(to_zero));
    counters->subnormal += static_cast<int64_t>(hsum(subnormal));
    const float highest = hmax(top);
    if (highest > counters->amax) counters->amax = highest;
}

// Only the smallest and the largest value of a row are looked at; where they are ordinary, nothing was lost.
template <class T>
void count_rows_of(const T* in, int64_t stride, int64_t rows, int64_t columns, float factor, float scale,
                   CastCounters* counters) {
    const vf times = broadcast(factor), before = broadcast(scale), one = broadcast(1.f);
    const int64_t whole = columns / kLanes * kLanes;
    const int rest = static_cast<int>(columns - whole);
    vf top = zero();
    for (int64_t i = 0; i < rows; ++i) {
        const T* row = in + i * stride;
        prefetch_row(in, stride, i, rows, columns);
        vf low = one, high = zero(), bad = zero();
        for (int64_t j = 0; j < whole; j += kLanes) {
            const vf size = abs(loadu(row + j) * times * before);
            low = min(size, low);
            high = max(size, high);
            bad = fma(size, zero(), bad);
        }
        if (rest != 0) {
            const vf size = abs(load_n(row + whole, rest) * times * before);
            low = min(select(first_lanes(rest), size, one), low);
            high = max(size, high);
            bad = fma(size, zero(), bad);
        }
        const vm ordinary = mask_and(
            mask_and(less_equal(broadcast(0x1p-14f), low), less(high, broadcast(65520.f))), equal(bad, bad));
        if (any(mask_not(ordinary)))
            count_row(row, columns, times, before, counters);
        else
            top = max(top, high);
    }
    const float highest = hmax(top);
    if (highest > counters->amax) counters->amax = highest;
    counters->elements += rows * columns;
}

}  // namespace

bool load_rows(const Rows& in, int64_t rows, int64_t columns, float* out, int64_t width, float factor) {
    for (int64_t i = 0; columns % kLanes != 0 && i < rows; ++i)
        storeu(out + (i + 1) * width - kLanes, zero());
    if (in.dtype == DType::f16) return load_rows_of<Half>(in, rows, columns, out, width, factor);
    if (in.dtype == DType::bf16) return load_rows_of<BFloat16>(in, rows, columns, out, width, factor);
    return load_rows_of<float>(in, rows, columns, out, width, factor);
}

void store_row(const ResultRows& out, int64_t row, const float* in, int64_t columns, float factor,
               CastCounters* counters) {
    if (out.cast.count && counters != nullptr)
        count_rows_of(in, 0, 1, columns, factor, out.cast.scale, counters);
    char* to = out.data + row * out.stride * element_size(out.dtype);
    if (out.dtype == DType::f16)
        return store_row_of(reinterpret_cast<Half*>(to), out.cast, in, columns, factor);
    if (out.dtype == DType::bf16)
        return store_row_of(reinterpret_cast<BFloat16*>(to), out.cast, in, columns, factor);
    store_row_of(reinterpret_cast<float*>(to), out.cast, in, columns, factor);
}

void count_rows(const Rows& in, int64_t rows, int64_t columns, CastCounters* counters) {
    if (!in.cast.count || counters == nullptr) return;
    const float scale = in.cast.scale;
    switch (in.dtype) {
    case DType::f16:
        return count_rows_of(reinterpret_cast<const Half*>(in.data), in.stride, rows, columns, 1.f, scale,
                             counters);
    case DType::bf16:
        return count_rows_of(reinterpret_cast<const BFloat16*>(in.data), in.stride, rows, columns, 1.f, scale,
                             counters);
    default:
        return count_rows_of(reinterpret_cast<const float*>(in.data), in.stride, rows, columns, 1.f, scale,
                             counters);
    }
}

}  // namespace demi::DEMI_ISA_NS::attention
