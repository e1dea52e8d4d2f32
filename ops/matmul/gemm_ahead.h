#pragma once
// Which memory the inner loops of gemm_isa.cpp ask for while they multiply: what is copied, packed or stored
// next lies far away, and would be waited for. In lines of 64 bytes, none of which has to exist.
#include "ops/matmul/gemm_isa.h"
#include "runtime/simd.h"

namespace demi::DEMI_ISA_NS {

// In every kAheadStep steps an inner loop asks for one line.
constexpr int kAheadStep = 2;

// What one run of an inner loop asks for: places of a pattern, then lines along rows.
struct Ahead {
    const char* base = nullptr;
    const int64_t* offsets = nullptr;
    int places = 0;
    const char *line = nullptr, *row_end = nullptr;
    int64_t row_bytes = 0, skip = 0;  // from one row's end to the next, from the end to where that starts
    int lines = 0;
};

// The lines of `rows` rows of `bytes` bytes each, taken one after another, a few in each run.
class AheadRows {
  public:
    AheadRows() = default;
    AheadRows(const void* p, int64_t row_bytes, int64_t rows, int64_t bytes)
        : row_(static_cast<const char*>(p)), row_bytes_(row_bytes), lines_((bytes + 63) / 64),
          left_(rows * lines_) {
        if (row_bytes == bytes) lines_ = left_ = (rows * bytes + 63) / 64;
    }

    void take(int most, Ahead* run) {
        run->lines = 0;
        if (left_ <= 0) return;
        run->line = row_ + at_ * 64;
        run->row_end = row_ + lines_ * 64;
        run->row_bytes = row_bytes_;
        run->skip = row_bytes_ - lines_ * 64;
        run->lines = static_cast<int>(left_ < most ? left_ : most);
        left_ -= run->lines;
        for (at_ += run->lines; at_ >= lines_ && left_ > 0; at_ -= lines_) row_ += row_bytes_;
    }
    bool done() const { return left_ <= 0; }

  private:
    const char* row_ = nullptr;
    int64_t row_bytes_ = 0, lines_ = 1, left_ = 0, at_ = 0;
};

// The stored elements (i, k) of a matrix for i < rows, k < cols, strides in elements; nothing where neither
// is 1.
inline AheadRows ahead_of(const void* p, GemmType type, int64_t row, int64_t col, int64_t rows,
                          int64_t cols) {
    const int64_t size = stored_size(type);
    if (rows <= 0 || cols <= 0) return {};
    if (col == 1) return {p, row * size, rows, cols * size};
    if (row == 1) return {p, col * size, cols, rows * size};
    return {};
}

}  // namespace demi::DEMI_ISA_NS
