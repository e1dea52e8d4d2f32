#include "ops/elementwise/element_math.h"
#include "ops/kernel_cuda.h"
#include "runtime/strided.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr int kThreads = 256;

// ---- functions with kernels of their own: everything contiguous and of one type ------------------------
template <class T, class Fn> struct OwnPack {
    T* out;
    const T* in[2];
    int64_t count;
    bool aligned;

    DEMI_DEVICE void operator()(int64_t p) const {
        const int64_t at = p * kPack<T>;
        const int n = pack_size<T>(at, count);
        const bool whole = aligned && n == kPack<T>;
        Values<T> a = read_values(in[0] + at, n, whole), b = a;
        if (Fn::tensors > 1) b = read_values(in[1] + at, n, whole);
        DEMI_UNROLL
        for (int i = 0; i < kPack<T>; ++i)
            a.v[i] = Fn::template at<gpu::compute_t<T>>(a.v[i], b.v[i], b.v[i], 0, 0);
        write_values(out + at, a, n, whole);
    }
};

template <class Fn> bool run_own(const ElementCall& call, Queue queue) {
    if constexpr (Fn::kind == ElementKind::own)
        gpu::dispatch_float(call.out.dtype, [&](auto tag) {
            typedef gpu::tag_t<decltype(tag)> T;
            const OwnPack<T, Fn> own{elements<T>(call.out),
                                     {elements<T>(call.in[0]), elements<T>(call.in[1])},
                                     call.count,
                                     all_aligned(call.out.data, call.in[0].data, call.in[1].data)};
            launch_each(own, packs_of<T>(call.count), queue);
        });
    return Fn::kind == ElementKind::own;
}

// ---- the others --------------------------------------------------------------------------------------
template <class Fn, class T>
constexpr bool kShared = Fn::kind != ElementKind::own &&
                         (Fn::kind == ElementKind::whole || !gpu::IsInt<T>::value);

