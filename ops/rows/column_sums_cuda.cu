#include "ops/rows/rows_cuda.h"

namespace demi::gpu_kernels {
namespace {

// A block adds 32 columns: each warp takes every 32nd partial row, several under way at a time, and in the
// end all that the warps have of one column.
template <class C> struct SumPartialsKernel {
    static constexpr int threads = 1024, kWarps = 32, kAtOnce = 8;
    static constexpr size_t kShared = kWarps * 33 * sizeof(C);
    SumPartials p;

    DEMI_DEVICE void operator()() const {
        const int64_t columns = p.out1 != nullptr ? 2 * p.width : p.width;
        const int64_t column = static_cast<int64_t>(gpu::block_idx().x) * 32 + gpu::lane();
        const C* partial = static_cast<const C*>(p.partial);
        C sum = 0;
        for (int64_t b = gpu::warp(); column < columns && b < p.blocks; b += kAtOnce * kWarps) {
            C next[kAtOnce];
            DEMI_UNROLL
            for (int i = 0; i < kAtOnce; ++i)
                next[i] = b + i * kWarps < p.blocks ? partial[(b + i * kWarps) * columns + column] : C(0);
            DEMI_UNROLL
            for (int i = 0; i < kAtOnce; ++i) sum += next[i];
        }
        C* scratch = gpu::shared<C>();
        scratch[gpu::warp() * 33 + gpu::lane()] = sum;
        gpu::sync_threads();
        sum = gpu::warp_sum(scratch[gpu::lane() * 33 + gpu::warp()]);
        const int64_t out = static_cast<int64_t>(gpu::block_idx().x) * 32 + gpu::warp();
        if (gpu::lane() != 0 || out >= columns) return;
        (out < p.width ? static_cast<C*>(p.out0)[out] : static_cast<C*>(p.out1)[out - p.width]) = sum;
    }
};

template <class T, class Plan> struct ColumnSumsKernel {
    typedef gpu::compute_t<T> C;
    static constexpr int threads = Plan::kBlock;
    ColumnSumsCall p;
    int64_t per;
    bool aligned;

    DEMI_DEVICE void operator()() const {
        const int64_t block = gpu::block_idx().x, begin = block * per;
        const int64_t end = begin + per < p.rows ? begin + per : p.rows;
        ColumnSums<T, Plan> sums(static_cast<C*>(p.partial) + block * p.width, p.width);
        for (int64_t r = begin + Plan::place(); r < end; r += Plan::kRows) {
            const T* row = static_cast<const T*>(p.x) + r * p.width;
            Plan::template each_pack<T>(p.width, [&](int k, int64_t at, int count) {
                const Values<T> x = read_values(row + at, count, aligned);
                DEMI_UNROLL
                for (int i = 0; i < kPack<T>; ++i)
                    if (i < count) sums.add(k, at, i, x.v[i]);
            });
        }
        sums.finish(p.width, gpu::shared<C>());
    }
};

}  // namespace

void sum_partials(DType type, const SumPartials& call, gpu::Stream stream) {
    const int64_t columns = call.out1 != nullptr ? 2 * call.width : call.width;
    const gpu::Dim3 grid{static_cast<unsigned>((columns + 31) / 32)};
    const auto run = [&](auto kernel) {
        gpu::launch(kernel, grid, {1024}, decltype(kernel)::kShared, stream);
    };
    type == DType::f64 ? run(SumPartialsKernel<double>{call}) : run(SumPartialsKernel<float>{call});
}

void column_sums(DType type, const ColumnSumsCall& call, gpu::Stream stream) {
    const RowBlocks blocks = row_blocks(call.rows);
    with_rows(type, call.width, [&](auto tag, auto plan) {
        typedef gpu::tag_t<decltype(tag)> T;
        typedef decltype(plan) Plan;
        const bool aligned = call.width % kPack<T> == 0 && all_aligned(call.x);
        gpu::launch(ColumnSumsKernel<T, Plan>{call, blocks.per, aligned},
                    {static_cast<unsigned>(blocks.count)}, {Plan::kBlock},
                    ColumnSums<T, Plan>::shared_bytes(call.width), stream);
    });
    sum_partials(type, {call.partial, call.out, nullptr, blocks.count, call.width}, stream);
}

}  // namespace demi::gpu_kernels
