#pragma once
// One tile of a product, from packing to the epilogue.
#include "ops/matmul/gemm_micro.h"

namespace demi::DEMI_BACKEND {
namespace {

// From one panel in scratch to the next: not a multiple of 4096 bytes, so that they do not collide in the cache.
int64_t panel_stride(int64_t words, int width) { return words * width + 16; }
int64_t round_up(int64_t a, int64_t b) { return (a + b - 1) / b * b; }

// 32-bit words of scratch for a depth.
int64_t words_of(int64_t depth, Arithmetic arithmetic) {
    return arithmetic == Arithmetic::floats  ? depth
           : arithmetic == Arithmetic::pairs ? (depth + 1) / 2
                                             : round_up(depth, 2 * kTileWords) / 2;
}

bool a_is_transposed(const GemmTile& t) { return t.a.row == 1 && (t.a.col != 1 || t.row_sums != nullptr); }
bool a_in_panels(const GemmTile& t) { return a_is_transposed(t) && t.arithmetic != Arithmetic::tiles; }
int micro_rows(const GemmTile& t) { return t.arithmetic == Arithmetic::tiles ? kTileRows : kMr; }

struct Chunks {
    int64_t count, step;  // in words
};

Chunks cut_depth(const GemmTile& t) {
    const int64_t words = words_of(t.depth, t.arithmetic);
    const int64_t count = words <= kMaxChunk ? 1 : (words + kMaxChunk - 1) / kMaxChunk;
    return {count, round_up((words + count - 1) / count, t.arithmetic == Arithmetic::tiles ? kTileWords : 1)};
}

// Scratch is [A][a panel of B, unless packed before][sums of the tile][row sums]. Of A there are all rows of
// the tile, or with B packed before the few that are multiplied.
struct TileScratch {
    int64_t a, b, c, sums;
};

bool sums_in_c(const GemmTile& t) { return t.c_type == GemmType::f32 && t.epilogue == kGemmPlain; }

int64_t panels_of(int64_t cols) { return (cols + kNr - 1) / kNr; }

TileScratch layout(const GemmTile& t) {
    const int64_t rows = round_up(t.rows, micro_rows(t)), panels = (t.rows + kPanelRows - 1) / kPanelRows;
    const Chunks chunks = cut_depth(t);
    TileScratch s;
    // The last vector of a row may reach beyond it.
    s.a = round_up(16 + (a_in_panels(t) ? panels * panel_stride(chunks.step, kLanes)
                                        : (t.b_packed != nullptr ? micro_rows(t) : rows) * kARowStride),
                   16);
    s.b = t.b_packed == nullptr ? round_up(panel_stride(chunks.step, kNr), 16) : 0;
    s.c = chunks.count > 1 && !sums_in_c(t) ? rows * panels_of(t.cols) * kNr : 0;
    s.sums = t.row_sums != nullptr ? panels * kLanes : 0;
    return s;
}

// What run_tile() needs.
int64_t scratch_floats(const GemmTile& t) {
    const TileScratch s = layout(t);
    return s.a + s.b + s.c + s.sums;
}

// Columns [0, cols) of b over k in [0, depth) in panels of kNr columns, `stride` words apart, zero padded. out: aligned to
// 64 bytes.
void pack_b(const Stored& b, [[maybe_unused]] Arithmetic arithmetic, int64_t depth, int64_t cols, float* out,
            int64_t stride) {
#if defined(__AVX512F__)
    if (arithmetic != Arithmetic::floats)
        return with_bf16_type(b, [&](auto* p) {
            pack_b_pairs<kNr>(p, b.row, b.col, depth, words_of(depth, arithmetic), cols, out, stride);
        });
#endif
    with_type(b, [&](auto* p) { pack_b_panels<kNr>(p, b.row, b.col, depth, cols, out, stride); });
}

Finish finish_of(const GemmTile& t) {
    switch (t.c_type) {
    case GemmType::f16: return finish_for<Half>(t.epilogue);
    case GemmType::bf16: return finish_for<BFloat16>(t.epilogue);
    default: return finish_for<float>(t.epilogue);
    }
}

// One chunk of the depth of one tile.
class ChunkOfTile {
  public:
    ChunkOfTile(const GemmTile& tile)
        : t(tile), size_(layout(tile)), chunks_(cut_depth(tile)), a_(tile.scratch), b_(a_ + size_.a),
          c_(b_ + size_.b), sums_(c_ + size_.c), panels_(a_in_panels(tile)), in_c_(sums_in_c(tile)),
          tiles_(tile.arithmetic == Arithmetic::tiles), mr_(micro_rows(tile)),
          ld_c_(panels_of(tile.cols) * kNr), finish_(finish_of(tile)) {
        for (int64_t i = 0; i < size_.sums; ++i) sums_[i] = 0.f;
        if (!tiles_) find_places();
    }

