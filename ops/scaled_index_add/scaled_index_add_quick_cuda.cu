// scaled_index_add where all is aligned and of one storage: what training calls. A block takes some rows m of
// one b, a thread eight columns of several of them; alpha * scaling stays in its registers. All of its loads
// from input are on their way before it asks the list who adds to b.
#include "ops/boundary/boundary_lane_cuda.h"
#include "ops/scaled_index_add/scaled_index_add_cuda.h"

namespace demi::gpu_kernels {
namespace {

constexpr int kThreads = 128;
constexpr int ahead_of(Storage s) { return s == Storage::f32 ? 2 : 4; }  // rows of a thread: 64 bytes

// How a matrix [M, groups of eight columns] is cut into blocks.
struct Cut {
    int groups, width, side;  // a block: `width` groups of `side` rows beside each other, ahead_of() times
    int64_t chunks, pieces;   // blocks over M, over groups
};
Cut cut_of(const AddForward& call) {
    Cut c{};
    const int64_t groups = call.tiles.columns / 8;
    c.groups = static_cast<int>(groups);
    c.pieces = (groups + kThreads - 1) / kThreads;
    c.width = static_cast<int>((groups + c.pieces - 1) / c.pieces);
    const int64_t side = kThreads / c.width;
    c.side = static_cast<int>(side < call.M ? side : call.M);
    const int64_t rows = int64_t{c.side} * ahead_of(call.to);
    c.chunks = (call.M + rows - 1) / rows;
    return c;
}

// Who adds to b, in the list's order: a warp reads a short list on its own, and nobody waits for another.
class Uses {
  public:
    DEMI_DEVICE Uses(const AddForward& call, int64_t b) {
        if (call.list == nullptr) {
            at_ = call.uses.find(b);
            end_ = call.uses.find(b + 1);
            return;
        }
        bool here[4];
        DEMI_UNROLL
        for (int k = 0; k < 4; ++k) {
            const int64_t i = 32 * k + gpu::lane();
            here[k] = i < call.listed && call.list[i] == b;
        }
        DEMI_UNROLL
        for (int k = 0; k < 4; ++k) named_[k] = gpu::ballot(here[k]);
    }
    // -1: nobody any more.
    DEMI_DEVICE int64_t next(const AddForward& call) {
        if (call.list == nullptr) return at_ < end_ ? call.uses.places[at_++] : -1;
        int64_t place = -1;
        DEMI_UNROLL
        for (int k = 0; k < 4; ++k) {
            if (place >= 0 || named_[k] == 0) continue;
            place = 32 * k + gpu::lowest_bit(named_[k]);
            named_[k] &= named_[k] - 1;
        }
        return place;
    }

