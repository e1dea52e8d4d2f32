#include "ops/collective/collective.h"

#include "autograd/record.h"
#include "runtime/profile.h"

namespace demi {

static Tensor sum_and_scatter(const Tensor& x, const Communicator& world) {
    return world.reduce_scatter(x.dtype() == DType::f64 ? x : x.to(DType::f32)).to(x.dtype());
}

Variable all_gather(const Variable& x, const Communicator& world) {
    const ProfileScope scope("all_gather");
    return record(
        "all_gather", {x}, world.all_gather(x.value()),
        [world](const Tensor& dy, const Needs&) -> Tensors { return {sum_and_scatter(dy, world)}; });
}

Variable reduce_scatter(const Variable& x, const Communicator& world) {
    const ProfileScope scope("reduce_scatter");
    check(x.defined() && is_float(x.dtype()), "reduce_scatter", "needs floats: got ", x.value());
    return record("reduce_scatter", {x}, sum_and_scatter(x.value(), world),
                  [world](const Tensor& dy, const Needs&) -> Tensors { return {world.all_gather(dy)}; });
}

}  // namespace demi
