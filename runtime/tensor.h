#pragma once
// Tensor: typed memory on a device. A handle to a shared Buffer with dtype, shape, strides (in elements) and
// offset; copying a Tensor or taking a view shares the memory. It knows no graph: see autograd/variable.h.
// Elements are Half, BFloat16, float, double, int32_t, int64_t, uint8_t or bool (runtime/dtype.h).
// Dimensions may be negative everywhere: they count from the end. An undefined tensor is refused by all but
// the plain accessors.
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
    static Tensor ones(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu());
    // `value` becomes dtype as in copy() (runtime/copy.h). Random values: runtime/random.h.
    static Tensor full(const Shape& shape, double value, DType dtype = DType::f32,
                       Device device = Device::cpu());
    // 0, 1, ..., count - 1; throws where dtype does not reach that far.
    static Tensor arange(int64_t count, DType dtype = DType::i64, Device device = Device::cpu());
    static Tensor like(const Tensor& other);  // empty, contiguous, same shape, dtype and device
    // A copy of values, which must be as many as the shape holds, with the dtype of their type.
    template <class T>
    static Tensor from(std::span<const T> values, const Shape& shape, Device device = Device::cpu()) {
        return from_memory(values.data(), values.size(), dtype_of<T>, shape, device);
    }
    template <class T>
    static Tensor from(const std::vector<T>& values, const Shape& shape, Device device = Device::cpu()) {
        return from(std::span<const T>(values), shape, device);
    }
    static Tensor from(const std::vector<bool>& values, const Shape& shape, Device device = Device::cpu());

    bool defined() const { return buffer_ != nullptr; }
    DType dtype() const { return dtype_; }
    Device device() const;
    const Shape& shape() const { return shape_; }
    const Shape& strides() const { return strides_; }  // where there is no element, those of a new tensor
    int rank() const { return shape_.rank(); }
    int64_t size(int dim) const;
    int64_t numel() const { return numel_; }
    int64_t offset() const { return offset_; }
    bool is_contiguous() const;

    // Typed access to the first element; the dtype must be T's. mutable_data counts as a write (version + 1).
    template <class T> const T* data() const { return static_cast<const T*>(read_as(dtype_of<T>)); }
    template <class T> T* mutable_data() { return static_cast<T*>(write_as(dtype_of<T>)); }
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
    // begin, begin + step, ... below end. Negative begin and end count from the end of the dimension; a range
    // that leaves it is refused, where PyTorch would clamp.
    Tensor slice(int dim, int64_t begin, int64_t end = kToEnd, int64_t step = 1) const;
    Tensor select(int dim, int64_t index) const;  // removes the dimension; a negative index likewise
    // Stretches sizes of 1 with stride 0 and adds dimensions in front; -1 keeps a size.
    Tensor expand(const Shape& shape) const;
    Tensor unsqueeze(int dim) const;  // a size of 1 before `dim`; -1 is behind the last dimension
    Tensor squeeze(int dim) const;
    Tensor as_strided(const Shape& shape, const Shape& strides, int64_t offset) const;  // bounds are checked
    Tensor bitcast(DType dtype) const;                                                  // same element size
    Tensor bytes_as(DType dtype, const Shape& shape) const;  // of u8, contiguous and aligned to the elements

    // As view(), but a copy where no strides show that shape: an expanded, transposed or sliced tensor is
    // seen as it is wherever its dimensions can be merged and split in place.
    Tensor reshape(const Shape& shape) const;
    Tensor contiguous() const;     // itself where already so
    Tensor clone() const;          // new contiguous memory
    Tensor to(DType dtype) const;  // itself where already so
    Tensor to(Device device) const;

    double item() const;                                   // the only element
    template <class T> std::vector<T> to_vector() const {  // in logical order, converted to T
        const Tensor flat = to(Device::cpu()).to(dtype_of<T>).contiguous();
        const T* first = flat.data<T>();
        return std::vector<T>(first, first + flat.numel());
    }

  private:
    static Tensor from_memory(const void* values, size_t count, DType dtype, const Shape& shape,
                              Device device);
    const void* read_as(DType dtype) const;
    void* write_as(DType dtype);
    void require(const char* op) const;
    void set_shape(const char* op, const Shape& shape);
    void forget_strides();
    bool set_view(const Shape& shape);

    std::shared_ptr<Buffer> buffer_;
    DType dtype_ = DType::f32;
    Shape shape_, strides_;
    int64_t offset_ = 0;
    int64_t numel_ = 0;
};

std::string describe(const Tensor& tensor);  // "f32 (2, 3) on cpu": what messages say of a tensor

// The values, in PyTorch's layout, then describe(): tensor([1., 2.], f32 (2,) on cpu). Of more than 1,000
// only the first and last three along each dimension. `note` is added to the description.
void print(std::ostream& out, const Tensor& tensor, std::string_view note = {});
std::ostream& operator<<(std::ostream& out, const Tensor& tensor);

namespace detail {
// A part of a check()'s message is the description, never the values.
template <> void print_value<Tensor>(std::ostream& out, const void* tensor);
}  // namespace detail

}  // namespace demi
