// A block stays in the first-level cache, so that counting it a second time (only where its range shows that something
// was lost) costs no memory traffic.
#include "ops/boundary/boundary_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr int64_t kBlock = 1024;

// What one vector goes through; kPlain: no scaling, no saturation.
template <bool kRound, bool kPlain> DEMI_INLINE vf cross(vf scaled, const Cast& cast) {
    vf y = scaled;
    if (!kPlain && cast.saturate) y = saturate_f16(y);
    if (kRound) y = round_f16(y);
    return kPlain ? y : y * broadcast(cast.undo);
}

template <bool kPlain, class T> DEMI_INLINE vf scaled(const T* p, const Cast& cast) {
    return kPlain ? loadu(p) : loadu(p) * broadcast(cast.scale);
}
template <bool kPlain, class T> DEMI_INLINE vf scaled_n(const T* p, int n, const Cast& cast) {
    return kPlain ? load_n(p, n) : load_n(p, n) * broadcast(cast.scale);
}

template <class Out> DEMI_INLINE void write(Out* p, vf x, bool) { storeu(p, x); }
DEMI_INLINE void write(float* p, vf x, bool streaming) {
    if (streaming)
        stream(p, x);
    else
        storeu(p, x);
}

// How many elements to do first so that the rest of dst is aligned to a vector; all floats are aligned to 4.
DEMI_INLINE int64_t head(const void* dst, int64_t count) {
    const uint64_t past = reinterpret_cast<uintptr_t>(dst) / sizeof(float) % kLanes;
    const int64_t wanted = past == 0 ? 0 : kLanes - static_cast<int64_t>(past);
    return wanted < count ? wanted : count;
}

template <bool kRound, bool kCount, bool kPlain, bool kStream, class Out, class In>
DEMI_INLINE Range block(Out* dst, const In* src, int64_t count, const Cast& cast) {
    Range range;
    int64_t i = 0;
    const auto part = [&](int64_t n) {
        const vf x = scaled_n<kPlain>(src + i, static_cast<int>(n), cast);
        if (kCount) range.add(x);
        store_n(dst + i, cross<kRound, kPlain>(x, cast), static_cast<int>(n));
        i += n;
    };
    if (kStream && head(dst, count) > 0) part(head(dst, count));
    for (; i + kLanes <= count; i += kLanes) {
        const vf x = scaled<kPlain>(src + i, cast);
        if (kCount) range.add(x);
        write(dst + i, cross<kRound, kPlain>(x, cast), kStream);
    }
    if (i < count) part(count - i);
    return range;
}

template <bool kRound, bool kCount, bool kPlain, bool kStream, class Out, class In>
void blocks(Out* dst, const In* src, int64_t count, const Cast& cast, CastCounters* counters) {
    if (!kCount) {
        block<kRound, false, kPlain, kStream>(dst, src, count, cast);
        return;
    }
    Watch watch;
    for (int64_t i = 0; i < count;) {
        int64_t n = kRangeBlock;
        if (kStream && i == 0) n += head(dst, count);  // later blocks begin aligned
        n = count - i < n ? count - i : n;
        const Range range = block<kRound, true, kPlain, kStream>(dst + i, src + i, n, cast);
        const In* from = src + i;
        watch.block(range, n, counters,
                    [=, &cast](int64_t j, int lanes) { return scaled_n<kPlain>(from + j, lanes, cast); });
        i += n;
    }
    watch.into(counters);
}

template <bool kStream, class Out, class In>
void dispatch(Out* dst, const In* src, int64_t count, const Cast& cast, CastCounters* counters) {
    const bool plain = cast.scale == 1 && cast.undo == 1 && !cast.saturate;
    if (!cast.round)
        return plain ? blocks<false, false, true, kStream>(dst, src, count, cast, counters)
                     : blocks<false, false, false, kStream>(dst, src, count, cast, counters);
    if (cast.count && counters != nullptr)
        return plain ? blocks<true, true, true, kStream>(dst, src, count, cast, counters)
                     : blocks<true, true, false, kStream>(dst, src, count, cast, counters);
    return plain ? blocks<true, false, true, kStream>(dst, src, count, cast, counters)
                 : blocks<true, false, false, kStream>(dst, src, count, cast, counters);
}

template <class In>
void load_from(float* dst, const In* src, int64_t count, int64_t step, const Cast& cast,
               CastCounters* counters, bool streaming) {
    if (step == 1 || count == 1) {
        if (!streaming) return dispatch<false>(dst, src, count, cast, counters);
        dispatch<true>(dst, src, count, cast, counters);
        stream_fence();
        return;
    }
    In gathered[kBlock];
    for (int64_t i = 0; i < count; i += kBlock) {
        const int64_t n = count - i < kBlock ? count - i : kBlock;
        for (int64_t j = 0; j < n; ++j) gathered[j] = src[(i + j) * step];
        dispatch<false>(dst + i, gathered, n, cast, counters);
    }
}

