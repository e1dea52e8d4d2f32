#include "ops/common/elementwise_cuda.h"

#include "ops/common/any_type.cuh"
#include "ops/common/element_fn.cuh"

namespace demi::gpu_kernels {
namespace {

constexpr int kThreads = 256;

// One element type, everything contiguous and aligned: 16 bytes at a time.
template <class T> struct PackedKernel {
    static constexpr int threads = kThreads;
    static constexpr int kPack = 16 / sizeof(T);
    using C = gpu::compute_t<T>;
    ElementFn fn;
    int operands;
    T* out;
    const T* in[3];
    C p, q;
    int64_t count;

    struct alignas(16) Pack {
        T x[kPack];
    };
    DEMI_DEVICE static Pack read(const T* from) { return gpu::bit_cast<Pack>(gpu::load16(from)); }

    DEMI_DEVICE void operator()() const {
        const int64_t whole = count / kPack;
        for (int64_t i = gpu::global_index(); i < whole; i += gpu::global_size()) {
            const Pack a = read(in[0] + kPack * i);
            const Pack b = operands > 1 ? read(in[1] + kPack * i) : Pack{};
            const Pack c = operands > 2 ? read(in[2] + kPack * i) : Pack{};
            Pack y;
            DEMI_UNROLL
            for (int k = 0; k < kPack; ++k)
                gpu::store(&y.x[k], gpu::apply_element<C>(fn, gpu::load(&a.x[k]), gpu::load(&b.x[k]),
                                                          gpu::load(&c.x[k]), p, q));
            gpu::store16(out + kPack * i, gpu::bit_cast<gpu::Bytes16>(y));
        }
        const int64_t i = kPack * whole + gpu::global_index();
        if (i >= count) return;
        const C b = operands > 1 ? gpu::load(in[1] + i) : C(0),
                c = operands > 2 ? gpu::load(in[2] + i) : C(0);
        gpu::store(out + i, gpu::apply_element<C>(fn, gpu::load(in[0] + i), b, c, p, q));
    }
};

// f32 out of f32 and 16-bit operands, all contiguous and aligned: four elements at a time.
struct BesideKernel {
    static constexpr int threads = kThreads, kPack = 4;
    ElementwiseCall call;

