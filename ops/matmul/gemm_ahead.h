#pragma once
// Which memory the inner loops of gemm_isa.cpp ask for while they multiply: the rows of A that come next lie
// far away, and would be waited for.
#include "ops/matmul/gemm_isa.h"
#include "runtime/simd.h"

namespace demi::DEMI_ISA_NS {

// In every kAheadStep steps an inner loop asks for one line.
constexpr int kAheadStep = 4;

// Where the lines of one run of the inner loop lie: from p to the end of its row, then in the rows below.
struct Ahead {
    const char *p, *row_end;
    int64_t row_bytes, skip;  // from a row's end to the next one's start
};

// The lines of a block of rows, one after another, as many in a run as it has slots.
class AheadBlock {
  public:
    AheadBlock() = default;
    AheadBlock(const void* p, int64_t row_bytes, int64_t rows, int64_t bytes)
        : p_(static_cast<const char*>(p)), row_bytes_(row_bytes), bytes_(bytes), lines_((bytes + 63) / 64),
          left_(rows * lines_) {
        if (row_bytes == bytes) {
            bytes_ = row_bytes_ = rows * bytes;
            lines_ = left_ = (bytes_ + 63) / 64;
        }
    }

    bool done() const { return left_ <= 0; }
    Ahead next(int slots) {
        const Ahead run = {p_ + at_ * 64, p_ + bytes_, row_bytes_, row_bytes_ - lines_ * 64};
        at_ += slots;
        left_ -= slots;
        for (; at_ >= lines_ && left_ > 0; at_ -= lines_) p_ += row_bytes_;
        return run;
    }

  private:
    const char* p_ = nullptr;
    int64_t row_bytes_ = 0, bytes_ = 0, lines_ = 1, left_ = 0, at_ = 0;
};

inline int64_t stored_size(GemmType type) {
    switch (type) {
    case GemmType::f16:
    case GemmType::bf16:
    case GemmType::gelu_of_f16:
    case GemmType::gelu_of_bf16: return 2;
    default: return 4;
    }
}

}  // namespace demi::DEMI_ISA_NS
