// The derivatives that the tape finds for the references, against differences of the references themselves.
#include <sstream>

#include "tests/fuzz/graph.h"

namespace demi::fuzz {
namespace {

// sum of weights * results of a reference at these inputs.
double weighted(const Step& step, const Grids& in, const std::vector<double>& weights) {
    double sum = 0;
    size_t n = 0;
    for (const Grid& grid : step.reference(in))
        for (const Num& x : grid.nums) {
            const double w = weights[n++];
            if (std::isfinite(x.v)) sum += w * x.v;
        }
    return sum;
}

}  // namespace

std::string Graph::check_references() {
    for (size_t s = 0; s < steps_.size(); ++s) {
        const Step& step = steps_[s];
        wrong_step_ = static_cast<int>(s);
        tape().clear();
        Grids in;
        for (int id : step.in) {
            in.emplace_back(at(id).sizes);
            for (size_t i = 0; i < at(id).data.size(); ++i)
                in.back().nums[i] =
                    floating(at(id).dtype) ? tape().leaf(at(id).data[i]) : exact(at(id).data[i]);
        }
        const Grids out = step.reference(in);
        tape().start();
        std::vector<double> weights;
        for (const Grid& grid : out)
            for (const Num& x : grid.nums) {
                weights.push_back(std::isfinite(x.v) ? dice.real(-1, 1) : 0);
                tape().seed(x, weights.back());
            }
        tape().sweep();
        std::vector<std::vector<double>> grads;
        for (const Grid& grid : in) {
            grads.emplace_back();
            for (const Num& x : grid.nums) grads.back().push_back(x.id < 0 ? 0 : tape().gradient(x.id).v);
        }
        for (size_t n = 0; n < in.size(); ++n)
            for (int tries = 0; tries < 3 && !in[n].nums.empty(); ++tries) {
                const size_t i = static_cast<size_t>(dice.below(int64_t(in[n].nums.size())));
                const double x = in[n].nums[i].v, h = 1e-5 * std::max(1.0, std::fabs(x));
                if (in[n].nums[i].id < 0 || !std::isfinite(x)) continue;
                double f[3];
                for (int k = 0; k < 3; ++k) {
                    tape().clear();
                    Grids moved_in = in;
                    for (Grid& grid : moved_in)
                        for (Num& v : grid.nums) v = exact(v.v);
                    moved_in[n].nums[i].v = x + h * (k - 1);
                    f[k] = weighted(step, moved_in, weights);
                }
                const double want = (f[2] - f[0]) / (2 * h), got = grads[n][i];
                const double bend =
                    std::fabs(f[2] - 2 * f[1] + f[0]) / h;  // a kink shows, and so does curvature
                if (std::fabs(got - want) <=
                    1e-6 * (1 + std::fabs(want)) + (bend > 1e-2 ? bend : 10 * h * bend))
                    continue;
                std::ostringstream text;
                text << step.text << ": the reference's derivative by input " << n << ", element " << i
                     << " is " << got << ", by differences " << want;
                return text.str();
            }
    }
    return "";
}

}  // namespace demi::fuzz
