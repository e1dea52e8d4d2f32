#pragma once
#include <functional>

#include "autograd/record.h"
#include "runtime/random.h"

// Backward against central differences, in f64.
namespace demi::test {

using Vars = std::vector<Variable>;

// A function of several variables with one or more results: a lambda that returns Variable or Vars.
class OpFunction {
  public:
    OpFunction() = default;
    template <class F>
    requires(!std::is_same_v<std::decay_t<F>, OpFunction>) OpFunction(F f)
        : call_([f](const Vars& x) -> Vars {
              if constexpr (std::is_convertible_v<decltype(f(x)), Variable>) {
                  return {f(x)};
              } else {
                  return f(x);
              }
          }) {}
    Vars operator()(const Vars& x) const { return call_(x); }

  private:
    std::function<Vars(const Vars&)> call_;
};

struct GradcheckOptions {
    double step = 1e-5;  // times max(1, |x|)
    double atol = 1e-7, rtol = 1e-6;
    int64_t max_elements = 100;  // of every input, evenly spread
    uint64_t seed = 7;
};

// The gradient of sum_k <weights_k, y_k> with random weights, for all inputs at once (taken as f64,
// contiguous). With several outputs also the gradient of each output alone: a backward must bear outputs that
// were not used. "" when it agrees, else the worst element.
std::string gradcheck(const OpFunction& fn, const std::vector<Tensor>& inputs, GradcheckOptions options = {});

// sum_k <weights_k, y_k> as a variable; outputs with an undefined weight are left out.
Variable weighted_sum(const Vars& outputs, const std::vector<Tensor>& weights);

// Weights for `outputs` in their dtype and shape, normal, the same for the same seed.
std::vector<Tensor> random_weights(const Vars& outputs, uint64_t seed);

}  // namespace demi::test