    int64_t count() const { return chunks_.count; }

    void run(int64_t chunk) {
        start(chunk);
        t.b_packed != nullptr ? rows_first() : columns_first();
    }

    void store_row_sums() const {
        if (t.row_sums == nullptr) return;
        for (int64_t m = 0; m < t.rows; ++m) t.row_sums[m] = sums_[m / kPanelRows * kLanes + m % kPanelRows];
    }

  private:
    void start(int64_t chunk) {
        word0_ = chunk * chunks_.step;
        k0_ = word0_ * step_of_words();
        depth_ = depth_at(k0_);
        words_ = static_cast<int>(words_of(depth_, t.arithmetic));
        first_ = chunk == 0;
        last_ = chunk + 1 == chunks_.count;
    }

    int64_t step_of_words() const { return t.arithmetic == Arithmetic::floats ? 1 : 2; }
    int depth_at(int64_t k0) const {
        const int64_t left = t.depth - k0, step = chunks_.step * step_of_words();
        return static_cast<int>(left <= 0 ? 0 : left < step ? left : step);
    }
    int rows_at(int64_t m) const { return static_cast<int>(t.rows - m < mr_ ? t.rows - m : mr_); }
    int cols_at(int64_t n) const { return static_cast<int>(t.cols - n < kNr ? t.cols - n : kNr); }

    void copy_rows(int64_t m, int64_t rows, float* out) const {
        const Stored a = t.a.from(m, k0_);
#if defined(__AVX512F__)
        if (t.arithmetic != Arithmetic::floats)
            return with_bf16_type(a, [&](auto* p) {
                if (a_is_transposed(t))
                    pack_a_pairs<true>(p, a.col, rows, depth_, words_, out, kARowStride, sums_at(m));
                else
                    copy_a_pairs(p, a.row, a.col, rows, depth_, words_, out, kARowStride);
            });
#endif
        with_type(a, [&](auto* p) { copy_a_rows(p, a.row, a.col, rows, depth_, out, kARowStride); });
    }

    // With B packed before: a few rows of A stay in the first-level cache while the panels of B stream by.
    void rows_first() {
        if (panels_) pack_a();
        for (int64_t m = 0; m < t.rows; m += mr_) {
            const int rows = rows_at(m);
            if (!panels_ && depth_ > 0) {
                copy_rows(m, rows, a_);
                soon_ = ahead_of(t.a.from(m + rows, k0_), rows_at(m + rows), depth_);
            }
            const float* a = panels_ ? a_panel(m) : a_;
            for (int64_t n = 0; n < t.cols; n += kNr) {
                const bool wraps = n + kNr >= t.cols;
                const float* b = t.b_packed + n * words_of(t.depth, t.arithmetic) + word0_ * kNr;
                multiply(m, n, a, b, wraps ? m + mr_ : m, wraps ? 0 : n + kNr);
            }
        }
    }

    // Else a panel of B is packed and used up at once, while the next one is asked for, then A's next chunk.
    void columns_first() {
        panels_ ? pack_a() : copy_rows(0, t.rows, a_);
        const int64_t k1 = k0_ + depth_;
        later_ = ahead_of(t.a.from(0, k1), t.rows, depth_at(k1));
        for (int64_t n = 0; n < t.cols; n += kNr) {
            pack_b(t.b.from(k0_, n), t.arithmetic, depth_, cols_at(n), b_, panel_stride(words_, kNr));
            if (n + kNr < t.cols)
                soon_ = ahead_of(t.b.from(k0_, n + kNr), depth_, cols_at(n + kNr));
            else if (!last_)
                soon_ = ahead_of(t.b.from(k1, 0), depth_at(k1), cols_at(0));
            else if (t.next_b.p != nullptr)
                soon_ = ahead_of(t.next_b, depth_at(0), kNr);
            for (int64_t m = 0; m < t.rows; m += mr_) {
                const bool wraps = m + mr_ >= t.rows;
                multiply(m, n, panels_ ? a_panel(m) : a_ + m * kARowStride, b_, wraps ? 0 : m + mr_,
                         wraps ? n + kNr : n);
            }
        }
    }

    void pack_a() {
        const Stored a = t.a.from(0, k0_);
        const int64_t stride = panel_stride(words_, kLanes);
#if defined(__AVX512F__)
        if (t.arithmetic != Arithmetic::floats)
            return with_bf16_type(a, [&](auto* p) {
                pack_a_pairs<false>(p, a.col, t.rows, depth_, words_, a_, stride, sums_at(0));
            });
#endif
        with_type(
            a, [&](auto* p) { pack_a_panels<kPanelRows>(p, a.col, t.rows, depth_, a_, stride, sums_at(0)); });
    }
    float* sums_at(int64_t m) const {
        return t.row_sums == nullptr ? nullptr : sums_ + m / kPanelRows * kLanes;
    }
    const float* a_panel(int64_t m) const {
        return a_ + m / kPanelRows * panel_stride(words_, kLanes) + m % kPanelRows;
    }

