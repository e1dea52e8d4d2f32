#include "ops/elementwise/element_math.h"
#include "ops/rows/row_io.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr int64_t kTile = 32768;
// Elements converted at a time: few enough that one block's arithmetic overlaps with the conversions of the next. Blocks are
// kPad further apart, so that loads from one do not wait for stores to the same place of another.
constexpr int64_t kBlock = 512, kPad = 32;

// ---- rows: contiguous elements of one type -------------------------------------------------------------
typedef void (*Row)(void* out, const void* const* in, int64_t count, double p, double q);

// A function of the C library takes one element at a time: it never sees a vector.
template <class F> constexpr bool kScalar = false;
template <> constexpr bool kScalar<pow_fn> = true;

template <class F, class T> void row(void* out_, const void* const* in, int64_t count, double p_, double q_) {
    T* out = static_cast<T*>(out_);
    const T* a = static_cast<const T*>(in[0]);
    const T* b = F::tensors > 1 ? static_cast<const T*>(in[1]) : a;
    const T* c = F::tensors > 2 ? static_cast<const T*>(in[2]) : a;
    if constexpr (sizeof(T) == 8 || kScalar<F>) {
        const T p = static_cast<T>(p_), q = static_cast<T>(q_);
#pragma GCC ivdep
        for (int64_t i = 0; i < count; ++i) out[i] = F::template at<T>(a[i], b[i], c[i], p, q);
    } else {
        const vf p = broadcast(static_cast<float>(p_)), q = broadcast(static_cast<float>(q_));
        for_lanes<T>(count, [&] DEMI_LANES {
            const vf x = get(a + i, n);
            put(out + i,
                F::template at<vf>(x, F::tensors > 1 ? get(b + i, n) : x, F::tensors > 2 ? get(c + i, n) : x,
                                   p, q),
                n);
        });
    }
}

// Powers come one at a time and into `out`, a block ahead of what is done with them.
template <>
void row<pow_grad_fn, float>(void* out_, const void* const* in, int64_t count, double p_, double) {
    float* out = static_cast<float*>(out_);
    const float *dy = static_cast<const float*>(in[0]), *x = static_cast<const float*>(in[1]);
    const float p = static_cast<float>(p_);
    for (int64_t begin = 0; begin < count; begin += kBlock) {
        const int64_t end = count - begin < kBlock ? count : begin + kBlock;
        for (int64_t i = begin; i < end; ++i) out[i] = pow(x[i], p - 1);
        for_lanes<float>(begin, end, [&] DEMI_LANES {
            put(out + i, pow_grad(get(dy + i, n), get(x + i, n), broadcast(p), get(out + i, n)), n);
        });
    }
}

struct Rows {
    Row f32, f64;
    Row i64;        // ElementKind::whole
    Row f16, bf16;  // ElementKind::own
};
template <class F> constexpr Rows rows_of() {
    Rows rows{row<F, float>, row<F, double>, nullptr, nullptr, nullptr};
    if constexpr (F::kind == ElementKind::whole) rows.i64 = row<F, int64_t>;
    if constexpr (F::kind == ElementKind::own) rows.f16 = row<F, Half>, rows.bf16 = row<F, BFloat16>;
    return rows;
}
constexpr Rows kRows[] = {
#define FUNCTION(name, ...) rows_of<name##_fn>(), rows_of<name##_grad_fn>(),
#define HELPER(name, ...) rows_of<name##_fn>(),
#include "ops/elementwise/functions.inc"
#undef FUNCTION
#undef HELPER
};