    struct Pack {
        float x[kPack];
    };
    static DEMI_DEVICE Pack read(const void* from, DType type, int64_t at) {
        if (type == DType::f32) return gpu::bit_cast<Pack>(gpu::load16(static_cast<const float*>(from) + at));
        const gpu::Bytes8 b = gpu::load8(static_cast<const Half*>(from) + at);
        Pack p;
        DEMI_UNROLL
        for (int k = 0; k < kPack; ++k) {
            const uint16_t bits = static_cast<uint16_t>(b.w[k / 2] >> 16 * (k % 2));
            p.x[k] = type == DType::f16 ? gpu::half_to_float(bits) : gpu::bf16_to_float(bits);
        }
        return p;
    }
    DEMI_DEVICE float value(float a, float b, float c) const {
        return gpu::apply_element<float>(call.fn, a, b, c, static_cast<float>(call.p),
                                         static_cast<float>(call.q));
    }
    DEMI_DEVICE void operator()() const {
        const int64_t count = call.walk.count, whole = count / kPack;
        float* out = static_cast<float*>(call.out);
        for (int64_t i = gpu::global_index(); i < whole; i += gpu::global_size()) {
            const Pack a = read(call.in[0], call.types[1], kPack * i);
            const Pack b = call.operands > 1 ? read(call.in[1], call.types[2], kPack * i) : Pack{};
            const Pack c = call.operands > 2 ? read(call.in[2], call.types[3], kPack * i) : Pack{};
            Pack y;
            DEMI_UNROLL
            for (int k = 0; k < kPack; ++k) y.x[k] = value(a.x[k], b.x[k], c.x[k]);
            gpu::store16(out + kPack * i, gpu::bit_cast<gpu::Bytes16>(y));
        }
        const int64_t i = kPack * whole + gpu::global_index();
        if (i >= count) return;
        const auto one = [&](int n) {
            return n < call.operands ? gpu::load_any<float>(call.in[n], call.types[n + 1], i) : 0.f;
        };
        out[i] = value(one(0), one(1), one(2));
    }
};

template <class C> struct StridedKernel {
    static constexpr int threads = kThreads;
    ElementwiseCall call;
    DEMI_DEVICE void operator()() const {
        for (int64_t i = gpu::global_index(); i < call.walk.count; i += gpu::global_size()) {
            const auto o = gpu::offsets_of(call.walk, i);
            const C a = gpu::load_any<C>(call.in[0], call.types[1], o.at[1]);
            const C b = call.operands > 1 ? gpu::load_any<C>(call.in[1], call.types[2], o.at[2]) : C(0);
            const C c = call.operands > 2 ? gpu::load_any<C>(call.in[2], call.types[3], o.at[3]) : C(0);
            gpu::store_any<C>(
                call.out, call.types[0], o.at[0],
                gpu::apply_element<C>(call.fn, a, b, c, static_cast<C>(call.p), static_cast<C>(call.q)));
        }
    }
};

bool contiguous_lines(const ElementwiseCall& call) {
    bool yes = call.walk.rank == 1;
    for (int n = 0; n <= call.operands; ++n) {
        const void* base = n == 0 ? call.out : call.in[n - 1];
        yes = yes && call.walk.strides[n][0] == 1 && reinterpret_cast<uintptr_t>(base) % 16 == 0;
    }
    return yes;
}
bool of_one_type(const ElementwiseCall& call) {
    bool yes = is_float(call.types[0]);
    for (int n = 1; n <= call.operands; ++n) yes = yes && call.types[n] == call.types[0];
    return yes;
}
bool beside_f32(const ElementwiseCall& call) {
    bool yes = call.types[0] == DType::f32;
    for (int n = 1; n <= call.operands; ++n) yes = yes && call.types[n] <= DType::f32;
    return yes;
}

}  // namespace

void elementwise(const ElementwiseCall& call, gpu::Stream stream) {
    const bool lines = contiguous_lines(call);
    if (lines && of_one_type(call)) {
        gpu::dispatch_float(call.types[0], [&](auto tag) {
            using T = gpu::tag_t<decltype(tag)>;
            using C = gpu::compute_t<T>;
            const PackedKernel<T> kernel{call.fn,
                                         call.operands,
                                         static_cast<T*>(call.out),
                                         {static_cast<const T*>(call.in[0]),
                                          static_cast<const T*>(call.in[1]),
                                          static_cast<const T*>(call.in[2])},
                                         static_cast<C>(call.p),
                                         static_cast<C>(call.q),
                                         call.walk.count};
            constexpr int64_t per_block = int64_t{kThreads} * PackedKernel<T>::kPack;
            gpu::launch(kernel, gpu::blocks_for(call.walk.count, per_block), {kThreads}, 0, stream);
        });
        return;
    }
    if (lines && beside_f32(call)) {
        constexpr int64_t per_block = int64_t{kThreads} * BesideKernel::kPack;
        gpu::launch(BesideKernel{call}, gpu::blocks_for(call.walk.count, per_block), {kThreads}, 0, stream);
        return;
    }
    const gpu::Dim3 grid = gpu::blocks_for(call.walk.count, kThreads);
    if (call.compute == DType::f64)
        gpu::launch(StridedKernel<double>{call}, grid, {kThreads}, 0, stream);
    else if (call.compute == DType::i64)
        gpu::launch(StridedKernel<int64_t>{call}, grid, {kThreads}, 0, stream);
    else
        gpu::launch(StridedKernel<float>{call}, grid, {kThreads}, 0, stream);
}

}  // namespace demi::gpu_kernels