// One kernel knows them all: the choice is the same in every thread and hides behind memory, and a kernel for each
// function and type would take minutes to compile.
template <class T> DEMI_DEVICE T apply_element(ElementFn fn, T a, T b, T c, T p, T q) {
    switch (fn) {
#define HELPER(name, ...) \
    case ElementFn::name: \
        if constexpr (kShared<name##_fn, T>) return name##_fn::at<T>(a, b, c, p, q); \
        break;
#define FUNCTION(name, ...) HELPER(name, ) HELPER(name##_grad, )
#include "ops/elementwise/functions.inc"
#undef FUNCTION
#undef HELPER
    case ElementFn::count: break;
    }
    return T(0);
}

// Everything contiguous and aligned, a pack of T at a time: all of it T, or (kBeside, T float) f32 out of f32 and 16-bit operands.
template <class T, bool kBeside> struct LinesKernel {
    static constexpr int threads = kThreads;
    using C = gpu::compute_t<T>;
    ElementCall call;
    int operands;

    DEMI_DEVICE Values<T> read(int n, int64_t at) const {
        Values<T> x{};
        if (n >= operands) return x;
        const ConstMem& m = call.in[n];
        if (kBeside && m.dtype != DType::f32) {
            const gpu::Bytes8 b = gpu::load8(elements<Half>(m) + at);
            DEMI_UNROLL
            for (int k = 0; k < kPack<float>; ++k) {
                const uint16_t bits = static_cast<uint16_t>(b.w[k / 2] >> 16 * (k % 2));
                x.v[k] = m.dtype == DType::f16 ? gpu::half_to_float(bits) : gpu::bf16_to_float(bits);
            }
        } else {
            const Bytes16 b = gpu::load16(elements<T>(m) + at);
            DEMI_UNROLL
            for (int k = 0; k < kPack<T>; ++k) {
                const T one = get_element<T>(b, k);
                x.v[k] = gpu::load(&one);
            }
        }
        return x;
    }
    DEMI_DEVICE C value(C a, C b, C c) const {
        return apply_element<C>(call.fn, a, b, c, static_cast<C>(call.p), static_cast<C>(call.q));
    }
    DEMI_DEVICE void operator()() const {
        const int64_t whole = call.count / kPack<T>;
        T* out = elements<T>(call.out);
        for (int64_t i = gpu::global_index(); i < whole; i += gpu::global_size()) {
            const Values<T> a = read(0, kPack<T> * i), b = read(1, kPack<T> * i), c = read(2, kPack<T> * i);
            Bytes16 y;
            DEMI_UNROLL
            for (int k = 0; k < kPack<T>; ++k) {
                T one;
                gpu::store(&one, value(a.v[k], b.v[k], c.v[k]));
                set_element(y, k, one);
            }
            gpu::store16(out + kPack<T> * i, y);
        }
        const int64_t i = kPack<T> * whole + gpu::global_index();
        if (i >= call.count) return;
        const auto one = [&](int n) {
            return n < operands ? load_any<C>(call.in[n].data, call.in[n].dtype, i) : C(0);
        };
        gpu::store(out + i, value(one(0), one(1), one(2)));
    }
};

template <class C> struct StridedElement {
    ElementCall call;
    int operands;
    DEMI_DEVICE C value(int n, int64_t at) const {
        return n < operands ? load_any<C>(call.in[n].data, call.in[n].dtype, at) : C(0);
    }
    DEMI_DEVICE void operator()(int64_t i) const {
        const auto o = offsets_of(call, i);
        store_any<C>(call.out.data, call.out.dtype, o.at[0],
                     apply_element<C>(call.fn, value(0, o.at[1]), value(1, o.at[2]), value(2, o.at[3]),
                                      static_cast<C>(call.p), static_cast<C>(call.q)));
    }
};

template <class T, bool kBeside> void run_lines(const ElementCall& call, int operands, Queue queue) {
    gpu::launch(LinesKernel<T, kBeside>{call, operands},
                gpu::blocks_for(call.count, int64_t{kThreads} * kPack<T>), {kThreads}, 0, queue.stream);
}

template <class C> void run_strided(const ElementCall& call, int operands, Queue queue) {
    launch_each(StridedElement<C>{call, operands}, call.count, queue);
}

void apply(const ElementCall& call, Queue queue) {
#define FUNCTION(name, ...) \
    if (call.fn == ElementFn::name && run_own<name##_fn>(call, queue)) return; \
    if (call.fn == ElementFn::name##_grad && run_own<name##_grad_fn>(call, queue)) return;
#define HELPER(...)
#include "ops/elementwise/functions.inc"
#undef FUNCTION
#undef HELPER
    const int operands = traits_of(call.fn).tensors;
    bool lines = call.rank == 1 && call.strides[0][0] == 1 && all_aligned(call.out.data);
    bool alike = is_float(call.out.dtype), beside = call.out.dtype == DType::f32;
    for (int n = 0; n < operands; ++n) {
        lines = lines && call.strides[n + 1][0] == 1 && all_aligned(call.in[n].data);
        alike = alike && call.in[n].dtype == call.out.dtype;
        beside = beside && call.in[n].dtype <= DType::f32;
    }
    if (lines && alike) {
        gpu::dispatch_float(call.out.dtype, [&](auto tag) {
            run_lines<gpu::tag_t<decltype(tag)>, false>(call, operands, queue);
        });
    } else if (lines && beside) {
        run_lines<float, true>(call, operands, queue);
    } else if (call.compute == DType::f64) {
        run_strided<double>(call, operands, queue);
    } else if (call.compute == DType::i64) {
        run_strided<int64_t>(call, operands, queue);
    } else {
        run_strided<float>(call, operands, queue);
    }
}

}  // namespace

const ElementwiseKernels elementwise_kernels{apply};

}  // namespace demi::DEMI_BACKEND
