#pragma once
// Sums of numbered parts in a fixed binary tree, wherever the parts are: part 2 k is added to part 2 k + 1, pairs to
// pairs, and so on; what is left over at the end joins from the right. The bits depend on the number of parts and
// their values alone. A rank that has the parts [begin, end) gives its whole subtrees (blocks()); those of all ranks,
// put together in order, have the bits of one rank that has all parts.
#include <cstdint>
#include <vector>

#include "runtime/tensor.h"

namespace demi {

class TreeSum {
  public:
    // `first`: the number of the first part.
    explicit TreeSum(int64_t first = 0);

    // The next part, or the sum of the next `parts` ones, a whole subtree. The memory becomes the sum's: parts are
    // added into it.
    void add(Tensor part, int64_t parts = 1);
    bool empty() const { return blocks_.empty(); }
    // The sum of all; forgets it.
    Tensor take();
    // The sums of the whole subtrees so far, in order, each of block_sizes() parts; forgets them.
    std::vector<Tensor> take_blocks();
    // How the parts [begin, end) make whole subtrees.
    static std::vector<int64_t> block_sizes(int64_t begin, int64_t end);

  private:
    struct Block {
        int64_t parts;
        Tensor sum;
    };
    int64_t next_;
    std::vector<Block> blocks_;
};

}  // namespace demi
