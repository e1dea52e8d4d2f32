#pragma once
// Internal: what the wrapper of an op is written with. It says the op's name once: for errors, the profile and the graph.
//
//   const Op op("foo");
//   const Tensor x = op.floats("x", input).contiguous();
//   op.check(x.rank() >= 1, "x must have at least one dimension: got ", x);
//   Tensor y = Tensor::like(x);
//   if (y.numel() > 0) foo_on(x.device()).forward({reads(x), writes(y), x.numel()}, queue_of(x));
//   return op.record({input}, y, [x = Saved(x)](const Tensor& dy, const Needs&) -> Tensors { ... });
#include "autograd/record.h"
#include "runtime/backends.h"
#include "runtime/profile.h"

namespace demi {

class Op {
  public:
    explicit Op(const char* name) : name_(name), scope_(name) {}
    const char* name() const { return name_; }

    // Throws Error(name, parts...) unless ok.
    template <class... Parts> void check(bool ok, const Parts&... parts) const {
        if (!ok) [[unlikely]]
            fail(name_, parts...);
    }
    // Defined and floating-point; gives its value.
    const Tensor& floats(std::string_view operand, const Tensor& x) const;
    const Tensor& floats(std::string_view operand, const Variable& x) const {
        return floats(operand, x.value());
    }
    // b has a's device (dtype, shape).
    void same_device(std::string_view name_a, const Tensor& a, std::string_view name_b,
                     const Tensor& b) const;
    void same_dtype(std::string_view name_a, const Tensor& a, std::string_view name_b, const Tensor& b) const;
    void same_shape(std::string_view name_a, const Tensor& a, std::string_view name_b, const Tensor& b) const;
    // A float vector of x's last size, on x's device.
    void vector(std::string_view operand, const Tensor& v, const Tensor& x) const;

    template <class Value, class Backward>
    auto record(const std::vector<Variable>& inputs, Value value, Backward backward) const {
        return demi::record(name_, inputs, std::move(value), std::move(backward));
    }
    // Of one input, whose gradient is gradient(dy).
    template <class Gradient, class = std::invoke_result_t<Gradient&, const Tensor&>>
    Variable record(const Variable& x, Tensor value, Gradient gradient) const {
        return demi::record(name_, {x}, std::move(value),
                            [gradient = std::move(gradient)](const Tensor& dy, const Needs&) {
                                return Tensors{gradient(dy)};
                            });
    }

  private:
    const char* name_;
    ProfileScope scope_;
};

// Tensors as a kernel call takes them; an undefined one gives null. writes() counts as a write to the memory.
inline ConstMem reads(const Tensor& t) { return t.defined() ? ConstMem{t.raw(), t.dtype()} : ConstMem{}; }
inline Mem writes(Tensor& t) { return t.defined() ? Mem{t.mutable_raw(), t.dtype()} : Mem{}; }
inline Queue queue_of(const Tensor& t) { return queue_of(t.device()); }

// The dtype that statistics and parameters take inside a kernel: f64 for f64, else f32.
inline DType compute_dtype(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }
// Rows of the last dimension: x.numel() / x.size(-1), 0 where the last size is 0.
inline int64_t row_count(const Tensor& x) { return x.numel() == 0 ? 0 : x.numel() / x.shape().back(); }

}  // namespace demi
