#include "runtime/copy_kernels.h"
#include "runtime/cuda/convert.h"
#include "runtime/cuda/gpu.h"

namespace demi::gpu_kernels {
namespace {

constexpr int kThreads = 256;

// The same element type on both sides, known by its size only.
template <class Bits> struct MoveKernel {
    static constexpr int threads = kThreads;
    Bits* dst;
    const Bits* src;
    Strided<2> walk;
    DEMI_DEVICE void operator()() const {
        for (int64_t i = gpu::global_index(); i < walk.count; i += gpu::global_size()) {
            const auto o = offsets_of(walk, i);
            dst[o.at[0]] = src[o.at[1]];
        }
    }
};

template <class To, class From> struct CopyKernel {
    static constexpr int threads = kThreads;
    To* dst;
    const From* src;
    Strided<2> walk;
    DEMI_DEVICE void operator()() const {
        for (int64_t i = gpu::global_index(); i < walk.count; i += gpu::global_size()) {
            const auto o = offsets_of(walk, i);
            dst[o.at[0]] = gpu::convert<To>(src[o.at[1]]);
        }
    }
};

// As CopyKernel where both sides are contiguous and aligned: a thread takes the elements of one to four
// 16-byte accesses a side.
template <class To, class From> struct PackedCopyKernel {
    static constexpr int threads = kThreads;
    static constexpr int kElements = 16 / (sizeof(To) < sizeof(From) ? sizeof(To) : sizeof(From));
    To* dst;
    const From* src;
    int64_t count;

    template <class T> struct alignas(16) Elements {
        T x[kElements];
        static constexpr int kLines = kElements * sizeof(T) / 16;
    };
    template <class T> struct Lines { gpu::Bytes16 line[Elements<T>::kLines]; };

    DEMI_DEVICE void operator()() const {
        const int64_t whole = count / kElements;
        for (int64_t i = gpu::global_index(); i < whole; i += gpu::global_size()) {
            Lines<From> in;
            DEMI_UNROLL
            for (int k = 0; k < Elements<From>::kLines; ++k)
                in.line[k] = gpu::load16(src + kElements * i + k * (16 / sizeof(From)));
            const auto from = gpu::bit_cast<Elements<From>>(in);
            Elements<To> to;
            DEMI_UNROLL
            for (int k = 0; k < kElements; ++k) to.x[k] = gpu::convert<To>(from.x[k]);
            const auto out = gpu::bit_cast<Lines<To>>(to);
            DEMI_UNROLL
            for (int k = 0; k < Elements<To>::kLines; ++k)
                gpu::store16(dst + kElements * i + k * (16 / sizeof(To)), out.line[k]);
        }
        const int64_t tail = kElements * whole + gpu::global_index();
        if (tail < count) dst[tail] = gpu::convert<To>(src[tail]);
    }
};

// Conversions with an integer on one side: rare, so one kernel asks for the types as it goes instead of 48.
struct MixedCopyKernel {
    static constexpr int threads = kThreads;
    DType to, from;
    void* dst;
    const void* src;
    Strided<2> walk;

    template <class From> DEMI_DEVICE void put(int64_t at, From x) const {
        switch (to) {
        case DType::f16: return put_as<Half>(at, x);
        case DType::bf16: return put_as<BFloat16>(at, x);
        case DType::f32: return put_as<float>(at, x);
        case DType::f64: return put_as<double>(at, x);
        case DType::i32: return put_as<int32_t>(at, x);
        case DType::i64: return put_as<int64_t>(at, x);
        case DType::u8: return put_as<uint8_t>(at, x);
        case DType::boolean: return put_as<bool>(at, x);
        }
    }
    template <class To, class From> DEMI_DEVICE void put_as(int64_t at, From x) const {
        static_cast<To*>(dst)[at] = gpu::convert<To>(x);
    }
    template <class T> DEMI_DEVICE auto get(int64_t at) const {
        return gpu::plain(static_cast<const T*>(src)[at]);
    }

