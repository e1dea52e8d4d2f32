#include "runtime/copy.h"

#include "runtime/copy_kernels.h"
#include "runtime/device_api.h"

namespace demi {

namespace {

void check_same_shape(const char* op, const Tensor& dst, const Tensor& src) {
    check(dst.defined() && src.defined(), op, "needs defined tensors: got ", describe(dst), " and ", describe(src));
    check(dst.shape() == src.shape(), op, "shapes must be equal: destination ", dst.shape(), ", source ", src.shape());
}

void copy_across(Tensor& dst, const Tensor& src) {
    const Tensor flat = src.to(dst.dtype()).contiguous();
    const size_t bytes = static_cast<size_t>(flat.numel()) * size_of(dst.dtype());
    const DeviceApi& api = device_api(dst.device().is_cuda() ? dst.device() : src.device());
    Tensor landing = dst.is_contiguous() ? dst : Tensor::empty(dst.shape(), dst.dtype(), dst.device());
    api.copy(landing.mutable_raw(), dst.device(), flat.raw(), src.device(), bytes);
    if (!dst.is_contiguous()) copy(dst, landing);
}

}  // namespace

void copy(Tensor dst, const Tensor& src) {
    check_same_shape("copy", dst, src);
    if (dst.numel() == 0) return;
    if (dst.device() != src.device()) return copy_across(dst, src);
    DEMI_SELECT(copy, dst.device(), copy)(dst, src);
}

void fill(Tensor dst, double value) {
    if (dst.numel() > 0) DEMI_SELECT(copy, dst.device(), fill)(dst, value);
}

void accumulate(Tensor dst, const Tensor& src) {
    check_same_shape("accumulate", dst, src);
    check(is_float(dst.dtype()) && is_float(src.dtype()), "accumulate", "needs floating-point tensors: got ",
          describe(dst), " += ", describe(src));
    check(dst.device() == src.device(), "accumulate", "devices differ: ", describe(dst), " += ", describe(src));
    if (dst.numel() > 0) DEMI_SELECT(copy, dst.device(), accumulate)(dst, src);
}

bool all_finite(const Tensor& tensor) {
    if (tensor.numel() == 0 || !is_float(tensor.dtype())) return true;
    return DEMI_SELECT(copy, tensor.device(), all_finite)(tensor);
}

}  // namespace demi
