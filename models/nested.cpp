#include "models/nested.h"

#include <algorithm>
#include <cstring>

#include "ops/index/row_index.h"
#include "ops/index_select_cat/index_select_cat.h"
#include "ops/scaled_index_add/scaled_index_add.h"
#include "ops/views/concat.h"
#include "ops/views/views.h"
#include "runtime/capture.h"

namespace demi {

int64_t kept_rows(int64_t batch, double drop) {
    check(batch >= 0 && drop >= 0 && drop < 1, "kept_rows", "needs batch >= 0 and drop in [0, 1): got ",
          batch, " and ", drop);
    const auto kept = static_cast<int64_t>(static_cast<double>(batch) * (1 - drop));
    return std::min(std::max<int64_t>(kept, 1), batch);
}

Tensor first_rows(const std::vector<int64_t>& permutation, int64_t count, Device device) {
    check(count >= 0 && count <= static_cast<int64_t>(permutation.size()), "first_rows", "needs ", count,
          " of them: got ", permutation.size());
    return Tensor::from(std::span(permutation).first(static_cast<size_t>(count)), {count}, device);
}

Tensor drawn_rows(const ForwardContext& context, int64_t batch, int64_t kept, Device device) {
    check(kept >= 0 && kept <= batch, "drawn_rows", "can keep 0 to ", batch, " rows: got ", kept);
    const auto draw = [context, batch, kept](void* host) {
        std::memcpy(host, context.draw_permutation(batch).data(),
                    static_cast<size_t>(kept) * sizeof(int64_t));
    };
    const Tensor rows = capturing(device) ? live_tensor({kept}, DType::i64, device, draw)
                                          : first_rows(context.draw_permutation(batch), kept, device);
    trust_rows(rows, batch);
    return rows;
}

static BlockDiagonalMask mask_of(const std::vector<Variable>& list, const std::vector<int64_t>& rows) {
    std::vector<int64_t> lengths, of_batch;
    for (size_t k = 0; k < list.size(); ++k) {
        check(rows[k] <= INT32_MAX, "get_attn_bias_and_cat", "needs fewer than 2^31 rows: got ", rows[k]);
        of_batch.push_back(list[k].size(1));
        lengths.insert(lengths.end(), static_cast<size_t>(rows[k]), of_batch[k]);
    }
    BlockDiagonalMask mask = BlockDiagonalMask::from_seqlens(lengths);
    mask.set_batch_sizes(rows, of_batch);
    return mask;
}

static void check_list(const std::vector<Variable>& list) {
    check(!list.empty(), "get_attn_bias_and_cat", "needs at least one tensor: got an empty list");
    for (const Variable& x : list)
        check(x.rank() == 3 && list[0].rank() == 3 && x.size(2) == list[0].size(2), "get_attn_bias_and_cat",
              "needs tensors [B, N, D] of one D: got ", list[0].value(), " and ", x.value());
}

std::pair<BlockDiagonalMask, Variable> get_attn_bias_and_cat(const std::vector<Variable>& list,
                                                             const std::vector<Tensor>& indices,
                                                             const Boundary& boundary) {
    check_list(list);
    check(indices.size() == list.size(), "get_attn_bias_and_cat", "needs one list of rows per tensor: got ",
          indices.size(), " for ", list.size());
    const int64_t dim = list[0].size(2);
    std::vector<int64_t> rows;
    std::vector<Variable> flat;
    int64_t tokens = 0;
    for (size_t k = 0; k < list.size(); ++k) {
        rows.push_back(indices[k].numel());
        flat.push_back(reshape(list[k], {list[k].size(0), list[k].size(1) * dim}));
        tokens += rows[k] * list[k].size(1);
    }
    const Variable packed = reshape(index_select_cat(flat, indices, boundary), {1, tokens, dim});
    return {mask_of(list, rows), packed};
}

std::pair<BlockDiagonalMask, Variable> get_attn_bias_and_cat(const std::vector<Variable>& list) {
    check_list(list);
    std::vector<int64_t> rows;
    std::vector<Variable> flat;
    for (const Variable& x : list) {
        rows.push_back(x.size(0));
        flat.push_back(reshape(x, {1, x.size(0) * x.size(1), x.size(2)}));
    }
    return {mask_of(list, rows), flat.size() == 1 ? flat[0] : concat(flat, 1)};
}

Variable add_residual(const Variable& x, const Tensor& index, const Variable& residual, const Variable& gamma,
                      double alpha, const Boundary& boundary) {
    if (gamma.defined()) return scaled_index_add(x, index, residual, gamma, alpha, boundary);
    Boundary none = boundary;
    none.mode = BoundaryMode::off;
    return scaled_index_add(x, index, residual, {}, alpha, none);
}

}  // namespace demi
