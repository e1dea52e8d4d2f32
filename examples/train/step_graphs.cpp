#include "examples/train/step_graphs.h"

#include <algorithm>

#include "runtime/copy.h"

namespace demi::examples {

StepGraphs::StepGraphs(Options options, Body body)
    : options_(std::move(options)), body_(std::move(body)),
      numbers_(Tensor::zeros({options_.count}, DType::f64, options_.device)),
      kept_(Tensor::zeros({kMostUnread, options_.count}, DType::f64, options_.device)) {
    options_.capture = options_.capture && options_.device.is_cuda();
}

void StepGraphs::operator()(const Tensors& inputs) {
    check(!full(), "step", "the numbers of ", kMostUnread, " steps have to be read first");
    options_.capture ? replay(inputs) : body_(inputs, numbers_);
    copy(kept_.select(0, unread_++), numbers_);
}

StepGraphs::Graph& StepGraphs::graph_of(const Tensors& inputs) {
    const auto same = [](const Tensor& a, const Tensor& b) {
        return a.defined() == b.defined() && a.shape() == b.shape() && a.dtype() == b.dtype();
    };
    const auto found = std::find_if(graphs_.begin(), graphs_.end(), [&](const Graph& g) {
        return std::equal(g.inputs.begin(), g.inputs.end(), inputs.begin(), inputs.end(), same);
    });
    if (found != graphs_.end()) {
        graphs_.splice(graphs_.begin(), graphs_, found);
        return graphs_.front();
    }
    if (graphs_.size() == kMostGraphs) graphs_.pop_back();
    Graph& g = graphs_.emplace_front();
    for (const Tensor& t : inputs) g.inputs.push_back(t.defined() ? Tensor::like(t) : t);
    g.step = std::make_unique<CapturedStep>(
        options_.device, [this, &g] { body_(g.inputs, numbers_); }, 1);
    return g;
}

void StepGraphs::replay(const Tensors& inputs) {
    Graph& g = graph_of(inputs);
    for (size_t i = 0; i < inputs.size(); ++i)
        if (inputs[i].defined()) copy(g.inputs[i], inputs[i]);
    const bool records = g.calls++ == 1;
    const Generator drawn = *options_.generator;
    const int64_t steps = options_.optimizer->steps();
    try {
        (*g.step)();
    } catch (const Error& error) {
        if (!records) throw;
        *options_.generator = drawn;
        if (options_.optimizer->steps() > steps) options_.optimizer->take_back();
        options_.optimizer->zero_grad();
        graphs_.clear();
        options_.capture = false;
        if (options_.refused) options_.refused(error.what());
        body_(inputs, numbers_);
    }
}

std::vector<std::vector<double>> StepGraphs::read() {
    std::vector<std::vector<double>> rows;
    if (unread_ == 0) return rows;
    const std::vector<double> all = kept_.slice(0, 0, unread_).to_vector<double>();
    for (auto at = all.begin(); at != all.end(); at += options_.count)
        rows.emplace_back(at, at + options_.count);
    unread_ = 0;
    return rows;
}

}  // namespace demi::examples
