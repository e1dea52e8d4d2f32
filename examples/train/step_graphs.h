#pragma once
// Steps of a training whose numbers (loss, norm of the gradients, ...) stay on the device until they are asked for. On
// a GPU a step is one CUDA graph (runtime/captured_step.h).
//
// A graph is for tensors of certain shapes. Others (a smaller last batch, crops of another size, another number of
// masked tokens) are taken as they are the first time, and captured when they come again. Four graphs are kept, each
// with the memory of a step; the next one takes the place of that which was not used for the longest time. Where a
// step cannot be captured, all are taken as they are from then on; the bits are the same.
#include <functional>
#include <list>

#include "models/optimizer.h"
#include "runtime/captured_step.h"

namespace demi::examples {

class StepGraphs : NonCopyable {
  public:
    static constexpr size_t kMostGraphs = 4;
    static constexpr int64_t kMostUnread = 64;

    // A step on `inputs` (undefined ones stay so), which reads nothing back and writes its `numbers`, f64 [count].
    using Body = std::function<void(const Tensors& inputs, const Tensor& numbers)>;
    struct Options {
        Device device;
        int64_t count = 1;    // of numbers
        bool capture = true;  // on a GPU; false: steps are taken as they are
        // What a step moves on, to be put back where it could not be captured.
        Generator* generator = nullptr;
        Optimizer* optimizer = nullptr;
        std::function<void(const std::string& why)> refused;  // called once where a step cannot be captured
    };
    StepGraphs(Options options, Body body);

    void operator()(const Tensors& inputs);
    // The numbers of the steps since the last call, in their order. Waits for the device.
    std::vector<std::vector<double>> read();
    bool captures() const { return options_.capture; }
    bool full() const { return unread_ == kMostUnread; }  // read() must come before the next step
    size_t graphs() const { return graphs_.size(); }

  private:
    struct Graph {
        Tensors inputs;
        std::unique_ptr<CapturedStep> step;
        int64_t calls = 0;
    };
    Graph& graph_of(const Tensors& inputs);
    void replay(const Tensors& inputs);

    Options options_;
    Body body_;
    Tensor numbers_, kept_;  // of the step; of those that were not read, a row each
    int64_t unread_ = 0;
    std::list<Graph> graphs_;  // the last one used comes first
};

}  // namespace demi::examples
