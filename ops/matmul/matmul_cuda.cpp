#include <algorithm>
#include <vector>

#include "ops/matmul/matmul_kernels.h"
#include "runtime/copy.h"
#include "runtime/cuda/blas.h"

namespace demi {
namespace {

// A matrix and its batch as cublasLt takes them; `storage` is x, or a copy of it.
struct Operand {
    Tensor storage;
    gpu::BlasMatrix matrix;
};

bool set_layout(const Tensor& x, gpu::BlasMatrix& m) {
    const int64_t rows = x.size(-2), columns = x.size(-1);
    const int64_t row_step = x.strides()[x.rank() - 2], column_step = x.strides()[x.rank() - 1];
    m.data = x.raw();
    m.transposed = false;
    m.ld = rows == 1 ? columns : row_step;
    if ((column_step == 1 || columns == 1) && m.ld >= columns) return true;
    m.transposed = true;
    m.ld = columns == 1 ? rows : column_step;
    return (row_step == 1 || rows == 1) && m.ld >= rows;
}

Operand operand(const Tensor& x) {
    Operand o{x, {}};
    if (!set_layout(x, o.matrix)) {
        o.storage = x.contiguous();
        set_layout(o.storage, o.matrix);
    }
    return o;
}

gpu::BlasCall call_of(const Tensor& a, const Tensor& b, const Operand& left, const Operand& right,
                      Tensor& out) {
    gpu::BlasCall call;
    call.type = a.dtype();
    call.out_type = out.dtype();
    call.m = a.size(-2);
    call.n = b.size(-1);
    call.k = a.size(-1);
    call.a = left.matrix;
    call.b = right.matrix;
    call.c = out.mutable_raw();
    call.ldc = call.n;
    return call;
}

void must(bool done, const Tensor& a, const Tensor& b) {
    check(done, "matmul", "cublasLt has no kernel for ", a, " with strides ", a.strides(), " times ", b,
          " with strides ", b.strides());
}

// Leading dimensions of one size and distance in a and in b become one.
struct Batch {
    std::vector<int64_t> size, a, b;  // innermost last

    Batch(const Tensor& x, const Tensor& y) {
        for (int d = 0; d < x.rank() - 2; ++d) {
            const int64_t count = x.size(d), sx = x.strides()[d], sy = y.strides()[d];
            if (count == 1) continue;
            if (!size.empty() && a.back() == count * sx && b.back() == count * sy) {
                size.back() *= count;
                a.back() = sx;
                b.back() = sy;
            } else {
                size.push_back(count);
                a.push_back(sx);
                b.push_back(sy);
            }
        }
    }
    int64_t outer() const {
        int64_t count = 1;
        for (size_t i = 0; i + 1 < size.size(); ++i) count *= size[i];
        return count;
    }
};

// The batch is one tall matrix where b is shared and a's rows follow one another.
bool is_tall(const Tensor& a, const Batch& batch) {
    const int64_t step = a.strides()[a.rank() - 2];
    return batch.size.size() == 1 && batch.b[0] == 0 && step >= a.size(-1) && batch.a[0] == a.size(-2) * step;
}

const void* moved(const void* data, int64_t elements, DType dtype) {
    return static_cast<const char*>(data) + elements * static_cast<int64_t>(size_of(dtype));
}

void product(const Tensor& a, const Tensor& b, Tensor& out) {
    if (out.numel() == 0) return;
    if (a.size(-1) == 0) return fill(out, 0);
    const Operand left = operand(a), right = operand(b);
    const Batch batch(left.storage, right.storage);
    if (batch.outer() > 16) {
        // Too many single calls: copies have one distance from each matrix to the next.
        return product(left.storage.contiguous(), right.storage.contiguous(), out);
    }
    gpu::BlasCall call = call_of(left.storage, right.storage, left, right, out);
    if (is_tall(left.storage, batch) && !left.matrix.transposed) {
        call.m *= batch.size[0];
        call.a.ld = left.storage.strides()[a.rank() - 2];  // with one row a matrix, not yet so
        return must(gpu::blas_multiply(call, a.device()), a, b);
    }
    const int64_t inner = batch.size.empty() ? 1 : batch.size.back(), step = call.m * call.n;
    const void *first_a = call.a.data, *first_b = call.b.data;
    char* first_c = static_cast<char*>(call.c);
    call.c_batch_stride = step;
    call.a.batch_stride = batch.size.empty() ? 0 : batch.a.back();
    call.b.batch_stride = batch.size.empty() ? 0 : batch.b.back();
    constexpr int64_t kMost = 65535;  // matrices in a call
    for (int64_t o = 0; o < batch.outer(); ++o) {
        int64_t rest = o, at_a = 0, at_b = 0;
        for (size_t d = batch.size.empty() ? 0 : batch.size.size() - 1; d-- > 0;) {
            at_a += rest % batch.size[d] * batch.a[d];
            at_b += rest % batch.size[d] * batch.b[d];
            rest /= batch.size[d];
        }
        for (int64_t i = 0; i < inner; i += kMost) {
            call.batch = std::min(kMost, inner - i);
            call.a.data = moved(first_a, at_a + i * call.a.batch_stride, a.dtype());
            call.b.data = moved(first_b, at_b + i * call.b.batch_stride, b.dtype());
            call.c = first_c + (o * inner + i) * step * static_cast<int64_t>(size_of(out.dtype()));
            must(gpu::blas_multiply(call, a.device()), a, b);
        }
    }
}

}  // namespace

bool blas_product(const Tensor& a, const Tensor& b, Tensor& out, const BlasExtras& extras) {
    if (out.numel() == 0 || a.size(1) == 0) {
        if (extras.bias.defined() || extras.row_sums.defined()) return false;
        fill(out, 0);
        return true;
    }
    const Operand left = operand(a), right = operand(b);
    gpu::BlasCall call = call_of(a, b, left, right, out);
    Tensor row_sums = extras.row_sums;
    if (extras.bias.defined()) {
        call.epilogue = gpu::BlasEpilogue::bias;
        call.bias = extras.bias.raw();
    } else if (row_sums.defined()) {
        call.epilogue = gpu::BlasEpilogue::row_sums;
        call.row_sums = row_sums.mutable_raw();
    }
    const bool done = gpu::blas_multiply(call, a.device());
    if (call.epilogue == gpu::BlasEpilogue::none) must(done, a, b);
    return done;
}

extern const MatmulKernels matmul_cuda;
const MatmulKernels matmul_cuda{product};

}  // namespace demi
