// The product by cublasLt, and what its epilogues do not do.
#include "ops/kernel_cuda.h"
#include "ops/matmul/gemm.h"
#include "ops/rows/column_sums_cuda.h"
#include "runtime/copy_kernels.h"
#include "runtime/cuda/blas.h"

namespace demi::gpu_kernels {
namespace {

template <class T> struct AddBias {
    const gpu::compute_t<T>* x;
    const T* bias;
    T* y;
    int64_t width;

    DEMI_DEVICE void operator()(int64_t i) const { gpu::store(y + i, x[i] + gpu::load(bias + i % width)); }
};

// The weight's packs, then the bias's: two tensors in one launch.
template <class T> struct Narrow {
    NarrowLayer p;
    bool aligned;

    DEMI_DEVICE void operator()(int64_t i) const {
        const int64_t first = packs_of<T>(p.weights);
        const bool weight = i < first;
        const int64_t at = (weight ? i : i - first) * kPack<T>;
        const int count = pack_size<T>(at, weight ? p.weights : p.biases);
        const bool whole = aligned && count == kPack<T>;
        const float* from = elements<float>(weight ? p.weight : p.bias) + at;
        write_values(elements<T>(weight ? p.weight_out : p.bias_out) + at, read_beside<T>(from, count, whole),
                     count, whole);
    }
};

void narrow(const NarrowLayer& call, Queue queue) {
    const bool aligned =
        all_aligned(call.weight.data, call.bias.data, call.weight_out.data, call.bias_out.data);
    gpu::dispatch_float(call.weight_out.dtype, [&](auto tag) {
        typedef gpu::tag_t<decltype(tag)> T;
        if constexpr (sizeof(T) == 2)
            launch_each(Narrow<T>{call, aligned}, packs_of<T>(call.weights) + packs_of<T>(call.biases),
                        queue);
    });
}

gpu::BlasMatrix matrix(const GemmOperand& x, int64_t rows, int64_t columns) {
    gpu::BlasMatrix m;
    m.ld = rows == 1 ? columns : x.row;
    m.transposed = !((x.col == 1 || columns == 1) && m.ld >= columns);
    if (m.transposed) m.ld = columns == 1 ? rows : x.col;
    return m;
}

Strided<1> line(int64_t count) { return {1, count, {count}, {{1}}}; }
void zero(Mem out, int64_t count, Queue queue) {
    if (count > 0) copy_kernels.fill({out, 0, line(count)}, queue);
}

// All matrices of the batch, to `out`. False where the library has no kernel for the epilogue: then nothing was done.
bool product(const GemmCall& g, Mem out, Queue queue, gpu::BlasEpilogue epilogue = gpu::BlasEpilogue::none) {
    if (g.k == 0) {
        if (epilogue == gpu::BlasEpilogue::none) zero(out, g.m * g.n * g.batch.count, queue);
        return epilogue == gpu::BlasEpilogue::none;
    }
    constexpr int64_t kMost = 65535;  // matrices in a call
    const int inner = g.batch.rank - 1;
    gpu::BlasCall call;
    call.type = g.a.mem.dtype;
    call.out_type = out.dtype;
    call.m = g.m, call.n = g.n, call.k = g.k;
    call.a = matrix(g.a, g.m, g.k);
    call.b = matrix(g.b, g.k, g.n);
    call.a.batch_stride = g.batch.strides[0][inner];
    call.b.batch_stride = g.batch.strides[1][inner];
    call.ldc = g.ldc;
    call.c_batch_stride = g.m * g.ldc;
    call.epilogue = epilogue;
    call.bias = g.bias.data;
    call.row_sums = g.row_sums.data;
    for (int64_t first = 0; first < g.batch.count; first += call.batch) {
        const Offsets<2> at = offsets_of(g.batch, first);
        const int64_t left = g.batch.sizes[inner] - first % g.batch.sizes[inner];
        call.batch = left < kMost ? left : kMost;
        call.a.data = from(g.a.mem, at.at[0]).data;
        call.b.data = from(g.b.mem, at.at[1]).data;
        call.c = from(out, first * g.m * g.ldc).data;
        if (!gpu::blas_multiply(call, queue)) return false;
    }
    return true;
}

void product_with_bias(const GemmCall& g, Queue queue) {
    if (product(g, g.c, queue, gpu::BlasEpilogue::bias)) return;
    const Scratch sums(is_half(g.c.dtype) ? static_cast<size_t>(g.m * g.n) * sizeof(float) : 0, queue);
    const Mem sum = is_half(g.c.dtype) ? Mem{sums.as<void>(), DType::f32} : g.c;
    product(g, sum, queue);
    gpu::dispatch_float(g.c.dtype, [&](auto tag) {
        typedef gpu::tag_t<decltype(tag)> T;
        const AddBias<T> add{elements<gpu::compute_t<T>>(sum), elements<T>(g.bias), elements<T>(g.c), g.n};
        launch_each(add, g.m * g.n, queue);
    });
}

void sum_rows(const GemmCall& g, Queue queue) {
    if (g.m == 0 || g.k == 0) return zero(g.row_sums, g.m, queue);
    const DType stored = g.row_sums.dtype, dtype = is_half(stored) ? DType::f32 : stored;
    const auto bytes = [&](int64_t count) { return static_cast<size_t>(count) * size_of(dtype); };
    const Scratch sums(is_half(stored) ? bytes(g.m) : 0, queue);
    const Scratch partial(bytes(row_blocks(g.k).count * g.m), queue);
    void* out = is_half(stored) ? sums.as<void>() : g.row_sums.data;
    column_sums(g.a.mem.dtype, {g.a.mem.data, out, partial.as<void>(), g.k, g.m}, queue.stream);
    if (is_half(stored)) copy_kernels.copy({g.row_sums, {out, dtype}, {1, g.m, {g.m}, {{1}, {1}}}}, queue);
}

void multiply(const GemmCall& g, Queue queue) {
    const bool some = g.m > 0 && g.n > 0, sums = g.row_sums.data != nullptr;
    if (some && g.bias.data != nullptr) return product_with_bias(g, queue);
    if (some && sums && g.row_sums.dtype == g.c.dtype && product(g, g.c, queue, gpu::BlasEpilogue::row_sums))
        return;
    if (some) product(g, g.c, queue);
    if (sums) sum_rows(g, queue);
}

}  // namespace

const GemmKernels gemm_kernels = {multiply, nullptr, narrow};

}  // namespace demi::gpu_kernels
