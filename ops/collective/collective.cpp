#include "ops/collective/collective.h"

#include "ops/op.h"

namespace demi {

static Tensor sum_and_scatter(const Tensor& x, const Communicator& world) {
    return world.reduce_scatter(x.dtype() == DType::f64 ? x : x.to(DType::f32)).to(x.dtype());
}

Variable all_gather(const Variable& x, const Communicator& world) {
    const Op op("all_gather");
    return op.record(x, world.all_gather(x.value()),
                     [world](const Tensor& dy) { return sum_and_scatter(dy, world); });
}

Variable reduce_scatter(const Variable& x, const Communicator& world) {
    const Op op("reduce_scatter");
    op.check(x.defined() && is_float(x.dtype()), "needs floats: got ", x.value());
    return op.record(x, sum_and_scatter(x.value(), world),
                     [world](const Tensor& dy) { return world.all_gather(dy); });
}

}  // namespace demi
