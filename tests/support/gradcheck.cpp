#include "tests/support/gradcheck.h"

#include <cmath>
#include <sstream>

#include "autograd/grad_mode.h"
#include "tests/support/compare.h"

namespace demi::test {
namespace {

double dot(const Tensor& a, const Tensor& b) {
    const std::vector<double> x = a.to_vector<double>(), y = b.to_vector<double>();
    double sum = 0;
    for (size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
    return sum;
}

double loss_of(const OpFunction& fn, const std::vector<Tensor>& inputs, const std::vector<Tensor>& weights) {
    const NoGrad no_grad;
    const Vars outputs = fn(Vars(inputs.begin(), inputs.end()));
    double sum = 0;
    for (size_t k = 0; k < outputs.size(); ++k)
        if (weights[k].defined()) sum += dot(outputs[k].value(), weights[k]);
    return sum;
}

std::string check_with(const OpFunction& fn, const std::vector<Tensor>& inputs,
                       const std::vector<Tensor>& weights, const GradcheckOptions& options) {
    Vars leaves;
    for (const Tensor& x : inputs) leaves.emplace_back(x.clone(), true);
    const Variable loss = weighted_sum(fn(leaves), weights);
    if (!loss.requires_grad()) return "the outputs do not depend on any input: nothing was recorded";
    loss.backward();
    std::string worst;
    double worst_excess = 1;
    for (size_t n = 0; n < inputs.size(); ++n) {
        const Tensor grad = leaves[n].grad();
        const std::vector<double> analytic =
            grad.defined() ? grad.to_vector<double>()
                           : std::vector<double>(static_cast<size_t>(inputs[n].numel()));
        const int64_t stride = std::max<int64_t>(1, inputs[n].numel() / options.max_elements);
        for (int64_t i = 0; i < inputs[n].numel(); i += stride) {
            std::vector<Tensor> moved = inputs;
            moved[n] = inputs[n].clone();
            double* x = moved[n].mutable_data<double>() + i;
            const double here = *x, step = options.step * std::max(1.0, std::fabs(here));
            *x = here + step;
            const double up = loss_of(fn, moved, weights);
            *x = here - step;
            const double down = loss_of(fn, moved, weights);
            const double want = (up - down) / (2 * step), got = analytic[static_cast<size_t>(i)];
            const double limit = options.atol + options.rtol * std::fabs(want) +
                                 1e-15 * (std::fabs(up) + std::fabs(down)) / step;
            const double excess = std::fabs(got - want) / limit;
            if (excess <= worst_excess) continue;
            worst_excess = excess;
            std::ostringstream text;
            text.precision(9);
            text << "gradient of input " << n << ' ' << inputs[n].shape() << ", element " << i
                 << ": backward gives " << got << ", differences give " << want << ", allowed difference "
                 << limit;
            worst = text.str();
        }
    }
    return worst;
}

}  // namespace

Variable weighted_sum(const Vars& outputs, const std::vector<Tensor>& weights) {
    Vars used;
    std::vector<Tensor> kept;
    double sum = 0;
    for (size_t k = 0; k < outputs.size(); ++k) {
        if (!weights[k].defined()) continue;
        sum += dot(outputs[k].value(), weights[k]);
        used.push_back(outputs[k]);
        kept.push_back(weights[k]);
    }
    return record("weighted_sum", used, Tensor::full({}, sum, DType::f64),
                  [kept](const Tensor&, const Needs&) -> Tensors { return kept; });
}

std::vector<Tensor> random_weights(const Vars& outputs, uint64_t seed) {
    std::vector<Tensor> weights;
    Generator generator{seed};
    for (const Variable& y : outputs) {
        if (!is_float(y.dtype())) {
            weights.emplace_back();
            continue;
        }
        Tensor w = Tensor::empty(y.shape(), DType::f64);
        normal(w, generator);
        weights.push_back(w.to(y.dtype()).to(y.device()));
    }
    return weights;
}

std::string gradcheck(const OpFunction& fn, const std::vector<Tensor>& inputs, GradcheckOptions options) {
    std::vector<Tensor> doubles;
    for (const Tensor& x : inputs) doubles.push_back(x.to(DType::f64).contiguous());
    Vars outputs;
    {
        const NoGrad no_grad;
        outputs = fn(Vars(doubles.begin(), doubles.end()));
    }
    const std::vector<Tensor> weights = random_weights(outputs, options.seed);
    std::string all = check_with(fn, doubles, weights, options);
    if (!all.empty() || outputs.size() < 2) return all;
    for (size_t k = 0; k < outputs.size(); ++k) {
        if (!weights[k].defined()) continue;
        std::vector<Tensor> alone(weights.size());
        alone[k] = weights[k];
        const std::string one = check_with(fn, doubles, alone, options);
        if (!one.empty()) return "with output " + std::to_string(k) + " alone: " + one;
    }
    return "";
}

}  // namespace demi::test
