#pragma once
// What may stand beside a tensor: a number, whole (exact up to 64 bits) or with a point.
#include <concepts>
#include <limits>

#include "autograd/variable.h"

namespace demi {

class Number {
  public:
    template <std::floating_point T> Number(T value) : real_(static_cast<double>(value)) {}
    template <std::integral T>
    Number(T value)
        : real_(static_cast<double>(value)), whole_(static_cast<int64_t>(value)),
          is_whole_(std::is_signed_v<T> || static_cast<uint64_t>(value) <= uint64_t{INT64_MAX}) {}

    bool is_whole() const { return is_whole_; }  // came as an integer (or bool)
    double real() const { return real_; }        // rounded for whole numbers beyond 2^53

    // The dtype that it takes beside a tensor: the tensor's; beside integers and bool f32 for a number with a
    // point, and beside bool i64 for a whole one.
    DType dtype_beside(DType tensor) const;

    // A tensor {} that holds it. Throws Error(op) where an integer dtype cannot.
    Tensor tensor(std::string_view op, DType dtype, Device device) const;

    friend std::ostream& operator<<(std::ostream& out, const Number& number);

  private:
    double real_;
    int64_t whole_ = 0;
    bool is_whole_ = false;
};

// The number as a tensor {} beside x, in dtype_beside(x.dtype()).
Variable number_beside(std::string_view op, const Number& number, const Variable& x);

// An operand of an op that takes Variables, Tensors and numbers alike.
class Operand {
  public:
    Operand(const Variable& variable) : variable_(variable), is_number_(false) {}
    Operand(const Tensor& tensor) : variable_(tensor), is_number_(false) {}
    template <class T>
    requires std::convertible_to<T, Number> Operand(T number) : number_(number), is_number_(true) {}

    bool is_number() const { return is_number_; }
    const Number& number() const { return number_; }
    const Variable& variable() const { return variable_; }

  private:
    Variable variable_;
    Number number_ = 0;
    bool is_number_;
};

}  // namespace demi