// The largest finite |src[i * step]|.
template <class T> float finite_amax(const T* src, int64_t count, int64_t step) {
    vu highest = vu{};
    T gathered[kBlock];
    for (int64_t i = 0; i < count; i += kBlock) {
        const int64_t n = count - i < kBlock ? count - i : kBlock;
        const T* p = src + i;
        if (step != 1) {
            for (int64_t j = 0; j < n; ++j) gathered[j] = src[(i + j) * step];
            p = gathered;
        }
        for (int64_t j = 0; j < n; j += kLanes) {
            const int left = static_cast<int>(n - j);
            const vu m = magnitude(left >= kLanes ? loadu(p + j) : load_n(p + j, left));
            const vu finite = m & (vu)(m < splat(kInfinityBits));
            highest = finite > highest ? finite : highest;
        }
        if (step == 0) break;  // one value
    }
    return bits_to_float(demi::DEMI_BACKEND::largest(highest));
}

DEMI_INLINE double finite_amax(const double* src, int64_t count, int64_t step) {
    double highest = 0;
    for (int64_t i = 0; i < count; ++i) {
        const double size = __builtin_fabs(src[i * step]);
        if (size > highest && __builtin_isfinite(size)) highest = size;
    }
    return highest;
}

constexpr int64_t kTile = 65536;

// Pieces of rows of a strided tensor, in tiles: fn(tile, offset, position, count, step); position is
// the place in logical order.
struct Pieces {
    const Strided<1>& shape;
    int64_t inner, outer, chunks, bundle, tiles;

    explicit Pieces(const Strided<1>& s)
        : shape(s), inner(s.sizes[s.rank - 1]), outer(inner > 0 ? s.count / inner : 0),
          chunks(inner > kTile ? ceil_div(inner, kTile) : 1),
          bundle(chunks > 1 || inner == 0 ? 1 : kTile / inner), tiles(ceil_div(outer, bundle) * chunks) {}

    template <class F> DEMI_INLINE void for_each(const F& fn) const {
        const int64_t step = shape.strides[0][shape.rank - 1];
        parallel_for(tiles, [&](int64_t tile) {
            const int64_t first = tile / chunks * bundle, begin = tile % chunks * kTile;
            for (int64_t row = first; row < outer && row < first + bundle; ++row)
                fn(tile, offsets_of(shape, row * inner + begin).at[0], row * inner + begin,
                   inner - begin < kTile ? inner - begin : kTile, step);
        });
    }
};

void cast_tensor(const CastTensor& c, Queue queue) {
    const Pieces pieces(c.shape);
    const TileCounters lost(pieces.tiles, c.lost, queue);
    const int64_t in_size = static_cast<int64_t>(size_of(c.src.dtype)),
                  out_size = static_cast<int64_t>(size_of(c.dst.dtype));
    pieces.for_each([&](int64_t tile, int64_t offset, int64_t position, int64_t count, int64_t step) {
        const char* x = static_cast<const char*>(c.src.data) + offset * in_size;
        char* y = static_cast<char*>(c.dst.data) + position * out_size;
        CastCounters* counters = lost.of(tile);
        if (c.dst.dtype == DType::f32)
            return load_row(reinterpret_cast<float*>(y), {x, c.src.dtype}, count, step, c.cast, counters,
                            false);
        float block[kBlock];
        for (int64_t i = 0; i < count; i += kBlock) {
            const int64_t n = count - i < kBlock ? count - i : kBlock;
            load_row(block, {x + i * step * in_size, c.src.dtype}, n, step, c.cast, counters, false);
            store_row({y + i * out_size, c.dst.dtype}, block, n, Cast{}, nullptr, false);
        }
    });
    lost.add_to(c.lost);
}

void amax(const FindAmax& c, Queue queue) {
    const Pieces pieces(c.shape);
    const Scratch scratch(static_cast<size_t>(pieces.tiles) * sizeof(double), queue);
    double* highest = scratch.as<double>();
    for (int64_t tile = 0; tile < pieces.tiles; ++tile) highest[tile] = 0;
    dispatch_float(c.src.dtype, [&]<class T>() {
        pieces.for_each([&](int64_t tile, int64_t offset, int64_t, int64_t count, int64_t step) {
            const double most = static_cast<double>(finite_amax(elements<T>(c.src) + offset, count, step));
            if (most > highest[tile]) highest[tile] = most;
        });
    });
    for (int64_t tile = 0; tile < pieces.tiles; ++tile)
        if (highest[tile] > c.highest[0]) c.highest[0] = highest[tile];
}

}  // namespace

void load_row(float* dst, ConstMem src, int64_t count, int64_t step, const Cast& cast, CastCounters* lost,
              bool stream) {
    if (count <= 0) return;
    switch (src.dtype) {
    case DType::f16: return load_from(dst, elements<Half>(src), count, step, cast, lost, stream);
    case DType::bf16: return load_from(dst, elements<BFloat16>(src), count, step, cast, lost, stream);
    default: return load_from(dst, elements<float>(src), count, step, cast, lost, stream);
    }
}

void store_row(Mem dst, const float* src, int64_t count, const Cast& cast, CastCounters* lost, bool stream) {
    if (count <= 0) return;
    switch (dst.dtype) {
    case DType::f16: return dispatch<false>(elements<Half>(dst), src, count, cast, lost);
    case DType::bf16: return dispatch<false>(elements<BFloat16>(dst), src, count, cast, lost);
    default: return load_from(elements<float>(dst), src, count, 1, cast, lost, stream);
    }
}

const BoundaryKernels boundary_kernels{cast_tensor, amax, load_row};

}  // namespace demi::DEMI_BACKEND
