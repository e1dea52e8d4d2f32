#pragma once
// The inner loops of the product: a register tile of kMr x kNr sums, and what happens to it before it is stored.
#include "ops/matmul/gemm.h"
#include "ops/matmul/gemm_pairs.h"

namespace demi::DEMI_BACKEND {

// What happens to a sum before it is stored; see GemmCall.
enum GemmEpilogueBits : int {
    kGemmPlain = 0,
    kGemmBias = 1,
    kGemmResidual = 2,
    kGemmGelu = 4,
    kGemmSavePre = 8,
    kGemmGeluGrad = 16,
    kGemmAccumulate = 32,  // + what C held: within the product, of the chunks of the depth
};

// How the depth is multiplied: floats; words of two bf16 by vdpbf16ps, which is an inner loop over words instead of
// floats; or those by the tiles of AMX.
enum class Arithmetic { floats, pairs, tiles };

// One tile of C with everything that its computation needs. Pointers stand at the tile's first row and column.
struct GemmTile {
    int64_t rows, cols, depth;
    Arithmetic arithmetic;

    Stored a, b;
    Stored next_b;          // b of the tile that this thread is likely to compute next; or null
    const float* b_packed;  // panels of kNr columns, [words][kNr] each; or null: pack b for this tile alone

    void* c;  // element (m, n) at c[m * ldc + n]; c_type is f32, f16 or bf16
    GemmType c_type;
    int64_t ldc;

    int epilogue;
    const float* bias;                    // padded to whole panels
    const void *residual, *gelu_grad_of;  // these three lie like C
    void* pre;
    float* row_sums;  // or null: row_sums[m] = sum over k of A[m, k]; needs a.row = 1

    float* scratch;  // scratch_floats() of them, aligned to 64 bytes
};

// ---- which memory the inner loops ask for while they multiply: what is copied, packed or stored next lies far away, and
// would be waited for. In lines of 64 bytes, none of which has to exist.

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

// Elements (i, k) of a matrix for i < rows, k < cols; nothing where neither stride is 1.
inline AheadRows ahead_of(const Stored& x, int64_t rows, int64_t cols) {
    const int64_t size = stored_size(x.type);
    if (x.p == nullptr || rows <= 0 || cols <= 0) return {};
    if (x.col == 1) return {x.p, x.row * size, rows, cols * size};
    if (x.row == 1) return {x.p, x.col * size, cols, rows * size};
    return {};
}

// ---- the register tile -------------------------------------------------------------------------------

// As many sums as the registers hold beside the vectors of B and one broadcast element of A. With 32
// registers of AVX-512 three vectors of width cost the fewest loads per multiply-add: 8 x 48 is 7 % faster than
// 14 x 32.
constexpr int kVectors = kRegisters == 16 ? 2 : kLanes == 16 ? 3 : 4;
constexpr int kMr = kLanes == 16 ? 8 : kLanes == 8 ? 6 : 4;
constexpr int kNr = kVectors * kLanes;
// Rows in a panel of A: the register tile's, or several of those where they fill a vector.
constexpr int kPanelRows = kLanes % kMr == 0 ? kLanes : kMr;
// The depth is cut into chunks of at most this: kMr rows of A stay in the first-level cache.
constexpr int kMaxChunk = 384;
// Row stride of a block of A in scratch: whole cache lines, an odd number of them, so that rows do not
// collide in the cache.
constexpr int kARowStride = kMaxChunk + 16;

// sum += x * y, in the register where sum is: left to choose, the compiler moves the sums around
// and runs out of registers.
template <bool kPairs> DEMI_INLINE void accumulate(vf& sum, vf x, vf y) {
#if defined(__AVX512F__)
    if constexpr (kPairs) {
        asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(x), "v"(y));
        return;
    }
#endif
#if defined(__AVX512F__)
    asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(x), "v"(y));
#elif defined(__FMA__)
    asm("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(x), "x"(y));
#elif defined(__aarch64__)
    asm("fmla %0.4s, %1.4s, %2.4s" : "+w"(sum) : "w"(x), "w"(y));
#else
    sum = fma(x, y, sum);
#endif
}

// sum += one column of A times one row of B.
template <int R, int kRow, bool kPairs>
DEMI_INLINE void multiply_add(const float* a, const float* b, vf (&sum)[R][kVectors]) {
    vf column[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) column[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
        const vf x = broadcast(a[i * kRow]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) accumulate<kPairs>(sum[i][v], x, column[v]);
    }
}

