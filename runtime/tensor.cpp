#include <limits>
#include <sstream>

#include "runtime/tensor.h"

#include "runtime/copy.h"
#include "runtime/device_api.h"

namespace demi {

void Tensor::require(const char* op) const {
    if (!buffer_) [[unlikely]]
        fail(op, "needs a defined tensor: got an undefined one");
}

// Every shape that can be larger than those before it passes here. Sizes beside a 0 may be anything.
void Tensor::set_shape(const char* op, const Shape& shape) {
    int64_t bytes = static_cast<int64_t>(size_of(dtype_));
    bool fits = bytes > 0, none = false;
    for (int64_t size : shape) {
        check(size >= 0, op, "sizes must not be negative: got ", shape);
        none = none || size == 0;
        fits = !__builtin_mul_overflow(bytes, size, &bytes) && fits;
    }
    check(fits || none, op, "size does not fit 64 bits: got ", dtype_, ' ', shape);
    shape_ = shape;
    numel_ = shape.numel();
}

// Strides and offset of a tensor without elements mean nothing: they are those of a new one.
void Tensor::forget_strides() {
    if (numel_ > 0) return;
    strides_ = contiguous_strides(shape_);
    offset_ = 0;
}

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
    Tensor t;
    t.dtype_ = dtype;
    t.set_shape("tensor", shape);
    t.strides_ = contiguous_strides(shape);
    t.buffer_ = std::make_shared<Buffer>(device, static_cast<size_t>(t.numel_) * size_of(dtype));
    return t;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) { return full(shape, 0, dtype, device); }
Tensor Tensor::ones(const Shape& shape, DType dtype, Device device) { return full(shape, 1, dtype, device); }

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
    Tensor t = empty(shape, dtype, device);
    fill(t, value);
    return t;
}

Tensor Tensor::arange(int64_t count, DType dtype, Device device) {
    check(count >= 0, "arange", "count must not be negative: got ", count);
    return dispatch_all(dtype, "arange", [&]<class T>() {
        const T last = static_cast<T>(count - 1);
        bool reaches = count == 0;
        if constexpr (std::is_integral_v<T>)
            reaches = reaches || static_cast<int64_t>(last) == count - 1;
        else
            reaches = static_cast<double>(last) <= std::numeric_limits<double>::max();
        check(reaches, "arange", dtype, " does not hold the numbers below ", count);
        Tensor t = empty({count}, dtype);
        T* out = t.mutable_data<T>();
        for (int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(i);
        return t.to(device);
    });
}

Tensor Tensor::like(const Tensor& other) {
    other.require("like");
    return empty(other.shape(), other.dtype(), other.device());
}

Tensor Tensor::from_memory(const void* values, size_t count, DType dtype, const Shape& shape, Device device) {
    check(static_cast<int64_t>(count) == shape.numel(), "from", "shape ", shape, " needs ", shape.numel(),
          " values: got ", count);
    Tensor t = empty(shape, dtype, device);
    if (count > 0)
        device_api(device).copy(t.mutable_raw(), device, values, Device::cpu(), count * size_of(dtype));
    return t;
}

Tensor Tensor::from(const std::vector<bool>& values, const Shape& shape, Device device) {
    const std::vector<uint8_t> bytes(values.begin(), values.end());
    return from_memory(bytes.data(), bytes.size(), DType::boolean, shape, device);
}

Device Tensor::device() const {
    require("device");
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
    require("tensor");
    return static_cast<const char*>(buffer_->data()) + offset_ * static_cast<int64_t>(size_of(dtype_));
}

void* Tensor::mutable_raw() {
    require("tensor");
    return static_cast<char*>(buffer_->mutable_data()) + offset_ * static_cast<int64_t>(size_of(dtype_));
}

const void* Tensor::read_as(DType dtype) const {
    check(dtype_ == dtype, "tensor", "memory read as ", dtype, " but the tensor is ", dtype_);
    return raw();
}

void* Tensor::write_as(DType dtype) {
    check(dtype_ == dtype, "tensor", "memory written as ", dtype, " but the tensor is ", dtype_);
    return mutable_raw();
}

Tensor Tensor::contiguous() const {
    require("contiguous");
    return is_contiguous() ? *this : clone();
}

Tensor Tensor::clone() const {
    require("clone");
    Tensor out = like(*this);
    copy(out, *this);
    return out;
}

Tensor Tensor::to(DType dtype) const {
    require("to");
    if (dtype == dtype_) return *this;
    Tensor out = empty(shape_, dtype, device());
    copy(out, *this);
    return out;
}

Tensor Tensor::to(Device target) const {
    require("to");
    if (target == device()) return *this;
    Tensor out = empty(shape_, dtype_, target);
    copy(out, *this);
    return out;
}

double Tensor::item() const {
    check(numel_ == 1, "item", "needs a tensor with one element: got ", *this);
    return to(Device::cpu()).to(DType::f64).data<double>()[0];
}

template <> void detail::print_value<Tensor>(std::ostream& out, const void* value) {
    const Tensor& tensor = *static_cast<const Tensor*>(value);
    if (!tensor.defined())
        out << "an undefined tensor";
    else
        out << tensor.dtype() << ' ' << tensor.shape() << " on " << tensor.device();
}

std::string describe(const Tensor& tensor) {
    std::ostringstream out;
    detail::print_value<Tensor>(out, &tensor);
    return out.str();
}

}  // namespace demi
