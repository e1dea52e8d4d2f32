// The matrix products of the emulated GPU: plain loops, and cublasLt's own rules about what it takes.
#include "runtime/cuda/blas.h"

#include <vector>

#include "runtime/check.h"
#include "runtime/half.h"
#include "tests/support/gpu/arena.h"
#include "tests/support/gpu/record.h"

namespace demi::gpu {
namespace {

template <class F> void with_type(DType type, F&& fn) {
    switch (type) {
    case DType::f16: return fn(Half{});
    case DType::bf16: return fn(BFloat16{});
    case DType::f32: return fn(float{});
    case DType::f64: return fn(double{});
    default: fail("cublasLt", "needs f16, bf16, f32 or f64");
    }
}

size_t element_size(DType type) {
    size_t size = 0;
    with_type(type, [&](auto zero) { size = sizeof zero; });
    return size;
}

void check_matrix(const char* name, const BlasMatrix& x, int64_t rows, int64_t columns, DType type) {
    const int64_t run = x.transposed ? rows : columns;
    check(x.ld >= run, "cublasLt", name, " [", rows, ", ", columns, "] cannot have lines ", x.ld, " apart");
    check(reinterpret_cast<uintptr_t>(x.data) % element_size(type) == 0, "cublasLt", name,
          " is not aligned to its elements");
    check(emulation::in_arena(x.data), "cublasLt", name, " is not in device memory");
}

// Matrix `b` of the batch, row after row.
template <class C>
std::vector<C> values_of(DType type, const BlasMatrix& x, int64_t b, int64_t rows, int64_t columns) {
    std::vector<C> out(static_cast<size_t>(rows * columns));
    with_type(type, [&](auto zero) {
        const auto* data = static_cast<const decltype(zero)*>(x.data) + b * x.batch_stride;
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t j = 0; j < columns; ++j)
                out[static_cast<size_t>(i * columns + j)] =
                    static_cast<C>(data[x.transposed ? j * x.ld + i : i * x.ld + j]);
    });
    return out;
}

template <class C>
std::vector<C> multiplied(const std::vector<C>& a, const std::vector<C>& b, int64_t m, int64_t n, int64_t k) {
    std::vector<C> out(static_cast<size_t>(m * n));
    for (int64_t i = 0; i < m; ++i)
        for (int64_t l = 0; l < k; ++l)
            for (int64_t j = 0; j < n; ++j)
                out[static_cast<size_t>(i * n + j)] +=
                    a[static_cast<size_t>(i * k + l)] * b[static_cast<size_t>(l * n + j)];
    return out;
}

template <class C> void multiply(const BlasCall& c) {
    for (int64_t at = 0; at < c.batch; ++at) {
        const std::vector<C> a = values_of<C>(c.type, c.a, at, c.m, c.k);
        const std::vector<C> b = values_of<C>(c.type, c.b, at, c.k, c.n);
        const std::vector<C> out = multiplied(a, b, c.m, c.n, c.k);
        with_type(c.out_type, [&](auto zero) {
            using T = decltype(zero);
            T* to = static_cast<T*>(c.c) + at * c.c_batch_stride;
            const T* bias = c.epilogue == BlasEpilogue::bias ? static_cast<const T*>(c.bias) : nullptr;
            for (int64_t i = 0; i < c.m; ++i)
                for (int64_t j = 0; j < c.n; ++j)
                    to[i * c.ldc + j] = static_cast<T>(out[static_cast<size_t>(i * c.n + j)] +
                                                       (bias != nullptr ? static_cast<C>(bias[j]) : C(0)));
            if (c.epilogue != BlasEpilogue::row_sums) return;
            for (int64_t i = 0; i < c.m; ++i) {
                C sum = 0;
                for (int64_t l = 0; l < c.k; ++l) sum += a[static_cast<size_t>(i * c.k + l)];
                static_cast<T*>(c.row_sums)[i] = static_cast<T>(sum);
            }
        });
    }
}

}  // namespace

bool blas_multiply(const BlasCall& c, Queue) {
    check(c.m > 0 && c.n > 0 && c.k > 0 && c.batch > 0 && c.batch < 65536, "cublasLt",
          "needs a product with elements: got ", c.m, " x ", c.n, " x ", c.k, ", batch ", c.batch);
    check(c.out_type == c.type || (c.out_type == DType::f32 && c.type != DType::f64), "cublasLt",
          "cannot give this type from that one");
    check_matrix("a", c.a, c.m, c.k, c.type);
    check_matrix("b", c.b, c.k, c.n, c.type);
    check_matrix("c", {c.c, c.ldc, false, c.c_batch_stride}, c.m, c.n, c.out_type);
    if (c.epilogue != BlasEpilogue::none && (c.type == DType::f64 || c.batch > 1)) return false;
    emulation::run_or_record([c] {
        const emulation::DeviceAccess access;
        c.type == DType::f64 ? multiply<double>(c) : multiply<float>(c);
    });
    return true;
}

}  // namespace demi::gpu