    // Where a register tile reads and writes beside its operands, seen from its place in C.
    void find_places() {
        const int64_t size = stored_size(t.c_type);
        const auto add = [&](const void* p) {
            const char* from = static_cast<const char*>(p);
            const bool aligned =
                (reinterpret_cast<uintptr_t>(from) | static_cast<uintptr_t>(t.ldc * size)) % 64 == 0;
            for (int i = 0; i < kMr; ++i) {
                const int64_t row = from - static_cast<const char*>(t.c) + i * t.ldc * size;
                for (int64_t j = 0; j < kNr * size; j += 64) places_[count_++] = row + j;
                if (!aligned) places_[count_++] = row + kNr * size - 1;
            }
        };
        add(t.c);
        if (t.epilogue & kGemmResidual) add(t.residual);
        if (t.epilogue & kGemmGeluGrad) add(t.gelu_grad_of);
        if (t.epilogue & kGemmSavePre) add(t.pre);
    }

    void ask_for(int64_t next_m, int64_t next_n) {
        const int room = words_ / kAheadStep;
        const bool stores = next_m < t.rows && next_n < t.cols && (last_ || in_c_);
        ahead_.offsets = places_;
        ahead_.places = !stores ? 0 : count_ < room ? count_ : room;
        ahead_.base = static_cast<const char*>(t.c) + (next_m * t.ldc + next_n) * stored_size(t.c_type);
        (soon_.done() ? later_ : soon_).take(room - ahead_.places, &ahead_);
    }

    Micro micro_of(int rows) const {
#if defined(__AVX512F__)
        if (t.arithmetic == Arithmetic::pairs)
            return panels_ ? micro_for<1, kLanes, true>(rows) : micro_for<kARowStride, 1, true>(rows);
#endif
        return panels_ ? micro_for<1, kLanes, false>(rows) : micro_for<kARowStride, 1, false>(rows);
    }

    // The register tile at (m, n); the one after it is at (next_m, next_n).
    void multiply(int64_t m, int64_t n, const float* a, const float* b, int64_t next_m, int64_t next_n) {
        const int rows = rows_at(m), cols = cols_at(n);
        ask_for(next_m, next_n);
        const auto into = [&](const float* add, int64_t ldadd, float* to, int64_t ld) {
#if defined(__AVX512F__)
            if (tiles_) return gemm_tile_unit.multiply(words_, a, kARowStride, b, add, ldadd, to, ld);
#endif
            micro_of(rows)(words_, a, b, add, ldadd, to, ld, ahead_);
        };
        if (in_c_) {
            float* c = static_cast<float*>(t.c) + m * t.ldc + n;
            if (cols == kNr && (rows == mr_ || !tiles_)) return into(first_ ? nullptr : c, t.ldc, c, t.ldc);
            into(nullptr, 0, tile_, kNr);
            const Finish store = first_ ? finish<float, kGemmPlain> : finish<float, kGemmAccumulate>;
            return store(tile_, m, n, rows, cols, t);
        }
        float* block = c_ + m * ld_c_ + n;
        into(first_ ? nullptr : block, ld_c_, last_ ? tile_ : block, last_ ? kNr : ld_c_);
        if (last_) finish_(tile_, m, n, rows, cols, t);
    }

    const GemmTile& t;
    const TileScratch size_;
    const Chunks chunks_;
    float *const a_, *const b_, *const c_, *const sums_;
    const bool panels_, in_c_, tiles_;
    const int mr_;
    const int64_t ld_c_;
    const Finish finish_;
    int64_t k0_ = 0, word0_ = 0;  // where the chunk begins
    int depth_ = 0, words_ = 0;   // and its length
    bool first_ = true, last_ = true;
    AheadRows soon_, later_;
    // C, and two more that an epilogue may read; a row that is not aligned reaches into one line more.
    int64_t places_[3 * kMr * ((kNr * 4 + 63) / 64 + 1)];
    int count_ = 0;
    Ahead ahead_;
    alignas(64) float tile_[kMostRows * kNr];
};

void run_tile(const GemmTile& t) {
    ChunkOfTile chunk(t);
#if defined(__AVX512F__)
    if (t.arithmetic == Arithmetic::tiles) gemm_tile_unit.begin();
#endif
    for (int64_t i = 0; i < chunk.count(); ++i) chunk.run(i);
#if defined(__AVX512F__)
    if (t.arithmetic == Arithmetic::tiles) gemm_tile_unit.end();
#endif
    chunk.store_row_sums();
}

}  // namespace
}  // namespace demi::DEMI_BACKEND
