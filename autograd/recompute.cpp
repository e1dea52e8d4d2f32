#include "autograd/recompute.h"

#include <utility>

#include "autograd/grad_mode.h"
#include "autograd/record.h"

namespace demi {

namespace {

// The generator at `before` while this lives, then back where it was.
class Replay {
  public:
    Replay(Generator* generator, const Generator& before) : generator_(generator) {
        if (generator_) now_ = std::exchange(*generator_, before);
    }
    ~Replay() {
        if (generator_) *generator_ = now_;
    }
    Replay(const Replay&) = delete;
    Replay& operator=(const Replay&) = delete;

  private:
    Generator* generator_;
    Generator now_;
};

}  // namespace

Variable recompute(std::function<Variable(const std::vector<Variable>&)> fn,
                   const std::vector<Variable>& inputs, Generator* generator) {
    if (!grad_enabled()) return fn(inputs);
    const Generator before = generator ? *generator : Generator{};
    Tensor value;
    {
        const NoGrad no_grad;
        value = fn(inputs).value();
    }
    std::vector<Saved> saved;
    for (const Variable& input : inputs) saved.emplace_back(input);

    // Parameters that fn captures are not among the inputs; a token that always requires a gradient makes
    // sure that the node is recorded and its backward runs.
    std::vector<Variable> all = inputs;
    all.emplace_back(Tensor::zeros({}, DType::f32), true);
    return record("recompute", all, value,
                  [fn, saved, generator, before](const Tensor& dy, const Needs& needs) {
                      std::vector<Variable> again;
                      for (size_t i = 0; i < saved.size(); ++i) again.emplace_back(saved[i].get(), needs[i]);
                      Variable y;
                      {
                          const EnableGrad enable_grad;
                          const Replay replay(generator, before);
                          y = fn(again);
                      }
                      if (y.requires_grad()) y.backward(dy);
                      Tensors grads;
                      for (const Variable& input : again) grads.push_back(input.grad());
                      grads.emplace_back();
                      return grads;
                  });
}

}  // namespace demi