  private:
    uint32_t named_[4] = {0, 0, 0, 0};
    int64_t at_ = 0, end_ = 0;
};

// kCasts: something crosses the fp16 boundary.
template <Storage kStorage, bool kCasts> struct AddQuickKernel {
    static constexpr int threads = kThreads;
    static constexpr int kAhead = ahead_of(kStorage);
    AddForward call;
    Cut cut;

    DEMI_DEVICE void operator()() const {
        LaneCount input, source, scaling, result;
        const int64_t b = gpu::block_idx().x / cut.chunks, chunk = gpu::block_idx().x - b * cut.chunks;
        const int t = static_cast<int>(gpu::thread_idx().x), row = t / cut.width;
        const int group = static_cast<int>(gpu::block_idx().y) * cut.width + t - row * cut.width;
        const int64_t m = chunk * cut.side * kAhead + row, d = int64_t{group} * 8;
        const bool mine = row < cut.side && group < cut.groups && m < call.M;
        const int64_t left = mine ? (call.M - m + cut.side - 1) / cut.side : 0;
        const int rows = left < kAhead ? static_cast<int>(left) : kAhead;

        Raw8 own[kAhead], other[kAhead];
        fetch(own, call.input, b, m, d, rows);
        Uses uses(call, b);
        int64_t place = uses.next(call);
        const bool named = place >= 0;
        float factor[8], x[kAhead][8], s[8];
        if (named) fetch(other, call.source, place, m, d, rows);
        // scaling is counted once
        const bool first_row = gpu::block_idx().x == 0 && row == 0;
        if (rows > 0 && (named || (kCasts && first_row))) find_factor(factor, d, first_row, scaling);
        if (named || !call.in_place || call.input.cast.round) {
            DEMI_UNROLL
            for (int i = 0; i < kAhead; ++i) {
                if (i >= rows) break;
                unpack(x[i], own[i], kStorage);
                pass(x[i], call.input.cast, input);
            }
            while (place >= 0) {
                DEMI_UNROLL
                for (int i = 0; i < kAhead; ++i) {
                    if (i >= rows) break;
                    unpack(s, other[i], kStorage);
                    pass(s, call.source.cast, source);
                    DEMI_UNROLL
                    for (int j = 0; j < 8; ++j) x[i][j] = factor[j] * s[j] + x[i][j];
                }
                place = uses.next(call);
                if (place >= 0) fetch(other, call.source, place, m, d, rows);
            }
            DEMI_UNROLL
            for (int i = 0; i < kAhead; ++i) {
                if (i >= rows) break;
                if (named) {
                    DEMI_UNROLL
                    for (int j = 0; j < 8; ++j) x[i][j] = one_nan(x[i][j]);
                    pass(x[i], call.result_cast, result);
                }
                store_eight(call.out, (b * call.M + m + i * cut.side) * call.tiles.columns + d, kStorage,
                            x[i]);
            }
        }
        if constexpr (kCasts) {
            if (call.sums == nullptr) return;
            uint32_t* scratch = gpu::shared<uint32_t>();
            if (call.input.cast.count) add_counts(input, scratch, call.sums);
            if (call.source.cast.count) add_counts(source, scratch, call.sums + 1);
            if (call.scaling_cast.count) add_counts(scaling, scratch, call.sums + 2);
            if (call.result_cast.count) add_counts(result, scratch, call.sums + 3);
        }
    }

    static DEMI_DEVICE void pass(float (&x)[8], const Cast& cast, LaneCount& lost) {
        if constexpr (kCasts) cross_eight(x, cast, lost);
    }

    DEMI_DEVICE void fetch(Raw8 (&raw)[kAhead], const AddOperand& from, int64_t row, int64_t m, int64_t d,
                           int rows) const {
        const int64_t at = row * from.row_step + m * from.m_step + d;
        DEMI_UNROLL
        for (int i = 0; i < kAhead; ++i)
            if (i < rows) raw[i] = load_raw(from.data, at + i * cut.side * from.m_step, kStorage);
    }

    DEMI_DEVICE void find_factor(float (&factor)[8], int64_t d, bool count, LaneCount& lost) const {
        DEMI_UNROLL
        for (int j = 0; j < 8; ++j) factor[j] = call.alpha;
        if (call.scaling == nullptr) return;
        float f[8];
        if (call.wide_scaling) {
            load_eight(f, call.scaling, d, call.scaling_storage);
        } else {
            DEMI_UNROLL
            for (int j = 0; j < 8; ++j)
                f[j] = load_one(call.scaling, (d + j) * call.scaling_step, call.scaling_storage);
        }
        Cast cast = call.scaling_cast;
        cast.count = cast.count && count;
        pass(f, cast, lost);
        DEMI_UNROLL
        for (int j = 0; j < 8; ++j) factor[j] = call.alpha * f[j];
    }
};

bool casts(const Cast& c) { return c.round || c.saturate || c.scale != 1 || c.undo != 1; }

template <Storage kStorage> void launch_as(const AddForward& call, gpu::Stream stream) {
    const Cut cut = cut_of(call);
    const gpu::Dim3 grid{static_cast<unsigned>(call.B * cut.chunks), static_cast<unsigned>(cut.pieces)};
    const gpu::Dim3 block{static_cast<unsigned>((cut.width * cut.side + 31) / 32 * 32)};
    if (casts(call.input.cast) || casts(call.source.cast) || casts(call.scaling_cast) ||
        casts(call.result_cast))
        gpu::launch(AddQuickKernel<kStorage, true>{call, cut}, grid, block, kCountScratch, stream);
    else
        gpu::launch(AddQuickKernel<kStorage, false>{call, cut}, grid, block, 0, stream);
}

}  // namespace

bool is_quick(const AddForward& call) {
    if (!call.wide || call.input.storage != call.to || call.source.storage != call.to) return false;
    const Cut cut = cut_of(call);
    return cut.pieces <= 65535 && call.B * cut.chunks <= int64_t{0x7fffffff};
}

void launch_add_quick(const AddForward& call, gpu::Stream stream) {
    if (call.to == Storage::f16)
        launch_as<Storage::f16>(call, stream);
    else if (call.to == Storage::bf16)
        launch_as<Storage::bf16>(call, stream);
    else
        launch_as<Storage::f32>(call, stream);
}

}  // namespace demi::gpu_kernels
