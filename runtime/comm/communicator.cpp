#include "runtime/comm/communicator.h"

#include <cstring>
#include <utility>

#include "runtime/comm/engine.h"
#include "runtime/comm/tree_sum.h"
#include "runtime/copy.h"
#include "runtime/profile.h"

namespace demi {
namespace {

// x where the engine can read it, contiguous.
Tensor reachable(const CommEngine* engine, const Tensor& x) {
    return (engine == nullptr || engine->reaches(x.device()) ? x : x.to(Device::cpu())).contiguous();
}

size_t bytes_of(const Tensor& x) { return static_cast<size_t>(x.numel()) * size_of(x.dtype()); }

// Block `i` of so many equal ones, as memory.
Piece block(const void* data, size_t bytes, int i) {
    return {static_cast<char*>(const_cast<void*>(data)) + bytes * static_cast<size_t>(i), bytes};
}

// The sum of lengths, one per rank.
int64_t total_of(const char* op, const std::vector<int64_t>& counts, int size) {
    check(counts.size() == static_cast<size_t>(size), op, "needs a length for each of the ", size,
          " ranks: got ", counts.size());
    int64_t total = 0;
    for (int64_t count : counts) {
        check(count >= 0, op, "lengths must not be negative: got ", count);
        total = checked_add(total, count, op);
    }
    return total;
}

Shape with_first(const Shape& shape, int64_t first) {
    Shape s = shape;
    s[0] = first;
    return s;
}

void check_tensor(const char* op, const Tensor& x) {
    check(x.defined() && x.rank() >= 1, op, "needs a tensor with at least one dimension: got ", x);
}

void check_blocks(const char* op, const Tensor& x, int size) {
    check_tensor(op, x);
    check(x.size(0) % size == 0, op, "dimension 0 must divide by the ", size, " ranks: got ", x);
}

void check_sum(const char* op, const Tensor& x) {
    check(x.defined() && (x.dtype() == DType::f32 || x.dtype() == DType::f64), op, "sums f32 or f64: got ",
          x);
}

}  // namespace

Tensor PendingTensor::get() {
    check(result_.defined(), "comm", "there is no transfer to wait for");
    if (transfer_) {
        const ProfileScope scope("comm");
        transfer_->wait();
    }
    transfer_.reset();
    held_.clear();
    return std::exchange(result_, Tensor()).to(device_);
}

int Communicator::rank() const { return engine_ ? engine_->rank() : 0; }
int Communicator::size() const { return engine_ ? engine_->size() : 1; }
int Communicator::local_size() const { return engine_ ? engine_->local_size() : 1; }
std::string Communicator::engine() const { return engine_ ? engine_->name() : "self"; }

std::string Communicator::host(int rank) const {
    check(rank >= 0 && rank < size(), "comm", "rank must be in [0, ", size(), "): got ", rank);
    return engine_ ? engine_->host(rank) : "this machine";
}

PendingTensor Communicator::start_all_gather(const Tensor& x) const { return start_all_gather(x, Tensor()); }

void Communicator::all_gather_into(Tensor out, const Tensor& x) const {
    check_tensor("all_gather", x);
    const Shape shape = with_first(x.shape(), checked_mul(x.size(0), size(), "all_gather"));
    check(out.defined() && out.is_contiguous() && out.shape() == shape && out.dtype() == x.dtype() &&
              out.device() == x.device(),
          "all_gather", "needs contiguous memory of ", shape, " for ", x, ": got ", out);
    const bool direct = engine_ == nullptr || engine_->reaches(out.device());
    const Tensor result = start_all_gather(x, direct ? out : Tensor()).get();
    if (!direct) copy(out, result);
}

PendingTensor Communicator::start_all_gather(const Tensor& x, Tensor out) const {
    check_tensor("all_gather", x);
    const Tensor own = reachable(engine_.get(), x);
    const int64_t count = checked_mul(own.size(0), size(), "all_gather");
    PendingTensor pending;
    pending.device_ = x.device();
    pending.result_ =
        out.defined() ? out : Tensor::empty(with_first(own.shape(), count), own.dtype(), own.device());
    copy(pending.result_.slice(0, rank() * own.size(0), (rank() + 1) * own.size(0)), own);
    if (size() == 1) return pending;
    pending.held_ = {own};
    std::vector<Piece> sends, receives;
    void* to = pending.result_.mutable_raw();
    for (int r = 0; r < size(); ++r) {
        sends.push_back(block(own.raw(), bytes_of(own), 0));
        receives.push_back(block(to, bytes_of(own), r));
    }
    pending.transfer_ = engine_->exchange(sends, receives, own.device());
    return pending;
}

PendingTensor Communicator::start_all_to_all(const Tensor& x) const {
    check_blocks("all_to_all", x, size());
    const Tensor own = reachable(engine_.get(), x);
    PendingTensor pending;
    pending.device_ = x.device();
    pending.result_ = Tensor::like(own);
    const int64_t rows = own.size(0) / size();
    copy(pending.result_.slice(0, rank() * rows, (rank() + 1) * rows),
         own.slice(0, rank() * rows, (rank() + 1) * rows));
    if (size() == 1) return pending;
    pending.held_ = {own};
    const size_t bytes = bytes_of(own) / static_cast<size_t>(size());
    std::vector<Piece> sends, receives;
    void* to = pending.result_.mutable_raw();
    for (int r = 0; r < size(); ++r) {
        sends.push_back(block(own.raw(), bytes, r));
        receives.push_back(block(to, bytes, r));
    }
    pending.transfer_ = engine_->exchange(sends, receives, own.device());
    return pending;
}

Tensor Communicator::reduce_scatter(const Tensor& x) const {
    check_sum("reduce_scatter", x);
    check_blocks("reduce_scatter", x, size());
    const Tensor blocks = all_to_all(x);
    const int64_t rows = blocks.size(0) / size();
    TreeSum sum;
    for (int r = 0; r < size(); ++r) sum.add(blocks.slice(0, r * rows, (r + 1) * rows));
    return sum.take().clone();
}

Tensor Communicator::all_reduce(const Tensor& x) const {
    check_sum("all_reduce", x);
    if (size() == 1) return x.clone();
    const int64_t each = (x.numel() + size() - 1) / size();
    Tensor flat = Tensor::zeros({each * size()}, x.dtype(), x.device());
    copy(flat.slice(0, 0, x.numel()), x.reshape({x.numel()}));
    return all_gather(reduce_scatter(flat)).slice(0, 0, x.numel()).reshape(x.shape());
}

void Communicator::broadcast(Tensor x, int root) const {
    check(x.defined() && x.is_contiguous(), "broadcast", "needs contiguous memory: got ", x);
    check(root >= 0 && root < size(), "broadcast", "root must be in [0, ", size(), "): got ", root);
    if (size() == 1) return;
    const std::vector<int64_t> counts(static_cast<size_t>(size()), x.numel());
    const Tensor flat = x.view({x.numel()});
    if (rank() == root) {
        scatter(flat.expand({size(), x.numel()}).reshape({-1}), counts, x.dtype(), x.device(), root);
    } else {
        copy(flat, scatter({}, counts, x.dtype(), x.device(), root));
    }
}

void Communicator::barrier() const { all_gather(Tensor::zeros({1}, DType::u8)); }

Tensor Communicator::gather(const Tensor& x, const std::vector<int64_t>& counts, int root) const {
    const int64_t total = total_of("gather", counts, size());
    check(root >= 0 && root < size(), "gather", "root must be in [0, ", size(), "): got ", root);
    check(x.defined() && x.rank() == 1 && x.numel() == counts[static_cast<size_t>(rank())], "gather",
          "needs a tensor of one dimension with ", counts[static_cast<size_t>(rank())], " elements: got ", x);
    if (size() == 1) return x.clone();
    const Tensor own = reachable(engine_.get(), x);
    const auto width = static_cast<int64_t>(size_of(own.dtype()));
    std::vector<Piece> sends(counts.size()), receives(counts.size());
    Tensor all;
    if (rank() == root) {
        all = Tensor::empty({total}, own.dtype(), own.device());
        char* memory = static_cast<char*>(all.mutable_raw());
        int64_t at = 0;
        for (size_t r = 0; r < counts.size(); at += counts[r++]) {
            if (static_cast<int>(r) == root)
                copy(all.slice(0, at, at + counts[r]), own);
            else
                receives[r] = {memory + at * width, static_cast<size_t>(counts[r] * width)};
        }
    } else {
        sends[static_cast<size_t>(root)] = block(own.raw(), bytes_of(own), 0);
    }
    engine_->exchange(sends, receives, own.device())->wait();
    return all.defined() ? all.to(x.device()) : all;
}

Tensor Communicator::scatter(const Tensor& x, const std::vector<int64_t>& counts, DType dtype, Device device,
                             int root) const {
    const int64_t total = total_of("scatter", counts, size());
    check(root >= 0 && root < size(), "scatter", "root must be in [0, ", size(), "): got ", root);
    check(rank() != root || (x.defined() && x.rank() == 1 && x.numel() == total && x.dtype() == dtype),
          "scatter", "needs ", total, " elements of ", dtype, " in one dimension: got ", x);
    if (size() == 1) return x.to(device).clone();
    const Device where = engine_->reaches(device) ? device : Device::cpu();
    const auto width = static_cast<int64_t>(size_of(dtype));
    std::vector<Piece> sends(counts.size()), receives(counts.size());
    Tensor own = Tensor::empty({counts[static_cast<size_t>(rank())]}, dtype, where), all;
    if (rank() == root) {
        all = x.to(where).contiguous();
        int64_t at = 0;
        for (size_t r = 0; r < counts.size(); at += counts[r++]) {
            if (static_cast<int>(r) == root)
                copy(own, all.slice(0, at, at + counts[r]));
            else
                sends[r] = {static_cast<char*>(const_cast<void*>(all.raw())) + at * width,
                            static_cast<size_t>(counts[r] * width)};
        }
    } else {
        receives[static_cast<size_t>(root)] = {own.mutable_raw(), bytes_of(own)};
    }
    engine_->exchange(sends, receives, where)->wait();
    return own.to(device);
}

std::vector<std::string> Communicator::all_gather_text(const std::string& text) const {
    const Tensor lengths =
        all_gather(Tensor::from(std::vector<int64_t>{static_cast<int64_t>(text.size())}, {1}));
    const std::vector<int64_t> counts = lengths.to_vector<int64_t>();
    int64_t most = 1;
    for (int64_t count : counts) most = std::max(most, count);
    Tensor padded = Tensor::zeros({most}, DType::u8);
    if (!text.empty()) std::memcpy(padded.mutable_raw(), text.data(), text.size());
    const std::vector<uint8_t> all = all_gather(padded).to_vector<uint8_t>();
    std::vector<std::string> texts;
    for (size_t r = 0; r < counts.size(); ++r) {
        const auto at = all.begin() + static_cast<std::ptrdiff_t>(r) * most;
        texts.emplace_back(at, at + counts[r]);
    }
    return texts;
}

}  // namespace demi
