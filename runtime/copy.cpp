#include "runtime/copy.h"

#include "runtime/convert.h"
#include "runtime/copy_kernels.h"
#include "runtime/device_api.h"
#include "runtime/strided_of.h"

namespace demi {
namespace {

// The elements that a view with at least one element spans, [first, last] in bytes of its buffer.
struct Extent {
    int64_t first, last;
};
Extent extent_of(const Tensor& t) {
    const auto size = static_cast<int64_t>(size_of(t.dtype()));
    int64_t last = t.offset();
    for (int i = 0; i < t.rank(); ++i) last += (t.shape()[i] - 1) * t.strides()[i];
    return {t.offset() * size, last * size + size - 1};
}

bool overlap(const Tensor& a, const Tensor& b) {
    if (a.buffer() != b.buffer()) return false;
    const Extent x = extent_of(a), y = extent_of(b);
    return x.first <= y.last && y.first <= x.last;
}

bool same_view(const Tensor& a, const Tensor& b) {
    return a.dtype() == b.dtype() && a.offset() == b.offset() && a.strides() == b.strides();
}

// Texts are built only when something is wrong: these run once per gradient.
void check_target(const char* op, const Tensor& dst) {
    if (!dst.defined()) [[unlikely]]
        fail(op, "needs a defined destination: got ", describe(dst));
    for (int i = 0; i < dst.rank(); ++i)
        if (dst.strides()[i] == 0 && dst.shape()[i] > 1) [[unlikely]]
            fail(op, "destination ", describe(dst),
                 " is expanded: several elements share one place in memory");
}

void check_operands(const char* op, const Tensor& dst, const Tensor& src) {
    if (!dst.defined() || !src.defined()) [[unlikely]]
        fail(op, "needs defined tensors: got ", describe(dst), " and ", describe(src));
    check(dst.shape() == src.shape(), op, "shapes must be equal: destination ", dst.shape(), ", source ",
          src.shape());
    check_target(op, dst);
}

void copy_across(Tensor& dst, const Tensor& src) {
    const Tensor flat = src.to(dst.dtype()).contiguous();
    const size_t bytes = static_cast<size_t>(flat.numel()) * size_of(dst.dtype());
    const DeviceApi& api = device_api(dst.device().is_cuda() ? dst.device() : src.device());
    Tensor landing = dst.is_contiguous() ? dst : Tensor::empty(dst.shape(), dst.dtype(), dst.device());
    api.copy(landing.mutable_raw(), dst.device(), flat.raw(), src.device(), bytes);
    if (!dst.is_contiguous()) copy(dst, landing);
}

CopyCall call_of(Tensor& dst, const Tensor& src) {
    return {{dst.mutable_raw(), dst.dtype()},
            {src.raw(), src.dtype()},
            strided<2>(dst.shape(), {&dst.strides(), &src.strides()})};
}
Strided<1> walk_of(const Tensor& t) { return strided<1>(t.shape(), {&t.strides()}); }

}  // namespace

void copy(Tensor dst, const Tensor& src) {
    check_operands("copy", dst, src);
    if (dst.numel() == 0) return;
    if (dst.device() != src.device()) return copy_across(dst, src);
    if (overlap(dst, src)) [[unlikely]] {
        if (!same_view(dst, src)) copy(dst, src.clone());
        return;
    }
    copy_on(dst.device()).copy(call_of(dst, src), queue_of(dst.device()));
}

void fill(Tensor dst, double value) {
    check_target("fill", dst);
    if (dst.numel() == 0) return;
    copy_on(dst.device())
        .fill({{dst.mutable_raw(), dst.dtype()}, value, walk_of(dst)}, queue_of(dst.device()));
}

void accumulate(Tensor dst, const Tensor& src) {
    check_operands("accumulate", dst, src);
    if (!is_float(dst.dtype()) || !is_float(src.dtype())) [[unlikely]]
        fail("accumulate", "needs floating-point tensors: got ", describe(dst), " += ", describe(src));
    if (dst.device() != src.device()) [[unlikely]]
        fail("accumulate", "devices differ: ", describe(dst), " += ", describe(src));
    if (dst.numel() == 0) return;
    if (overlap(dst, src) && !same_view(dst, src)) [[unlikely]]
        return accumulate(dst, src.clone());
    copy_on(dst.device()).accumulate(call_of(dst, src), queue_of(dst.device()));
}

bool all_finite(const Tensor& tensor) {
    if (tensor.numel() == 0 || !is_float(tensor.dtype())) return true;
    const Device device = tensor.device();
    const auto find = [&](void* bad) {
        copy_on(device).find_not_finite(
            {{tensor.raw(), tensor.dtype()}, walk_of(tensor), static_cast<uint32_t*>(bad)}, queue_of(device));
    };
    if (device.is_cpu()) {
        uint32_t bad = 0;
        find(&bad);
        return bad == 0;
    }
    Tensor bad = Tensor::zeros({1}, DType::i32, device);
    find(bad.mutable_raw());
    return bad.item() == 0;
}

// ---- runtime/convert.h

static void convert(Mem dst, ConstMem src, int64_t count) { copy_on(Device::cpu()).convert(dst, src, count); }
void convert(Half* dst, const float* src, int64_t count) {
    convert({dst, DType::f16}, {src, DType::f32}, count);
}
void convert(float* dst, const Half* src, int64_t count) {
    convert({dst, DType::f32}, {src, DType::f16}, count);
}
void convert(BFloat16* dst, const float* src, int64_t count) {
    convert({dst, DType::bf16}, {src, DType::f32}, count);
}
void convert(float* dst, const BFloat16* src, int64_t count) {
    convert({dst, DType::f32}, {src, DType::bf16}, count);
}

}  // namespace demi