// dst[R][kNr] = (add, or 0) + A * B over `depth`. A(i, k) = a[i * kRow + k * kCol]; b is a packed panel. Asks
// for what `ahead` names meanwhile, as far as the depth reaches.
template <int R, int kRow, int kCol, bool kPairs>
__attribute__((noinline)) static void micro(int depth, const float* a, const float* b, const float* add,
                                            int64_t ldadd, float* dst, int64_t ldd, const Ahead& ahead) {
    // Every loop over the sums must be unrolled completely, or the compiler keeps them in memory.
    vf sum[R][kVectors];
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sum[i][v] = zero();
    }
    const char *const base = ahead.base, *line = ahead.line, *row_end = ahead.row_end;
    const int64_t* offset = ahead.offsets;
    for (int left = ahead.places; left > 0 && depth >= kAheadStep; --left, depth -= kAheadStep) {
        __builtin_prefetch(base + *offset++, 0, 2);
#pragma GCC unroll 4
        for (int u = 0; u < kAheadStep; ++u) multiply_add<R, kRow, kPairs>(a + u * kCol, b + u * kNr, sum);
        a += kAheadStep * kCol;
        b += kAheadStep * kNr;
    }
    for (int left = ahead.lines; left > 0 && depth >= kAheadStep; --left, depth -= kAheadStep) {
        __builtin_prefetch(line, 0, 2);
        line += 64;
        if (line >= row_end) {
            line += ahead.skip;
            row_end += ahead.row_bytes;
        }
#pragma GCC unroll 4
        for (int u = 0; u < kAheadStep; ++u) multiply_add<R, kRow, kPairs>(a + u * kCol, b + u * kNr, sum);
        a += kAheadStep * kCol;
        b += kAheadStep * kNr;
    }
    for (; depth >= 4; depth -= 4, a += 4 * kCol, b += 4 * kNr) {
#pragma GCC unroll 4
        for (int u = 0; u < 4; ++u) multiply_add<R, kRow, kPairs>(a + u * kCol, b + u * kNr, sum);
    }
    for (; depth > 0; --depth, a += kCol, b += kNr) multiply_add<R, kRow, kPairs>(a, b, sum);
    if (add != nullptr) {
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
            for (int v = 0; v < kVectors; ++v) sum[i][v] = loadu(add + i * ldadd + v * kLanes) + sum[i][v];
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) storeu(dst + i * ldd + v * kLanes, sum[i][v]);
    }
}

using Micro = void (*)(int, const float*, const float*, const float*, int64_t, float*, int64_t, const Ahead&);

// The micro-kernel for r rows, 1 <= r <= kMr.
template <int kRow, int kCol, bool kPairs> static Micro micro_for(int r) {
    static constexpr Micro kTable[] = {
        micro<1, kRow, kCol, kPairs>,
        micro<2, kRow, kCol, kPairs>,
        micro<3, kRow, kCol, kPairs>,
        micro<4, kRow, kCol, kPairs>,
#if defined(__AVX2__)
        micro<5, kRow, kCol, kPairs>,
        micro<6, kRow, kCol, kPairs>,
#endif
#if defined(__AVX512F__)
        micro<7, kRow, kCol, kPairs>,
        micro<8, kRow, kCol, kPairs>,
#endif
    };
    static_assert(sizeof kTable == kMr * sizeof(Micro));
    return kTable[r - 1];
}

constexpr int kMostRows = kLanes == 16 ? kTileRows : kMr;  // of a register tile, whatever the arithmetic

// Stores sums[rows][kNr] to C at (row, col) of the tile through the epilogue; cols <= kNr.
template <class T, int kBits>
static void finish(const float* sums, int64_t row, int64_t col, int rows, int cols, const GemmTile& t) {
    T* c = static_cast<T*>(t.c) + row * t.ldc + col;
    const int64_t at = row * t.ldc + col;
    const T* residual = static_cast<const T*>(t.residual) + ((kBits & kGemmResidual) ? at : 0);
    const T* slope_of = static_cast<const T*>(t.gelu_grad_of) + ((kBits & kGemmGeluGrad) ? at : 0);
    T* pre = static_cast<T*>(t.pre) + ((kBits & kGemmSavePre) ? at : 0);
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < kNr; j += kLanes) {
            const int n = cols - j;
            if (n <= 0) break;
            const bool full = n >= kLanes;
            vf x = load(sums + i * kNr + j);
            if (kBits & kGemmBias) x = x + loadu(t.bias + col + j);
            if (kBits & (kGemmGelu | kGemmSavePre)) {
                // Rounded first: the same result as a product followed by a separate gelu.
                x = rounded_like(x, c);
                if (kBits & kGemmSavePre) full ? storeu(pre + j, x) : store_n(pre + j, x, n);
                if (kBits & kGemmGelu) x = gelu(x);
            }
            if (kBits & kGemmGeluGrad)
                x = x * gelu_grad(full ? loadu(slope_of + j) : load_n(slope_of + j, n));
            if (kBits & kGemmResidual) x = x + (full ? loadu(residual + j) : load_n(residual + j, n));
            if (kBits & kGemmAccumulate) x = (full ? loadu(c + j) : load_n(c + j, n)) + x;
            full ? storeu(c + j, x) : store_n(c + j, x, n);
        }
        c += t.ldc;
        if (kBits & kGemmResidual) residual += t.ldc;
        if (kBits & kGemmGeluGrad) slope_of += t.ldc;
        if (kBits & kGemmSavePre) pre += t.ldc;
    }
}

using Finish = void (*)(const float*, int64_t, int64_t, int, int, const GemmTile&);

template <class T> static Finish finish_for(int bits) {
    switch (bits) {
    case kGemmPlain: return finish<T, kGemmPlain>;
    case kGemmBias: return finish<T, kGemmBias>;
    case kGemmResidual: return finish<T, kGemmResidual>;
    case kGemmBias | kGemmResidual: return finish<T, kGemmBias | kGemmResidual>;
    case kGemmGelu: return finish<T, kGemmGelu>;
    case kGemmBias | kGemmGelu: return finish<T, kGemmBias | kGemmGelu>;
    case kGemmGelu | kGemmSavePre: return finish<T, kGemmGelu | kGemmSavePre>;
    case kGemmBias | kGemmGelu | kGemmSavePre: return finish<T, kGemmBias | kGemmGelu | kGemmSavePre>;
    case kGemmGeluGrad: return finish<T, kGemmGeluGrad>;
    default: return nullptr;
    }
}

}  // namespace demi::DEMI_BACKEND
