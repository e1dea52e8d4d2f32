#include <sstream>

#include "runtime/tensor.h"

#include "runtime/copy.h"
#include "runtime/device_api.h"

namespace demi {

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
    for (int64_t size : shape) check(size >= 0, "tensor", "sizes must not be negative: got ", shape);
    Tensor t;
    t.dtype_ = dtype;
    t.shape_ = shape;
    t.numel_ = shape.numel();
    t.strides_ = contiguous_strides(shape);
    const int64_t bytes = checked_mul(t.numel_, static_cast<int64_t>(size_of(dtype)), "tensor");
    t.buffer_ = std::make_shared<Buffer>(device, static_cast<size_t>(bytes));
    return t;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) { return full(shape, 0, dtype, device); }

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
    Tensor t = empty(shape, dtype, device);
    fill(t, value);
    return t;
}

Tensor Tensor::arange(int64_t count, DType dtype, Device device) {
    Tensor t = empty({count}, dtype);
    dispatch_all(dtype, "arange", [&]<class T>() {
        T* out = t.mutable_data<T>();
        for (int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(i);
    });
    return t.to(device);
}

Tensor Tensor::like(const Tensor& other) { return empty(other.shape(), other.dtype(), other.device()); }

template <class T> Tensor Tensor::from(std::span<const T> values, const Shape& shape, Device device) {
    check(static_cast<int64_t>(values.size()) == shape.numel(), "tensor", "shape ", shape, " needs ",
          shape.numel(), " values: got ", values.size());
    Tensor t = empty(shape, dtype_of<T>, device);
    if (!values.empty())
        device_api(device).copy(t.mutable_raw(), device, values.data(), Device::cpu(),
                                values.size() * sizeof(T));
    return t;
}

template Tensor Tensor::from(std::span<const Half>, const Shape&, Device);
template Tensor Tensor::from(std::span<const BFloat16>, const Shape&, Device);
template Tensor Tensor::from(std::span<const float>, const Shape&, Device);
template Tensor Tensor::from(std::span<const double>, const Shape&, Device);
template Tensor Tensor::from(std::span<const int32_t>, const Shape&, Device);
template Tensor Tensor::from(std::span<const int64_t>, const Shape&, Device);
template Tensor Tensor::from(std::span<const uint8_t>, const Shape&, Device);

Device Tensor::device() const {
    check(defined(), "tensor", "needs a defined tensor: got an undefined one");
    return buffer_->device();
}

int64_t Tensor::size(int dim) const { return shape_[normalize_dim(dim, rank(), "size")]; }

bool Tensor::is_contiguous() const {
    if (numel_ == 0) return true;
    int64_t step = 1;
    for (int i = rank() - 1; i >= 0; --i) {
        if (shape_[i] != 1 && strides_[i] != step) return false;
        step *= shape_[i];
    }
    return true;
}

const void* Tensor::raw() const {
    check(defined(), "tensor", "needs a defined tensor: got an undefined one");
    const char* base = static_cast<const char*>(buffer_->data());
    return numel_ == 0 ? base : base + offset_ * static_cast<int64_t>(size_of(dtype_));
}

void* Tensor::mutable_raw() {
    check(defined(), "tensor", "needs a defined tensor: got an undefined one");
    char* base = static_cast<char*>(buffer_->mutable_data());
    return numel_ == 0 ? base : base + offset_ * static_cast<int64_t>(size_of(dtype_));
}

template <class T> const T* Tensor::data() const {
    check(dtype_ == dtype_of<T>, "tensor", "memory read as ", dtype_of<T>, " but the tensor is ", dtype_);
    return static_cast<const T*>(raw());
}

template <class T> T* Tensor::mutable_data() {
    check(dtype_ == dtype_of<T>, "tensor", "memory written as ", dtype_of<T>, " but the tensor is ", dtype_);
    return static_cast<T*>(mutable_raw());
}

template <class T> std::vector<T> Tensor::to_vector() const {
    const Tensor flat = to(Device::cpu()).to(dtype_of<T>).contiguous();
    const T* first = flat.data<T>();
    return std::vector<T>(first, first + flat.numel());
}

#define DEMI_INSTANTIATE(T) \
    template const T* Tensor::data<T>() const; \
    template T* Tensor::mutable_data<T>(); \
    template std::vector<T> Tensor::to_vector<T>() const;
DEMI_INSTANTIATE(Half)
DEMI_INSTANTIATE(BFloat16)
DEMI_INSTANTIATE(float)
DEMI_INSTANTIATE(double)
DEMI_INSTANTIATE(int32_t)
DEMI_INSTANTIATE(int64_t)
DEMI_INSTANTIATE(uint8_t)
template const bool* Tensor::data<bool>() const;
template bool* Tensor::mutable_data<bool>();
#undef DEMI_INSTANTIATE

Tensor Tensor::reshape(const Shape& shape) const {
    return is_contiguous() ? view(shape) : clone().view(shape);
}

Tensor Tensor::contiguous() const { return is_contiguous() ? *this : clone(); }

Tensor Tensor::clone() const {
    Tensor out = like(*this);
    copy(out, *this);
    return out;
}

Tensor Tensor::to(DType dtype) const {
    if (dtype == dtype_) return *this;
    Tensor out = empty(shape_, dtype, device());
    copy(out, *this);
    return out;
}

Tensor Tensor::to(Device target) const {
    if (target == device()) return *this;
    Tensor out = empty(shape_, dtype_, target);
    copy(out, *this);
    return out;
}

double Tensor::item() const {
    check(numel_ == 1, "item", "needs a tensor with one element: got ", describe(*this));
    return to(Device::cpu()).to(DType::f64).data<double>()[0];
}

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) {
    if (!tensor.defined()) return out << "an undefined tensor";
    return out << tensor.dtype() << ' ' << tensor.shape() << " on " << tensor.device();
}

std::string describe(const Tensor& tensor) {
    std::ostringstream out;
    out << tensor;
    return out.str();
}

}  // namespace demi