    DEMI_DEVICE void operator()() const {
        for (int64_t i = gpu::global_index(); i < walk.count; i += gpu::global_size()) {
            const auto o = offsets_of(walk, i);
            const int64_t at = o.at[1];
            // Every float fits a double and every integer an int64_t: nothing is rounded on the way.
            if (from == DType::f16)
                put(o.at[0], static_cast<double>(get<Half>(at)));
            else if (from == DType::bf16)
                put(o.at[0], static_cast<double>(get<BFloat16>(at)));
            else if (from == DType::f32)
                put(o.at[0], static_cast<double>(get<float>(at)));
            else if (from == DType::f64)
                put(o.at[0], get<double>(at));
            else if (from == DType::i32)
                put(o.at[0], static_cast<int64_t>(get<int32_t>(at)));
            else if (from == DType::i64)
                put(o.at[0], get<int64_t>(at));
            else if (from == DType::u8)
                put(o.at[0], static_cast<int64_t>(get<uint8_t>(at)));
            else
                put(o.at[0], static_cast<int64_t>(get<bool>(at)));
        }
    }
};

// Both sides contiguous and 16-byte aligned, bits as they are.
struct BytesKernel {
    static constexpr int threads = kThreads;
    unsigned char* dst;
    const unsigned char* src;
    int64_t bytes;
    DEMI_DEVICE void operator()() const {
        const int64_t whole = bytes / 16;
        for (int64_t i = gpu::global_index(); i < whole; i += gpu::global_size())
            gpu::store16(dst + 16 * i, gpu::load16(src + 16 * i));
        const int64_t tail = 16 * whole + gpu::global_index();
        if (tail < bytes) dst[tail] = src[tail];
    }
};

template <class T> struct FillKernel {
    static constexpr int threads = kThreads;
    T* dst;
    double value;
    Strided<1> walk;
    DEMI_DEVICE void operator()() const {
        const T x = gpu::convert<T>(value);
        for (int64_t i = gpu::global_index(); i < walk.count; i += gpu::global_size())
            dst[offsets_of(walk, i).at[0]] = x;
    }
};

template <class To, class From> struct AccumulateKernel {
    static constexpr int threads = kThreads;
    To* dst;
    const From* src;
    Strided<2> walk;
    DEMI_DEVICE void operator()() const {
        for (int64_t i = gpu::global_index(); i < walk.count; i += gpu::global_size()) {
            const auto o = offsets_of(walk, i);
            dst[o.at[0]] = gpu::convert<To>(gpu::plain(dst[o.at[0]]) + gpu::plain(src[o.at[1]]));
        }
    }
};

template <class T> struct FiniteKernel {
    static constexpr int threads = kThreads;
    const T* src;
    uint32_t* flag;
    Strided<1> walk;
    DEMI_DEVICE void operator()() const {
        bool bad = false;
        for (int64_t i = gpu::global_index(); i < walk.count; i += gpu::global_size())
            bad |= !gpu::is_finite(gpu::plain(src[offsets_of(walk, i).at[0]]));
        if (bad) gpu::atomic_max_u32(flag, 1);
    }
};

template <class Kernel> void run(const Kernel& kernel, int64_t items, gpu::Stream stream) {
    gpu::launch(kernel, gpu::blocks_for(items, kThreads), {kThreads}, 0, stream);
}

template <class Bits> void move(void* dst, const void* src, const Strided<2>& walk, gpu::Stream stream) {
    run(MoveKernel<Bits>{static_cast<Bits*>(dst), static_cast<const Bits*>(src), walk}, walk.count, stream);
}

bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

void copy(const CopyCall& c, Queue queue) {
    const Strided<2>& walk = c.walk;
    const DType to = c.dst.dtype, from = c.src.dtype;
    const gpu::Stream stream = queue.stream;
    void* const dst = c.dst.data;
    const void* const src = c.src.data;
    const bool contiguous = walk.rank == 1 && walk.strides[0][0] == 1 && walk.strides[1][0] == 1;
    if (to == from && contiguous && aligned(dst) && aligned(src)) {
        const int64_t bytes = walk.count * size_of(to);
        run(BytesKernel{static_cast<unsigned char*>(dst), static_cast<const unsigned char*>(src), bytes},
            (bytes + 15) / 16, stream);
    } else if (to == from) {
        const int size = size_of(to);
        if (size == 8)
            move<uint64_t>(dst, src, walk, stream);
        else if (size == 4)
            move<uint32_t>(dst, src, walk, stream);
        else if (size == 2)
            move<uint16_t>(dst, src, walk, stream);
        else
            move<uint8_t>(dst, src, walk, stream);
    } else if (is_float(to) && is_float(from)) {
        gpu::dispatch_float(to, [&](auto to_tag) {
            using To = gpu::tag_t<decltype(to_tag)>;
            gpu::dispatch_float(from, [&](auto from_tag) {
                using From = gpu::tag_t<decltype(from_tag)>;
                To* const out = static_cast<To*>(dst);
                const From* const in = static_cast<const From*>(src);
                typedef PackedCopyKernel<To, From> Packed;
                if (contiguous && aligned(dst) && aligned(src))
                    run(Packed{out, in, walk.count}, (walk.count + Packed::kElements - 1) / Packed::kElements,
                        stream);
                else
                    run(CopyKernel<To, From>{out, in, walk}, walk.count, stream);
            });
        });
    } else {
        run(MixedCopyKernel{to, from, dst, src, walk}, walk.count, stream);
    }
}

void fill(const FillCall& c, Queue queue) {
    gpu::dispatch_all(c.dst.dtype, [&](auto tag) {
        using T = gpu::tag_t<decltype(tag)>;
        run(FillKernel<T>{static_cast<T*>(c.dst.data), c.value, c.walk}, c.walk.count, queue.stream);
    });
}

void accumulate(const CopyCall& c, Queue queue) {
    gpu::dispatch_float(c.dst.dtype, [&](auto to_tag) {
        using To = gpu::tag_t<decltype(to_tag)>;
        gpu::dispatch_float(c.src.dtype, [&](auto from_tag) {
            using From = gpu::tag_t<decltype(from_tag)>;
            const AccumulateKernel<To, From> kernel{static_cast<To*>(c.dst.data),
                                                    static_cast<const From*>(c.src.data), c.walk};
            run(kernel, c.walk.count, queue.stream);
        });
    });
}

void find_not_finite(const FiniteCall& c, Queue queue) {
    gpu::dispatch_float(c.x.dtype, [&](auto tag) {
        using T = gpu::tag_t<decltype(tag)>;
        run(FiniteKernel<T>{static_cast<const T*>(c.x.data), c.bad, c.walk}, c.walk.count, queue.stream);
    });
}

}  // namespace

const CopyKernels copy_kernels = {copy, accumulate, fill, find_not_finite, nullptr};

}  // namespace demi::gpu_kernels
