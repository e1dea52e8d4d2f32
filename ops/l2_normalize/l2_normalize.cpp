#include "ops/l2_normalize/l2_normalize.h"

#include "ops/l2_normalize/l2_normalize_kernels.h"
#include "ops/op.h"

namespace demi {

Variable l2_normalize(const Variable& input, double eps) {
    const Op op("l2_normalize");
    const Tensor& value = op.floats("x", input);
    op.check(value.rank() >= 1, "x must have at least one dimension: got ", value);
    // The smallest normal f32 is the least that a division can take.
    op.check(eps >= 1.2e-38, "eps must be at least 1.2e-38: got ", eps);
    const Tensor x = value.contiguous();
    const int64_t rows = row_count(x), width = x.size(-1);
    Tensor y = Tensor::like(x);
    Tensor norms = Tensor::empty({rows}, compute_dtype(x.dtype()), x.device());
    if (rows > 0)
        l2_normalize_on(x.device())
            .forward({reads(x), writes(y), writes(norms), rows, width, eps}, queue_of(x));
    return op.record(input, y, [x = Saved(x), norms = Saved(norms), rows, width, eps](const Tensor& grad) {
        const Tensor dy = grad.contiguous();
        Tensor dx = Tensor::like(x.get());
        if (rows > 0)
            l2_normalize_on(dx.device())
                .backward({reads(x), reads(norms), reads(dy), writes(dx), rows, width, eps}, queue_of(dx));
        return dx;
    });
}

}  // namespace demi
