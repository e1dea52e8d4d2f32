#pragma once
// A training step that is captured once, as a CUDA graph, and replayed: one launch instead of hundreds.
//
//   Tensor images = ..., labels = ...;        // on the device; every step reads these two
//   double loss_now; Variable loss;
//   CapturedStep step(device, [&] {
//       loss = cross_entropy(model.forward(images, context), labels);
//       scaler.backward(loss);
//       scaler.step(optimizer, rates);
//       optimizer.zero_grad();
//   });
//   for (...) {
//       copy(images, batch.images); copy(labels, batch.labels);      // the same tensors, new contents
//       optimizer.set_rates(rates_of(step_number));                  // what differs: rate and decay
//       step();
//       loss_now = loss.item();                                      // results are read after the step
//       if (!scaler.settle()) ...                                    // whether it was taken
//   }
//
// The first `warm_up` calls run the body as it is, the next records it and launches the record, later ones
// only launch: each call does what calling the body does, bit for bit. Random draws move on (dropout,
// drop_path, the rows that stochastic depth keeps), steps of the optimizer are counted, loss scales followed.
// On the CPU every call runs the body.
//
// While the body is recorded nothing runs on the device, and it throws Error, naming the op, where it reads a
// value back (item(), a gradient norm on the host, GradScale::automatic(), OverflowPolicy::error) or sends
// one (a new batch). Nothing else may use the device meanwhile; upload() (runtime/upload.h) waits. Shapes and
// Python-like decisions are frozen: other code in the body runs once, in the captured call. The boundary's
// counters see nothing of a replayed step, labels and row numbers are not checked. What the body uses by
// reference (generator, optimizer, scaler, tensors) must outlive the step.
#include <functional>
#include <memory>

#include "runtime/device.h"
#include "runtime/non_copyable.h"

namespace demi {

class CapturedStep : NonCopyable {
  public:
    explicit CapturedStep(Device device, std::function<void()> body, int warm_up = 2);
    ~CapturedStep();

    // One step. Where it throws while recording, no step was taken on the device;
    // the next call records again.
    void operator()();
    int64_t replays() const { return replays_; }  // launches of the record, the first included
    size_t memory_bytes() const;                  // that the record holds for its tensors

    struct Record;

  private:
    void record();

    Device device_;
    std::function<void()> body_;
    int warm_up_;
    int64_t replays_ = 0;
    std::unique_ptr<Record> record_;
};

}  // namespace demi
