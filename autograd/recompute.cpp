#include "autograd/recompute.h"

#include "autograd/grad_mode.h"
#include "autograd/record.h"

namespace demi {

Variable recompute(std::function<Variable(const std::vector<Variable>&)> fn, const std::vector<Variable>& inputs,
                   Generator* generator) {
    if (!grad_enabled()) return fn(inputs);
    const Generator before = generator ? *generator : Generator{};
    Tensor value;
    {
        const NoGrad no_grad;
        value = fn(inputs).value();
    }
    std::vector<Saved> saved;
    for (const Variable& input : inputs) saved.emplace_back(input);

    // Parameters that fn captures are not among the inputs; a token that always requires a gradient makes sure
    // that the node is recorded and its backward runs.
    std::vector<Variable> all = inputs;
    all.emplace_back(Tensor::zeros({}, DType::f32), true);
    return record("recompute", all, value, [fn, saved, generator, before](const Tensor& dy, const Needs& needs) {
        std::vector<Variable> again;
        for (size_t i = 0; i < saved.size(); ++i) again.emplace_back(saved[i].get(), needs[i]);
        const Generator now = generator ? *generator : Generator{};
        Variable y;
        {
            const EnableGrad enable_grad;
            if (generator) *generator = before;
            y = fn(again);
            if (generator) *generator = now;
        }
        if (y.requires_grad()) y.backward(dy);
        Tensors grads;
        for (const Variable& input : again) grads.push_back(input.grad());
        grads.emplace_back();
        return grads;
    });
}

}  // namespace demi