// ---- walks: any strides and dtypes ---------------------------------------------------------------------
// Contiguous elements of 16 bits to and from f32.
template <class To, class From> DEMI_INLINE void convert_row(To* to, const From* from, int64_t count) {
    const int64_t most = count & ~int64_t{4 * kLanes - 1};
    for (int64_t i = 0; i < most; i += 4 * kLanes) {
        storeu(to + i, loadu(from + i));
        storeu(to + i + kLanes, loadu(from + i + kLanes));
        storeu(to + i + 2 * kLanes, loadu(from + i + 2 * kLanes));
        storeu(to + i + 3 * kLanes, loadu(from + i + 3 * kLanes));
    }
    for_lanes<To>(most, count, [&] DEMI_LANES { put(to + i, get(from + i, n), n); });
}
template <class T> void load_half(float* to, const void* from, int64_t at, int64_t, int64_t count) {
    convert_row(to, static_cast<const T*>(from) + at, count);
}
template <class T> void store_half(void* to, int64_t at, int64_t, const float* from, int64_t count) {
    convert_row(static_cast<T*>(to) + at, from, count);
}
template <class C> LoadRow<C> loader(DType dtype, int64_t step) {
    if constexpr (sizeof(C) == 4) {
        if (dtype == DType::f16 && step == 1) return load_half<Half>;
        if (dtype == DType::bf16 && step == 1) return load_half<BFloat16>;
    }
    return row_loader<C>(dtype);
}
template <class C> StoreRow<C> storer(DType dtype, int64_t step) {
    if constexpr (sizeof(C) == 4) {
        if (dtype == DType::f16 && step == 1) return store_half<Half>;
        if (dtype == DType::bf16 && step == 1) return store_half<BFloat16>;
    }
    return row_storer<C>(dtype);
}

template <class C> void walk(const ElementCall& call, Row fn) {
    const int tensors = traits_of(call.fn).tensors;
    const auto step = [&](int k) { return call.strides[k][call.rank - 1]; };
    const bool out_in_place = call.out.dtype == call.compute && step(0) == 1;
    const StoreRow<C> store = storer<C>(call.out.dtype, step(0));
    RowSource<C> in[3];
    bool all_in_place = out_in_place;
    for (int k = 0; k < tensors; ++k) {
        const ConstMem m = call.in[k];
        in[k] = {m.data, step(k + 1), loader<C>(m.dtype, step(k + 1)),
                 m.dtype == call.compute && step(k + 1) == 1};
        all_in_place = all_in_place && in[k].in_place;
    }
    const int64_t block = all_in_place ? kTile : kBlock;
    for_each_row(call, [&](const Offsets<4>& first, int64_t count) {
        const int64_t* at = first.at;
        alignas(64) C blocks[4][kBlock + kPad];
        const void* rows[3];
        for (int64_t begin = 0; begin < count; begin += block) {
            const int64_t n = count - begin < block ? count - begin : block;
            for (int k = 0; k < tensors; ++k)  // what repeats one element is there already
                if (begin == 0 || in[k].step != 0) rows[k] = in[k].row(at[k + 1], begin, n, blocks[k]);
            C* out = out_in_place ? elements<C>(call.out) + at[0] + begin : blocks[tensors];
            fn(out, rows, n, call.p, call.q);
            if (!out_in_place) store(call.out.data, at[0] + begin * step(0), step(0), out, n);
        }
    });
}

// All tensors contiguous and of one dtype.
void direct(const ElementCall& c, Row fn) {
    const int64_t bytes = static_cast<int64_t>(size_of(c.out.dtype));
    parallel_ranges(c.count, kTile, [&](int64_t begin, int64_t end) {
        const void* in[2] = {};
        for (int k = 0; k < traits_of(c.fn).tensors; ++k) in[k] = elements<char>(c.in[k]) + begin * bytes;
        fn(elements<char>(c.out) + begin * bytes, in, end - begin, c.p, c.q);
    });
}

void apply(const ElementCall& call, Queue) {
    const Rows& rows = kRows[static_cast<int>(call.fn)];
    if (call.out.dtype == DType::f16 && rows.f16 != nullptr) return direct(call, rows.f16);
    if (call.out.dtype == DType::bf16 && rows.bf16 != nullptr) return direct(call, rows.bf16);
    switch (call.compute) {
    case DType::f64: return walk<double>(call, rows.f64);
    case DType::i64: return walk<int64_t>(call, rows.i64);
    default: return walk<float>(call, rows.f32);
    }
}

}  // namespace

const ElementwiseKernels elementwise_kernels{apply};

}  // namespace demi::DEMI_BACKEND
