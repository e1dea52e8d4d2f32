#pragma once
// The ranks of a job: processes that hold a part of the work each and exchange Tensors. A default Communicator is
// a job of one rank, this process; runtime/comm/job.h gives that of the launcher (mpirun, srun).
//
// Every rank must make the same calls in the same order, with tensors of the same shape and dtype; a rank that
// waits longer than the job's timeout throws Error, which names the ranks that did not come. Tensors of any
// strides, on any device: memory that the engine cannot reach goes through the host. Results are contiguous.
// Sums are taken in a fixed binary tree over the ranks' numbers, by demi itself: (0 + 1) + (2 + 3) ..., the same
// bits whatever moves the data.
#include <memory>
#include <string>
#include <vector>

#include "runtime/tensor.h"

namespace demi {

class CommEngine;
class Transfer;

// The result of a call that does not wait: get() does.
class PendingTensor {
  public:
    PendingTensor() = default;
    Tensor get();  // once

  private:
    friend class Communicator;
    Tensor result_;
    Device device_;
    std::vector<Tensor> held_;
    std::shared_ptr<Transfer> transfer_;
};

class Communicator {
  public:
    Communicator() = default;
    explicit Communicator(std::shared_ptr<CommEngine> engine) : engine_(std::move(engine)) {}

    int rank() const;
    int size() const;
    int local_size() const;            // ranks on this machine
    std::string host(int rank) const;  // the name of a rank's machine
    std::string engine() const;        // "self", "mpi", "nccl"

    // [n, ...] of each rank to [size * n, ...] on all of them, in the order of the ranks.
    Tensor all_gather(const Tensor& x) const { return start_all_gather(x).get(); }
    PendingTensor start_all_gather(const Tensor& x) const;
    // The same into memory that is there already: contiguous, of the result's shape and dtype.
    void all_gather_into(Tensor out, const Tensor& x) const;
    // [size * n, ...]: block r goes to rank r; the result has the blocks that came, in the order of the ranks.
    Tensor all_to_all(const Tensor& x) const { return start_all_to_all(x).get(); }
    PendingTensor start_all_to_all(const Tensor& x) const;
    // [size * n, ...] to [n, ...]: rank r gets block r of the sum over all ranks. f32 or f64.
    Tensor reduce_scatter(const Tensor& x) const;
    // The sum over all ranks on each of them. f32 or f64, any shape.
    Tensor all_reduce(const Tensor& x) const;
    // x of rank `root` into the contiguous x of all others.
    void broadcast(Tensor x, int root = 0) const;
    void barrier() const;
    // 1-D tensors of different lengths, one after another, on rank `root`; undefined elsewhere. `counts`: the
    // length on every rank.
    Tensor gather(const Tensor& x, const std::vector<int64_t>& counts, int root = 0) const;
    // The other way: rank r gets its counts[r] elements of root's x (looked at there only).
    Tensor scatter(const Tensor& x, const std::vector<int64_t>& counts, DType dtype, Device device,
                   int root = 0) const;
    std::vector<std::string> all_gather_text(const std::string& text) const;  // one per rank

  private:
    PendingTensor start_all_gather(const Tensor& x, Tensor out) const;

    std::shared_ptr<CommEngine> engine_;  // null: one rank
};

}  // namespace demi
