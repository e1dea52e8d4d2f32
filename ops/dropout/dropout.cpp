#include "ops/dropout/dropout.h"

#include <cmath>

#include "ops/dropout/drop_path.h"
#include "ops/dropout/dropout_kernels.h"
#include "ops/op.h"
#include "runtime/capture.h"

namespace demi {

namespace {

// One draw decides over an element, or over a sample.
Variable drop(const Op& op, const Variable& input, double p, bool samples, Generator& generator,
              bool training) {
    op.floats("x", input);
    op.check(!samples || input.rank() >= 1, "x must be [samples, ...]: got ", input.value());
    op.check(p >= 0 && p <= 1, "p must be in [0, 1]: got ", p);
    if (!training || p == 0) return input;
    const Tensor x = input.value().contiguous();
    const int64_t groups = samples ? x.size(0) : x.numel();
    const LiveDraw draw = take_draw(generator, groups, x.device());
    const auto run = [=, width = groups == 0 ? 0 : x.numel() / groups](const Tensor& from) {
        Tensor to = Tensor::like(from);
        if (to.numel() > 0)
            dropout_on(from.device())
                .drop({reads(from), writes(to), from.numel(), width, draw.seed, draw.offset, draw.live,
                       static_cast<uint32_t>(std::ceil(p * 0x1p24)), p < 1 ? 1 / (1 - p) : 0},
                      queue_of(from));
        return to;
    };
    return op.record(input, run(x), [run](const Tensor& dy) { return run(dy.contiguous()); });
}

}  // namespace

Variable dropout(const Variable& x, double p, Generator& generator, bool training) {
    return drop(Op("dropout"), x, p, false, generator, training);
}
Variable drop_path(const Variable& x, double p, Generator& generator, bool training) {
    return drop(Op("drop_path"), x, p, true, generator, training);
}

}  // namespace demi
