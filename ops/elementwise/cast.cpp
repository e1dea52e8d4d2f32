#include "ops/elementwise/cast.h"

#include "ops/op.h"

namespace demi {

Variable cast(const Variable& x, DType dtype) {
    const Op op("cast");
    check(x.defined(), "cast", "x must be a defined tensor");
    if (x.dtype() == dtype) return x;
    if (!is_float(dtype)) return x.value().to(dtype);
    return op.record(x, x.value().to(dtype), [from = x.dtype()](const Tensor& dy) { return dy.to(from); });
}

Variable to_device(const Variable& x, Device device) {
    const Op op("to_device");
    check(x.defined(), "to_device", "x must be a defined tensor");
    if (x.device() == device) return x;
    return op.record(x, x.value().to(device), [from = x.device()](const Tensor& dy) { return dy.to(from); });
}

Variable detach(const Variable& x) {
    check(x.defined(), "detach", "x must be a defined tensor");
    return x.detach();
}

}  // namespace demi
