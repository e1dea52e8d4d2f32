#include "ops/elementwise/element_math.h"
#include "ops/kernel_cuda.h"
#include "ops/rows/any_type_cuda.h"
#include "runtime/strided.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr int kThreads = 256;

// ---- functions with kernels of their own: everything contiguous and of one type ------------------------
template <class T, class Fn> struct OwnKernel {
    static constexpr int threads = kThreads;
    T* out;
    const T* in[2];
    int64_t count;
    bool aligned;

    DEMI_DEVICE void operator()() const {
        for_flat_packs<T>(count, aligned, [&](int64_t at, int n, bool whole) {
            Values<T> a = read_values(in[0] + at, n, whole), b = a;
            if (Fn::tensors > 1) b = read_values(in[1] + at, n, whole);
            DEMI_UNROLL
            for (int i = 0; i < kPack<T>; ++i)
                a.v[i] = Fn::template at<gpu::compute_t<T>>(a.v[i], b.v[i], b.v[i], 0, 0);
            write_values(out + at, a, n, whole);
        });
    }
};

template <class Fn> bool run_own(const ElementCall& call, Queue queue) {
    if constexpr (Fn::kind == ElementKind::own)
        gpu::dispatch_float(call.out.dtype, [&](auto tag) {
            typedef gpu::tag_t<decltype(tag)> T;
            const OwnKernel<T, Fn> kernel{elements<T>(call.out),
                                          {elements<T>(call.in[0]), elements<T>(call.in[1])},
                                          call.count,
                                          all_aligned(call.out.data, call.in[0].data, call.in[1].data)};
            const int64_t packs = (call.count + kPack<T> - 1) / kPack<T>;
            gpu::launch(kernel, gpu::blocks_for(packs, kThreads), {kThreads}, 0, queue.stream);
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
#define FUNCTION(name, ...) HELPER(name) HELPER(name##_grad)
#include "ops/elementwise/functions.inc"
#undef FUNCTION
#undef HELPER
    case ElementFn::count: break;
    }
    return T(0);
}

// One element type, everything contiguous and aligned: 16 bytes at a time.
template <class T> struct PackedKernel {
    static constexpr int threads = kThreads;
    using C = gpu::compute_t<T>;
    ElementFn fn;
    int operands;
    T* out;
    const T* in[3];
    C p, q;
    int64_t count;

    struct alignas(16) Pack {
        T x[kPack<T>];
    };
    DEMI_DEVICE static Pack read(const T* from) { return gpu::bit_cast<Pack>(gpu::load16(from)); }

    DEMI_DEVICE void operator()() const {
        const int64_t whole = count / kPack<T>;
        for (int64_t i = gpu::global_index(); i < whole; i += gpu::global_size()) {
            const Pack a = read(in[0] + kPack<T> * i);
            const Pack b = operands > 1 ? read(in[1] + kPack<T> * i) : Pack{};
            const Pack c = operands > 2 ? read(in[2] + kPack<T> * i) : Pack{};
            Pack y;
            DEMI_UNROLL
            for (int k = 0; k < kPack<T>; ++k)
                gpu::store(&y.x[k], apply_element<C>(fn, gpu::load(&a.x[k]), gpu::load(&b.x[k]),
                                                     gpu::load(&c.x[k]), p, q));
            gpu::store16(out + kPack<T> * i, gpu::bit_cast<gpu::Bytes16>(y));
        }
        const int64_t i = kPack<T> * whole + gpu::global_index();
        if (i >= count) return;
        const C b = operands > 1 ? gpu::load(in[1] + i) : C(0),
                c = operands > 2 ? gpu::load(in[2] + i) : C(0);
        gpu::store(out + i, apply_element<C>(fn, gpu::load(in[0] + i), b, c, p, q));
    }
};

// f32 out of f32 and 16-bit operands, all contiguous and aligned: four elements at a time.
struct BesideKernel {
    static constexpr int threads = kThreads, kEach = 4;
    ElementCall call;
    int operands;

    struct Pack {
        float x[kEach];
    };
    static DEMI_DEVICE Pack read(ConstMem m, int64_t at) {
        if (m.dtype == DType::f32) return gpu::bit_cast<Pack>(gpu::load16(elements<float>(m) + at));
        const gpu::Bytes8 b = gpu::load8(elements<Half>(m) + at);
        Pack p;
        DEMI_UNROLL
        for (int k = 0; k < kEach; ++k) {
            const uint16_t bits = static_cast<uint16_t>(b.w[k / 2] >> 16 * (k % 2));
            p.x[k] = m.dtype == DType::f16 ? gpu::half_to_float(bits) : gpu::bf16_to_float(bits);
        }
        return p;
    }
    DEMI_DEVICE float value(float a, float b, float c) const {
        return apply_element<float>(call.fn, a, b, c, static_cast<float>(call.p), static_cast<float>(call.q));
    }
    DEMI_DEVICE void operator()() const {
        const int64_t count = call.count, whole = count / kEach;
        float* out = elements<float>(call.out);
        for (int64_t i = gpu::global_index(); i < whole; i += gpu::global_size()) {
            const Pack a = read(call.in[0], kEach * i);
            const Pack b = operands > 1 ? read(call.in[1], kEach * i) : Pack{};
            const Pack c = operands > 2 ? read(call.in[2], kEach * i) : Pack{};
            Pack y;
            DEMI_UNROLL
            for (int k = 0; k < kEach; ++k) y.x[k] = value(a.x[k], b.x[k], c.x[k]);
            gpu::store16(out + kEach * i, gpu::bit_cast<gpu::Bytes16>(y));
        }
        const int64_t i = kEach * whole + gpu::global_index();
        if (i >= count) return;
        const auto one = [&](int n) {
            return n < operands ? gpu::load_any<float>(call.in[n].data, call.in[n].dtype, i) : 0.f;
        };
        out[i] = value(one(0), one(1), one(2));
    }
};

template <class C> struct StridedKernel {
    static constexpr int threads = kThreads;
    ElementCall call;
    Strided<4> walk;
    int operands;
    DEMI_DEVICE C value(int n, int64_t at) const {
        return n < operands ? gpu::load_any<C>(call.in[n].data, call.in[n].dtype, at) : C(0);
    }
    DEMI_DEVICE void operator()() const {
        for (int64_t i = gpu::global_index(); i < walk.count; i += gpu::global_size()) {
            const auto o = offsets_of(walk, i);
            gpu::store_any<C>(call.out.data, call.out.dtype, o.at[0],
                              apply_element<C>(call.fn, value(0, o.at[1]), value(1, o.at[2]),
                                               value(2, o.at[3]), static_cast<C>(call.p),
                                               static_cast<C>(call.q)));
        }
    }
};

bool contiguous_lines(const ElementCall& call, int operands) {
    bool yes = call.rank == 1;
    for (int n = 0; n <= operands; ++n) {
        const void* base = n == 0 ? call.out.data : call.in[n - 1].data;
        yes = yes && call.strides[n][0] == 1 && all_aligned(base);
    }
    return yes;
}
bool of_one_type(const ElementCall& call, int operands) {
    bool yes = is_float(call.out.dtype);
    for (int n = 0; n < operands; ++n) yes = yes && call.in[n].dtype == call.out.dtype;
    return yes;
}
bool beside_f32(const ElementCall& call, int operands) {
    bool yes = call.out.dtype == DType::f32;
    for (int n = 0; n < operands; ++n) yes = yes && call.in[n].dtype <= DType::f32;
    return yes;
}

template <class C> void run_strided(const ElementCall& call, int operands, Queue queue) {
    Strided<4> walk{};
    walk.rank = call.rank;
    walk.count = call.count;
    for (int d = 0; d < call.rank; ++d) {
        walk.sizes[d] = call.sizes[d];
        for (int n = 0; n < 4; ++n) walk.strides[n][d] = call.strides[n][d];
    }
    gpu::launch(StridedKernel<C>{call, walk, operands}, gpu::blocks_for(call.count, kThreads), {kThreads}, 0,
                queue.stream);
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
    const bool lines = contiguous_lines(call, operands);
    if (lines && of_one_type(call, operands)) {
        gpu::dispatch_float(call.out.dtype, [&](auto tag) {
            using T = gpu::tag_t<decltype(tag)>;
            using C = gpu::compute_t<T>;
            const PackedKernel<T> kernel{
                call.fn,
                operands,
                elements<T>(call.out),
                {elements<T>(call.in[0]), elements<T>(call.in[1]), elements<T>(call.in[2])},
                static_cast<C>(call.p),
                static_cast<C>(call.q),
                call.count};
            constexpr int64_t per_block = int64_t{kThreads} * kPack<T>;
            gpu::launch(kernel, gpu::blocks_for(call.count, per_block), {kThreads}, 0, queue.stream);
        });
    } else if (lines && beside_f32(call, operands)) {
        constexpr int64_t per_block = int64_t{kThreads} * BesideKernel::kEach;
        gpu::launch(BesideKernel{call, operands}, gpu::blocks_for(call.count, per_block), {kThreads}, 0,
                    queue.stream);
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
