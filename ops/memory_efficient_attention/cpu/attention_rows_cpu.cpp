// Rows of operands and results: converted, rounded, scaled and counted on their way in and out.
// And dropout's.
#include "ops/memory_efficient_attention/cpu/attention_tiles.h"
#include "runtime/cuda/gpu_bits.h"

namespace demi::DEMI_BACKEND::attention {
namespace {

DEMI_INLINE vf through_f16(vf x, const Cast& cast) {
    if (!cast.round) return x;
    return round_f16(cast.saturate ? saturate_f16(x) : x);
}

// Rows of one head are far apart, often a page each: the processor does not foresee them.
constexpr int64_t kAhead = 8;

template <class T>
bool load_rows_of(const AttentionOperand& in, int64_t rows, int64_t columns, float* out, int64_t width,
                  float factor) {
    const T* data = static_cast<const T*>(in.data);
    const Cast cast = in.cast;
    const vf before = broadcast(cast.scale), after = broadcast(cast.undo * factor);
    AllFinite<float> finite;
    for (int64_t r = 0; r < rows; ++r) {
        const T* row = data + r * in.token;
        float* to = out + r * width;
        if (r + kAhead < rows) fetch_row(in, r + kAhead, columns);
        for_lanes<T>(columns, [&] DEMI_LANES {
            const vf x = through_f16(get(row + i, n) * before, cast) * after;
            finite.add(x);
            storeu(to + i, x);
        });
    }
    return finite.good();
}

template <class T>
void store_row_of(T* out, const Cast& cast, const float* in, int64_t columns, float factor) {
    const vf times = broadcast(factor), before = broadcast(cast.scale), after = broadcast(cast.undo);
    for_lanes<T>(columns, [&] DEMI_LANES {
        put(out + i, through_f16(get(in + i, n) * times * before, cast) * after, n);
    });
}

// As boundary_cpu.h counts; a row is a block.
template <class T>
void count_rows_of(const AttentionOperand& in, int64_t rows, int64_t columns, float factor,
                   CastCounters* lost) {
    const vf times = broadcast(factor), before = broadcast(in.cast.scale);
    Watch watch;
    for (int64_t r = 0; r < rows; ++r) {
        const T* row = static_cast<const T*>(in.data) + r * in.token;
        if (r + kAhead < rows) fetch_row(in, r + kAhead, columns);
        Range range;
        const auto value = [=](int64_t j, int n) { return get(row + j, n) * times * before; };
        for_lanes<T>(columns, [&] DEMI_LANES { range.add(value(i, n)); });
        watch.block(range, columns, lost, value);
    }
    watch.into(lost);
}

// fn(element of the dtype)
template <class F> DEMI_INLINE auto with_type(DType dtype, const F& fn) {
    return dtype == DType::f16 ? fn(Half{}) : dtype == DType::bf16 ? fn(BFloat16{}) : fn(float{});
}

}  // namespace

bool load_rows(const AttentionOperand& in, int64_t rows, int64_t columns, float* out, int64_t width,
               float factor) {
    return with_type(
        in.dtype, [&](auto t) { return load_rows_of<decltype(t)>(in, rows, columns, out, width, factor); });
}

void store_row(const AttentionResult& out, int64_t row, const float* in, int64_t columns, float factor,
               CastCounters* lost) {
    if (lost != nullptr) count_rows_of<float>({in, 0, 0, 0, DType::f32, out.cast}, 1, columns, factor, lost);
    with_type(out.dtype, [&](auto t) {
        store_row_of(static_cast<decltype(t)*>(out.data) + row * out.token, out.cast, in, columns, factor);
    });
}

void count_rows(const AttentionOperand& in, int64_t rows, int64_t columns, CastCounters* lost) {
    if (lost == nullptr) return;
    with_type(in.dtype, [&](auto t) { count_rows_of<decltype(t)>(in, rows, columns, 1.f, lost); });
}

void dropout_factors(const AttentionCall& c, int64_t batch, int64_t head, int64_t query, int64_t key,
                     int64_t n, float* factor) {
    const auto row = static_cast<uint64_t>((batch * c.heads + head) * c.queries + query);
    const uint64_t first = row * static_cast<uint64_t>(c.keys) + static_cast<uint64_t>(key);
    const double dropped = c.dropout.probability;
    const auto p = static_cast<float>(dropped);
    const float kept = dropped < 1 ? static_cast<float>(1 / (1 - dropped)) : 0.f;
    for (int64_t j = 0; j < n;) {  // word i of the stream is word i % 4 of Philox block i / 4
        const uint64_t word = first + static_cast<uint64_t>(j);
        const gpu::Words4 bits = gpu::philox_block(c.dropout.seed, c.dropout.offset + word / 4);
        for (uint64_t i = word % 4; i < 4 && j < n; ++i, ++j)
            factor[j] = gpu::to_uniform(bits.w[i]) >= p ? kept : 0.f;
    }
}

}  // namespace demi::DEMI_BACKEND::attention
