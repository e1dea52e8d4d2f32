#include "ops/swiglu/swiglu.h"

#include "ops/op.h"
#include "ops/swiglu/swiglu_kernels.h"

namespace demi {

Variable swiglu(const Variable& input) {
    const Op op("swiglu");
    const Tensor& value = op.floats("x", input);
    op.check(value.rank() >= 1 && value.size(-1) % 2 == 0, "x must have an even last size: got ", value);
    const Tensor x = value.contiguous();
    Shape shape = x.shape();
    const int64_t half = shape[x.rank() - 1] /= 2, rows = row_count(x);
    Tensor y = Tensor::empty(shape, x.dtype(), x.device());
    if (rows > 0) swiglu_on(x.device()).forward({reads(x), writes(y), rows, half}, queue_of(x));
    return op.record(input, y, [x = Saved(x), rows, half](const Tensor& grad) {
        const Tensor dy = grad.contiguous();
        Tensor dx = Tensor::like(x.get());
        if (rows > 0)
            swiglu_on(dx.device()).backward({reads(x), reads(dy), writes(dx), rows, half}, queue_of(dx));
        return dx;
    });
}

}  // namespace demi
