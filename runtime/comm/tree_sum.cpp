#include "runtime/comm/tree_sum.h"

#include <utility>

#include "runtime/check.h"
#include "runtime/copy.h"

namespace demi {

TreeSum::TreeSum(int64_t first) : next_(first) {
    check(first >= 0, "tree_sum", "the first number must not be negative: got ", first);
}

// Whether the block of so many parts that ends before part `end` is the right half of a subtree.
static bool right_half(int64_t end, int64_t parts) { return end / parts % 2 == 0; }

void TreeSum::add(Tensor part, int64_t parts) {
    check(part.defined() && is_float(part.dtype()), "tree_sum", "needs float tensors: got ", part);
    check(parts > 0 && (parts & (parts - 1)) == 0 && next_ % parts == 0, "tree_sum",
          "needs the sum of a whole subtree: got ", parts, " parts from ", next_);
    for (const Block& block : blocks_)
        check(block.sum.shape() == part.shape() && block.sum.device() == part.device(), "tree_sum",
              "needs parts of one shape: got ", block.sum, " and ", part);
    next_ = checked_add(next_, parts, "tree_sum");
    blocks_.push_back({parts, std::move(part)});
    while (blocks_.size() > 1) {
        Block& left = blocks_[blocks_.size() - 2];
        const Block& right = blocks_.back();
        if (left.parts != right.parts || !right_half(next_, right.parts)) return;
        accumulate(left.sum, right.sum);
        left.parts *= 2;
        blocks_.pop_back();
    }
}

Tensor TreeSum::take() {
    check(!blocks_.empty(), "tree_sum", "there is nothing to sum");
    while (blocks_.size() > 1) {
        const Tensor right = std::move(blocks_.back().sum);
        blocks_.pop_back();
        accumulate(blocks_.back().sum, right);
    }
    Tensor sum = std::move(blocks_[0].sum);
    blocks_.clear();
    return sum;
}

std::vector<Tensor> TreeSum::take_blocks() {
    std::vector<Tensor> sums;
    for (Block& block : blocks_) sums.push_back(std::move(block.sum));
    blocks_.clear();
    return sums;
}

std::vector<int64_t> TreeSum::block_sizes(int64_t begin, int64_t end) {
    check(begin >= 0 && begin <= end && end - begin <= int64_t{1} << 24, "tree_sum",
          "needs 0 <= begin <= end and at most 2^24 parts: got ", begin, " and ", end);
    std::vector<int64_t> sizes;
    for (int64_t at = begin; at < end; ++at) {
        sizes.push_back(1);
        while (sizes.size() > 1 && sizes[sizes.size() - 2] == sizes.back() &&
               right_half(at + 1, sizes.back())) {
            sizes.pop_back();
            sizes.back() *= 2;
        }
    }
    return sizes;
}

}  // namespace demi
