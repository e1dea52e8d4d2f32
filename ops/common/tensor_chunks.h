#pragma once
// Work over many tensors at once: chunks of at most 64 Ki elements, small tensors bundled into one tile. Cut
// from the sizes only.
#include <algorithm>
#include <vector>

#include "runtime/parallel.h"

namespace demi {

struct TensorChunk {
    size_t tensor;
    int64_t begin, count;
};

class TensorChunks {
  public:
    static constexpr int64_t kChunk = 65536;

    void add(size_t tensor, int64_t numel) {
        for (int64_t begin = 0; begin < numel; begin += kChunk) {
            if (chunks_.empty() || in_tile_ >= kChunk / 2) {
                tiles_.push_back(chunks_.size());
                in_tile_ = 0;
            }
            chunks_.push_back({tensor, begin, std::min(kChunk, numel - begin)});
            in_tile_ += chunks_.back().count;
        }
    }
    size_t size() const { return chunks_.size(); }
    const TensorChunk& operator[](size_t i) const { return chunks_[i]; }

    // fn(number of the chunk, chunk) for all, in parallel.
    template <class F> void run(F&& fn) const {
        parallel_for(static_cast<int64_t>(tiles_.size()), [&](int64_t tile) {
            const size_t t = static_cast<size_t>(tile);
            const size_t end = t + 1 < tiles_.size() ? tiles_[t + 1] : chunks_.size();
            for (size_t i = tiles_[t]; i < end; ++i) fn(i, chunks_[i]);
        });
    }

  private:
    std::vector<TensorChunk> chunks_;
    std::vector<size_t> tiles_;
    int64_t in_tile_ = 0;
};

}  // namespace demi
