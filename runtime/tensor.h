#pragma once
// Tensor: typed memory on a device. A handle to a shared Buffer with dtype, shape, strides (in elements) and
// offset; copying a Tensor or taking a view shares the memory. It knows no graph: see autograd/variable.h.
#include <memory>
#include <span>
#include <vector>

#include "runtime/buffer.h"
#include "runtime/dtype.h"
#include "runtime/shape.h"

namespace demi {

class Tensor {
  public:
    Tensor() = default;  // undefined: no memory, no shape

    static Tensor empty(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu());
    static Tensor zeros(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu());
    static Tensor full(const Shape& shape, double value, DType dtype = DType::f32,
                       Device device = Device::cpu());
    static Tensor arange(int64_t count, DType dtype = DType::i64, Device device = Device::cpu());
    static Tensor like(const Tensor& other);  // empty, contiguous, same shape, dtype and device
    template <class T>
    static Tensor from(std::span<const T> values, const Shape& shape, Device device = Device::cpu());
    template <class T>
    static Tensor from(const std::vector<T>& values, const Shape& shape, Device device = Device::cpu()) {
        return from(std::span<const T>(values), shape, device);
    }

    bool defined() const { return buffer_ != nullptr; }
    DType dtype() const { return dtype_; }
    Device device() const;
    const Shape& shape() const { return shape_; }
    const Shape& strides() const { return strides_; }
    int rank() const { return shape_.rank(); }
    int64_t size(int dim) const;  // negative counts from the end
    int64_t numel() const { return numel_; }
    int64_t offset() const { return offset_; }
    bool is_contiguous() const;

    // Typed access to the first element; the dtype must be T's. mutable_data counts as a write (version + 1).
    template <class T> const T* data() const;
    template <class T> T* mutable_data();
    const void* raw() const;
    void* mutable_raw();
    const std::shared_ptr<Buffer>& buffer() const { return buffer_; }
    uint64_t version() const { return buffer_ ? buffer_->version() : 0; }

    // Views: same memory. All throw when the shape does not allow it.
    Tensor view(const Shape& shape) const;  // one size may be -1; throws where strides do not fit
    Tensor transpose(int a, int b) const;
    Tensor permute(std::span<const int> dims) const;
    Tensor permute(std::initializer_list<int> dims) const {
        return permute(std::span(dims.begin(), dims.size()));
    }
    Tensor slice(int dim, int64_t begin, int64_t end,
                 int64_t step = 1) const;         // [begin, end), begin/end >= 0
    Tensor select(int dim, int64_t index) const;  // removes the dimension
    Tensor expand(const Shape& shape) const;      // stretches sizes of 1 with stride 0
    Tensor unsqueeze(int dim) const;
    Tensor squeeze(int dim) const;
    Tensor as_strided(const Shape& shape, const Shape& strides, int64_t offset) const;  // bounds are checked
    Tensor bitcast(DType dtype) const;                                                  // same element size
    Tensor bytes_as(DType dtype, const Shape& shape) const;  // of u8, contiguous and aligned to the elements

    Tensor reshape(const Shape& shape) const;  // a view where possible, else a copy
    Tensor contiguous() const;                 // itself where already so
    Tensor clone() const;                      // new contiguous memory
    Tensor to(DType dtype) const;              // itself where already so
    Tensor to(Device device) const;

    double item() const;                                  // the only element
    template <class T> std::vector<T> to_vector() const;  // in logical order, converted to T

  private:
    std::shared_ptr<Buffer> buffer_;
    DType dtype_ = DType::f32;
    Shape shape_, strides_;
    int64_t offset_ = 0;
    int64_t numel_ = 0;
};

std::string describe(const Tensor& tensor);  // "f32 (2, 3) on cpu", for messages
std::ostream& operator<<(std::ostream& out,
                         const Tensor& tensor);  // the same; costs nothing in a check() that holds

}  // namespace demi
