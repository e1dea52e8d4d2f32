// A block stays in the first-level cache, so that counting it a second time (only where its range shows that something
// was lost) costs no memory traffic.
#include "ops/boundary/boundary_cpu.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr int64_t kBlock = 1024;

// kPlain: no scaling, no saturation.
template <bool kPlain, class T> DEMI_INLINE vf scaled(const T* p, int n, const Cast& cast) {
    return kPlain ? get(p, n) : get(p, n) * broadcast(cast.scale);
}
template <bool kRound, bool kPlain> DEMI_INLINE vf cross(vf scaled, const Cast& cast) {
    vf y = scaled;
    if (!kPlain && cast.saturate) y = saturate_f16(y);
    if (kRound) y = round_f16(y);
    return kPlain ? y : y * broadcast(cast.undo);
}

template <bool kRound, bool kCount, bool kPlain, class Out, class In>
void cross_all(Out* dst, const In* src, int64_t count, const Cast& call, CastCounters* counters,
               bool streaming) {
    const Cast cast =
        call;  // in registers: read through a reference it would be read again after every store
    Watch watch;
    for (int64_t done = 0, n; done < count; done += n, dst += n, src += n) {
        n = kCount ? kRangeBlock + (streaming ? unaligned(dst) : 0) : count;  // later blocks begin aligned
        n = count - done < n ? count - done : n;
        Range range;
        for_aligned_lanes(
            dst, n, streaming, [&](int64_t i, int lanes) __attribute__((always_inline)) {
                const vf x = scaled<kPlain>(src + i, lanes, cast);
                if (kCount) range.add(x);
                put_past(dst + i, cross<kRound, kPlain>(x, cast), lanes, streaming);
            });
        if (kCount)
            watch.block(range, n, counters,
                        [src, &cast](int64_t i, int lanes) { return scaled<kPlain>(src + i, lanes, cast); });
    }
    if (kCount) watch.into(counters);
}

template <class Out, class In>
void cross_as_told(Out* dst, const In* src, int64_t count, const Cast& cast, CastCounters* counters,
                   bool streaming) {
    const bool plain = cast.scale == 1 && cast.undo == 1 && !cast.saturate;
    const auto all = [&]<bool kRound, bool kCount>() {
        plain ? cross_all<kRound, kCount, true>(dst, src, count, cast, counters, streaming)
              : cross_all<kRound, kCount, false>(dst, src, count, cast, counters, streaming);
    };
    if (!cast.round) return all.template operator()<false, false>();
    cast.count&& counters != nullptr ? all.template operator()<true, true>()
                                     : all.template operator()<true, false>();
}

// Elements [i, i + n) of a strided row, brought together in `room` where they do not follow one another.
template <class T> DEMI_INLINE const T* joined(const T* src, int64_t i, int64_t n, int64_t step, T* room) {
    if (step == 1) return src + i;
    for (int64_t j = 0; j < n; ++j) room[j] = src[(i + j) * step];
    return room;
}

template <class In>
void load_from(float* dst, const In* src, int64_t count, int64_t step, const Cast& cast,
               CastCounters* counters, bool streaming) {
    if (step == 1 || count == 1) {
        cross_as_told(dst, src, count, cast, counters, streaming);
        if (streaming) stream_fence();
        return;
    }
    In room[kBlock];
    for (int64_t i = 0, n; i < count; i += n) {
        n = count - i < kBlock ? count - i : kBlock;
        cross_as_told(dst + i, joined(src, i, n, step, room), n, cast, counters, false);
    }
}

// The largest finite |src[i * step]|.
template <class T> float finite_amax(const T* src, int64_t count, int64_t step) {
    vu highest = vu{};
    T room[kBlock];
    for (int64_t i = 0, n; i < count; i += n) {
        n = count - i < kBlock ? count - i : kBlock;
        const T* p = joined(src, i, n, step, room);
        for_lanes<T>(
            n, [&](int64_t j, int lanes) __attribute__((always_inline)) {
                const vu m = magnitude(get(p + j, lanes));
                const vu finite = m & (vu)(m < splat(kInfinityBits));
                highest = finite > highest ? finite : highest;
            });
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

// fn(tile, the place in logical order, offset, count, step) for pieces of the rows of a strided tensor.
struct Pieces {
    const Strided<1>& shape;
    RowPieces tiles;

    explicit Pieces(const Strided<1>& s)
        : shape(s), tiles(s.count > 0 ? s.count / s.sizes[s.rank - 1] : 0, s.sizes[s.rank - 1], 65536) {}

    template <class F> DEMI_INLINE void for_each(const F& fn) const {
        tiles.for_each([&](int64_t tile, int64_t row, int64_t end, int64_t begin, int64_t n) {
            for (; row < end; ++row) {
                const int64_t place = row * tiles.width + begin;
                fn(tile, place, offsets_of(shape, place).at[0], n, shape.strides[0][shape.rank - 1]);
            }
        });
    }
};

void cast_tensor(const CastTensor& c, Queue queue) {
    const Pieces pieces(c.shape);
    const TileCounters lost(pieces.tiles.count, c.lost, queue);
    pieces.for_each([&](int64_t tile, int64_t place, int64_t offset, int64_t count, int64_t step) {
        cross_row(from(c.dst, place), from(c.src, offset), count, step, c.cast, lost.of(tile), false);
    });
}

void amax(const FindAmax& c, Queue queue) {
    const Pieces pieces(c.shape);
    const Scratch scratch(static_cast<size_t>(pieces.tiles.count) * sizeof(double), queue);
    double* highest = scratch.as<double>();
    for (int64_t tile = 0; tile < pieces.tiles.count; ++tile) highest[tile] = 0;
    dispatch_float(c.src.dtype, [&]<class T>() {
        pieces.for_each([&](int64_t tile, int64_t, int64_t offset, int64_t count, int64_t step) {
            const double most = static_cast<double>(finite_amax(elements<T>(c.src) + offset, count, step));
            if (most > highest[tile]) highest[tile] = most;
        });
    });
    for (int64_t tile = 0; tile < pieces.tiles.count; ++tile)
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
    case DType::f16: return cross_as_told(elements<Half>(dst), src, count, cast, lost, false);
    case DType::bf16: return cross_as_told(elements<BFloat16>(dst), src, count, cast, lost, false);
    default: return load_from(elements<float>(dst), src, count, 1, cast, lost, stream);
    }
}

void cross_row(Mem dst, ConstMem src, int64_t count, int64_t step, const Cast& cast, CastCounters* lost,
               bool stream) {
    if (dst.dtype == DType::f32) return load_row(elements<float>(dst), src, count, step, cast, lost, stream);
    float block[kBlock];
    for (int64_t i = 0, n; i < count; i += n) {
        n = count - i < kBlock ? count - i : kBlock;
        load_row(block, from(src, i * step), n, step, cast, lost, false);
        store_row(from(dst, i), block, n, Cast{}, nullptr, false);
    }
}

const BoundaryKernels boundary_kernels{cast_tensor, amax, load_row};

}  // namespace demi::DEMI_BACKEND
