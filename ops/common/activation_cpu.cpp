#include "ops/common/activation.h"
#include "ops/common/activation_isa.h"
#include "ops/common/isa_index.h"
#include "runtime/parallel.h"

namespace demi {

constexpr int64_t kGrain = 32768;

void activation_forward(const ActivationIsa& isa, double (*value)(double), const Tensor& x, Tensor& y) {
    if (x.dtype() == DType::f64) {
        const double* in = x.data<double>();
        double* out = y.mutable_data<double>();
        parallel_ranges(x.numel(), kGrain / 4, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) out[i] = value(in[i]);
        });
        return;
    }
    const auto run = isa.forward[isa_index(x.dtype(), "activation")];
    const size_t bytes = size_of(x.dtype());
    const char* in = static_cast<const char*>(x.raw());
    char* out = static_cast<char*>(y.mutable_raw());
    parallel_ranges(x.numel(), kGrain, [&](int64_t begin, int64_t end) {
        const size_t at = static_cast<size_t>(begin) * bytes;
        run(in + at, out + at, end - begin);
    });
}

void activation_backward(const ActivationIsa& isa, double (*grad)(double x, double dy), const Tensor& x,
                         const Tensor& dy, Tensor& dx) {
    if (x.dtype() == DType::f64) {
        const double *in = x.data<double>(), *from = dy.data<double>();
        double* out = dx.mutable_data<double>();
        parallel_ranges(x.numel(), kGrain / 4, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) out[i] = grad(in[i], from[i]);
        });
        return;
    }
    const auto run = isa.backward[isa_index(x.dtype(), "activation")];
    const size_t bytes = size_of(x.dtype());
    const char *in = static_cast<const char*>(x.raw()), *from = static_cast<const char*>(dy.raw());
    char* out = static_cast<char*>(dx.mutable_raw());
    parallel_ranges(x.numel(), kGrain, [&](int64_t begin, int64_t end) {
        const size_t at = static_cast<size_t>(begin) * bytes;
        run(in + at, from + at, out + at, end - begin);
    });
}

}  // namespace demi
