#pragma once
// Which memory the inner loops of gemm_isa.cpp ask for while they multiply: what is copied, packed or stored
// next lies far away, and would be waited for.
#include "ops/matmul/gemm_isa.h"
#include "runtime/simd.h"

namespace demi::DEMI_ISA_NS {

// In every kAheadStep steps an inner loop asks for one line.
constexpr int kAheadStep = 2;

inline int64_t stored_size(GemmType type) {
    switch (type) {
    case GemmType::f16:
    case GemmType::bf16:
    case GemmType::gelu_of_f16:
    case GemmType::gelu_of_bf16: return 2;
    default: return 4;
    }
}

// Lines of 64 bytes for one run of an inner loop.
template <int kRoom> struct Lines {
    const char* line[kRoom];
    int count = 0;

    void add_row(const char* p, const char* end, int room) {
        p -= reinterpret_cast<uintptr_t>(p) % 64;
        for (; p < end && count < room; p += 64) line[count++] = p;
    }
};

// Rows whose lines are asked for one after another, a few in each run.
class AheadRows {
  public:
    AheadRows() = default;
    AheadRows(const void* p, int64_t row_bytes, int64_t rows, int64_t bytes)
        : row_(static_cast<const char*>(p)), row_bytes_(row_bytes), bytes_(bytes), rows_(rows) {
        if (row_bytes == bytes) bytes_ *= rows, rows_ = rows > 0;
    }

    template <int kRoom> void take(Lines<kRoom>& lines, int room) {
        while (rows_ > 0 && lines.count < room) {
            const char* at = row_ + done_;
            const int before = lines.count;
            lines.add_row(at, row_ + bytes_, room);
            done_ += (lines.count - before) * int64_t{64};
            if (done_ < bytes_) continue;
            done_ = 0;
            row_ += row_bytes_;
            --rows_;
        }
    }

  private:
    const char* row_ = nullptr;
    int64_t row_bytes_ = 0, bytes_ = 0, rows_ = 0, done_ = 0;
};

// The stored elements (i, k) of a matrix for i < rows, k < cols, strides in elements; nothing where neither
// is 1.
inline AheadRows ahead_of(const void* p, GemmType type, int64_t row, int64_t col, int64_t rows, int64_t cols) {
    const int64_t size = stored_size(type);
    if (rows <= 0 || cols <= 0) return {};
    if (col == 1) return {p, row * size, rows, cols * size};
    if (row == 1) return {p, col * size, cols, rows * size};
    return {};
}

}  // namespace demi::DEMI_ISA_NS
