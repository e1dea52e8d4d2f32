#include <cstring>

#include "ops/common/isa_index.h"
#include "ops/drop_path/drop_path_kernels.h"
#include "ops/dropout/dropout_isa.h"
#include "runtime/parallel.h"

namespace demi {

const DropoutIsa& dropout_isa();

namespace {

void apply(const Tensor& x, DropoutDraw draw, Tensor& y) {
    const int64_t samples = x.size(0), width = x.numel() / samples;
    const size_t bytes = size_of(x.dtype());
    const char* in = static_cast<const char*>(x.raw());
    char* out = static_cast<char*>(y.mutable_raw());
    constexpr int64_t kGrain = 32768;
    const int64_t pieces = ceil_div(width, kGrain), together = std::max<int64_t>(kGrain / width, 1);
    const auto piece = [&](int64_t sample, int64_t begin) {
        const int64_t count = std::min(kGrain, width - begin);
        const size_t at = static_cast<size_t>(sample * width + begin) * bytes;
        const uint32_t word = random_word(draw.at.seed, draw.at.offset, static_cast<uint64_t>(sample));
        if ((word >> 8) < draw.threshold) {
            std::memset(out + at, 0, static_cast<size_t>(count) * bytes);
        } else if (x.dtype() == DType::f64) {
            const double* from = reinterpret_cast<const double*>(in + at);
            double* to = reinterpret_cast<double*>(out + at);
            for (int64_t i = 0; i < count; ++i) to[i] = from[i] * draw.scale;
        } else {
            dropout_isa().scale[isa_index(x.dtype(), "drop_path")](in + at, out + at, count,
                                                                   static_cast<float>(draw.scale));
        }
    };
    parallel_for(ceil_div(samples, together) * pieces, [&](int64_t tile) {
        const int64_t first = tile / pieces * together;
        for (int64_t s = first; s < std::min(first + together, samples); ++s)
            piece(s, tile % pieces * kGrain);
    });
}

}  // namespace

const DropPathKernels drop_path_cpu{.apply = apply};

}  // namespace demi
