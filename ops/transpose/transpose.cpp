#include "ops/transpose/transpose.h"

#include "autograd/record.h"
#include "runtime/profile.h"

namespace demi {

Variable transpose(const Variable& x, int a, int b) {
    const ProfileScope scope("transpose");
    return record("transpose", {x}, x.value().transpose(a, b),
                  [a, b](const Tensor& dy, const Needs&) -> Tensors { return {dy.transpose(a, b)}; });
}

}  // namespace demi
