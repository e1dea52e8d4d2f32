#include "ops/softmax/softmax.h"

#include "ops/op.h"
#include "ops/softmax/softmax_kernels.h"

namespace demi {
namespace {

// The kernels work on the last dimension; another one is moved there and back.
Variable softmax_along(const Op& op, bool log, const Variable& input, int dim) {
    const Tensor& value = op.floats("x", input);
    op.check(value.rank() >= 1, "x must have at least one dimension: got ", value);
    const int at = normalize_dim(dim, value.rank(), op.name());
    const Tensor x = value.transpose(at, -1).contiguous();
    Tensor y = Tensor::like(x);
    const int64_t rows = row_count(x), width = x.size(-1);
    if (rows > 0) softmax_on(x.device()).forward({reads(x), writes(y), rows, width, log}, queue_of(x));
    return op.record(input, y.transpose(at, -1), [y = Saved(y), at, rows, width, log](const Tensor& grad) {
        const Tensor dy = grad.transpose(at, -1).contiguous();
        Tensor dx = Tensor::like(dy);
        if (rows > 0)
            softmax_on(dx.device())
                .backward({reads(y), reads(dy), writes(dx), rows, width, log}, queue_of(dx));
        return dx.transpose(at, -1);
    });
}

}  // namespace

Variable softmax(const Variable& x, int dim) { return softmax_along(Op("softmax"), false, x, dim); }
Variable log_softmax(const Variable& x, int dim) { return softmax_along(Op("log_softmax"), true, x, dim); }

}  // namespace demi
