#pragma once
// How the cases of the bits program are written; bits.cpp says what it is for. The same source must compile
// on both sides of a comparison, so cases use only public names that both have (headers.h: where they stand).
#include <functional>
#include <string>
#include <vector>

#include "runtime/tensor.h"
#include "tests/bits/headers.h"

namespace demi::bits {

using Vars = std::vector<Variable>;
using Shapes = std::vector<Shape>;
using DTypes = std::vector<DType>;

class Hash {
  public:
    void word(uint64_t bits);
    void number(double value);
    void text(std::string_view text);
    void tensor(const Tensor& tensor);  // dtype, shape and elements in logical order; every NaN is the same
    uint64_t value() const { return state_; }

  private:
    uint64_t state_ = 0x243f6a8885a308d3u;
};

// What one case gives: "y", "grad", "ledger", each with its hash.
using Results = std::vector<std::pair<std::string, Hash>>;

// One line for each result of compute(), or one that says "refused" where it throws Error.
void run(const std::string& op, const std::string& name, const std::function<Results()>& compute);

Device device();
bool small_only();  // an emulated GPU is slow: leave out what is large

enum class Layout { plain, transposed, stepped, expanded };
struct Numbers {
    double low = -2, high = 2;
    bool special = false;  // one in 19 is a NaN, an infinity, a zero, the smallest or largest of some dtype
};
// Evenly from [low, high), by `seed` and position alone, so that no layout but `expanded` changes a value.
// Integers are rounded down, u8 from the absolute value.
Tensor draw(uint64_t seed, const Shape& shape, DType dtype, const Numbers& numbers = {},
            Layout layout = Layout::plain);
Tensor integers(uint64_t seed, int64_t count, int64_t below, DType dtype = DType::i64);
Tensor on_device(const Tensor& tensor);

// "y": the outputs of fn(); "grad": the leaves' gradients for drawn gradients of the outputs, all in one
// sweep, or of output `only` alone.
struct Gradients {
    Layout layout = Layout::plain;
    Numbers numbers{-1, 1};
    int only = -1;
};
Results with_gradients(const Vars& leaves, const std::function<Vars()>& fn, const Gradients& gradients = {});

// An op in every dtype and layout, with and without a graph, and each gradient alone.
struct OpCase {
    std::string op, detail;
    std::vector<Shapes> shapes;  // each entry: the shapes of all inputs
    std::function<Vars(const Vars&)> fn;
    Numbers numbers{};
    std::vector<DTypes> mixed{};  // besides all alike: a dtype for each input
    int outputs = 1;              // above 1: also the gradient of each output alone
    DTypes alike{DType::f32, DType::f16, DType::bf16, DType::f64};
};
void run(const OpCase& c);

inline const DTypes kAll{DType::f32, DType::f16, DType::bf16, DType::f64,
                         DType::i32, DType::i64, DType::u8,   DType::boolean};

int64_t elements(const Shapes& shapes);
std::string text(const Shapes& shapes);  // 3x17,17
std::string text(const DTypes& dtypes);  // f32,f16

void elementwise_cases();
void view_cases();
void product_cases();
void layer_cases();
void optimizer_cases();
void index_cases();
void attention_cases();
void model_cases();

}  // namespace demi::bits
