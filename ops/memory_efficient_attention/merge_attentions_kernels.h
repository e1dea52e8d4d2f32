#pragma once
// Internal: merge_attentions on Tensors of one device. All are contiguous; every out has one shape and dtype,
// every lse the dtype that out's arithmetic has. Rows are (batch, token, head).
#include <vector>

#include "runtime/kernel_table.h"
#include "runtime/tensor.h"

namespace demi {

struct MergeLayout {
    int64_t batch, tokens, heads, size;
    int64_t rows() const {
        const bool none = batch == 0 || tokens == 0 || heads == 0;  // the others may be any number then
        return none ? 0 : batch * tokens * heads;
    }
};

struct MergeAttentionsKernels {
    void (*forward)(const MergeLayout&, const std::vector<Tensor>& outs, const std::vector<Tensor>& lses,
                    Tensor out, Tensor lse) = nullptr;
    // grad and grad_lse may be undefined. grads: of each part's out and lse in turn, where defined.
    void (*backward)(const MergeLayout&, const std::vector<Tensor>& outs, const std::vector<Tensor>& lses,
                     const Tensor& out, const Tensor& lse, const Tensor& grad, const Tensor& grad_lse,
                     std::vector<Tensor>& grads) = nullptr;
};
DEMI_KERNEL_TABLES(MergeAttentionsKernels, merge_attentions)

}  // namespace demi
