#include <cmath>

#include "ops/common/isa_index.h"
#include "ops/dropout/dropout_isa.h"
#include "ops/dropout/dropout_kernels.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace demi {

DEMI_ISA_TABLE(DropoutIsa, dropout_isa)

DropoutDraw dropout_draw(LiveDraw draw, double p) {
    return {draw, static_cast<uint32_t>(std::ceil(p * 0x1p24)), p < 1 ? 1 / (1 - p) : 0};
}

namespace {

void apply_f64(const double* x, double* y, int64_t begin, int64_t end, const DropoutDraw& draw) {
    for (int64_t i = begin; i < end; ++i) {
        const uint32_t word = random_word(draw.at.seed, draw.at.offset, static_cast<uint64_t>(i));
        y[i] = (word >> 8) >= draw.threshold ? x[i] * draw.scale : 0;
    }
}

void apply(const Tensor& x, DropoutDraw draw, Tensor& y) {
    const size_t bytes = size_of(x.dtype());
    const char* in = static_cast<const char*>(x.raw());
    char* out = static_cast<char*>(y.mutable_raw());
    constexpr int64_t kGrain = 16384;  // a whole number of Philox blocks
    parallel_ranges(x.numel(), kGrain, [&](int64_t begin, int64_t end) {
        if (x.dtype() == DType::f64)
            return apply_f64(x.data<double>(), reinterpret_cast<double*>(out), begin, end, draw);
        const size_t at = static_cast<size_t>(begin) * bytes;
        dropout_isa().apply[isa_index(x.dtype(), "dropout")](
            in + at, out + at, end - begin, draw.at.seed, draw.at.offset + static_cast<uint64_t>(begin / 4),
            draw.threshold, static_cast<float>(draw.scale));
    });
}

}  // namespace

const DropoutKernels dropout_cpu{.apply = apply};

}  // namespace demi
