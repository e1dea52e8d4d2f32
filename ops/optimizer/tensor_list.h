#pragma once
// Internal: what the optimizers share: checks, the TensorList of a call, and the groups of numbers of its entries.
#include <cstring>

#include "ops/op.h"
#include "ops/optimizer/optimizer_kernels.h"
#include "runtime/capture.h"

namespace demi {

// `index` is the tensor's place in the list.
// A contiguous float parameter.
void check_parameter(const Op& op, size_t index, const Tensor& param);
// A gradient (or another tensor) of the parameter's shape and device: f64 beside f64, else f16, bf16 or f32.
void check_beside(const Op& op, size_t index, std::string_view name, const Tensor& param,
                  const Tensor& other);
// Optimizer state: the parameter's shape and device, contiguous, f32 (f64 beside f64).
void check_state(const Op& op, size_t index, std::string_view name, const Tensor& param, const Tensor& state);

class TensorListBuilder {
  public:
    explicit TensorListBuilder(Device device);

    // Memory of one size; first and second give the dtypes of data[0] and data[1] (second may be undefined).
    // factor: undefined, or f64 [1].
    void add(std::initializer_list<const void*> data, const Tensor& first, const Tensor& second,
             int32_t group = 0, const Tensor& factor = Tensor());
    Device device() const { return device_; }
    bool empty() const { return entries_.empty(); }
    int64_t chunks() const { return static_cast<int64_t>(chunks_.size()); }
    void clear();

    // Valid while the builder lives and is not changed.
    TensorList list();

  private:
    Device device_;
    int64_t chunk_size_, in_tile_ = 0;
    std::vector<ListEntry> entries_;
    std::vector<ListChunk> chunks_;
    std::vector<int64_t> tiles_;
    Tensor table_;  // the three in a GPU's memory
};

// The groups of a step: tensors with the same numbers share one. In a captured step each tensor is a group of its own,
// whose numbers are made again before each replay.
template <class Numbers> class NumberGroups {
  public:
    // numbers(replay) gives the tensor's numbers. -1: all groups are taken.
    template <class F> int32_t add(Device device, F numbers) {
        if (capturing(device)) {
            captured_.push_back(numbers);
            return static_cast<int32_t>(captured_.size() - 1);
        }
        const Numbers n = numbers(false);
        for (size_t g = 0; g < groups_.size(); ++g)
            if (std::memcmp(&groups_[g], &n, sizeof n) == 0) return static_cast<int32_t>(g);
        if (groups_.size() == kMaxListGroups) return -1;
        groups_.push_back(n);
        return static_cast<int32_t>(groups_.size() - 1);
    }
    const Numbers* data() const { return groups_.data(); }
    int count() const { return static_cast<int>(groups_.size()); }
    void clear() { groups_.clear(); }

    // Null outside of a captured step. The record keeps what the closures hold.
    const Numbers* live(Device device) const {
        if (captured_.empty()) return nullptr;
        const auto fill = [all = captured_, replay = false](void* host) mutable {
            for (size_t i = 0; i < all.size(); ++i) static_cast<Numbers*>(host)[i] = all[i](replay);
            replay = true;
        };
        const auto bytes = static_cast<int64_t>(captured_.size() * sizeof(Numbers));
        return static_cast<const Numbers*>(live_tensor({bytes}, DType::u8, device, fill).raw());
    }

  private:
    std::vector<Numbers> groups_;
    std::vector<std::function<Numbers(bool replay)>> captured_;
};

// A step of all AdamwTensors or SgdTensors that have a gradient and elements, on one device. check(i, t) checks what is not
// checked here, numbers(t) gives what NumberGroups takes, state(t) the memory beside the parameter and the gradient.
template <class Numbers, class Tensors, class Check, class MakeNumbers, class State>
void take_steps(const Op& op, const Tensors& tensors,
                void (*OptimizerKernels::*kernel)(const GroupedStep<Numbers>&, Queue), Check check,
                MakeNumbers numbers, State state) {
    std::vector<size_t> work;
    size_t first = tensors.size();
    for (size_t i = 0; i < tensors.size(); ++i) {
        const auto& t = tensors[i];
        check_parameter(op, i, t.param);
        if (!t.grad.defined()) continue;
        check_beside(op, i, "gradient", t.param, t.grad);
        op.check(!t.factor.defined() || (t.factor.dtype() == DType::f64 && t.factor.numel() == 1 &&
                                         t.factor.device() == t.param.device()),
                 "factor ", i, " must be f64 with one element on ", t.param.device(), ": got ", t.factor);
        first = first < i ? first : i;
        op.check(tensors[first].param.device() == t.param.device(), "parameters must be on one device: got ",
                 t.param, " at ", i);
        if (t.param.numel() != 0) work.push_back(i);
    }
    for (size_t i : work) check(i, tensors[i]);
    if (work.empty()) return;
    const Device device = tensors[work[0]].param.device();
    TensorListBuilder list(device);
    NumberGroups<Numbers> groups;
    std::vector<Tensor> grads;  // alive until the kernel runs
    const auto run = [&] {
        if (list.empty()) return;
        (optimizer_on(device).*kernel)({list.list(), groups.data(), groups.count(), groups.live(device)},
                                       queue_of(device));
        list.clear();
        groups.clear();
    };
    for (size_t i : work) {
        auto t = tensors[i];
        const auto own = numbers(t);
        int32_t group = groups.add(device, own);
        if (group < 0) {
            run();
            group = groups.add(device, own);
        }
        grads.push_back(t.grad.contiguous());
        const std::array<void*, 2> more = state(t);
        list.add({t.param.mutable_raw(), grads.back().raw(), more[0], more[1]}, t.param, t.grad, group,
                 t.factor);
    }
    run();
}

}  // namespace demi
