// scaled_index_add where all is aligned and of one storage: what training calls. A block takes some rows m of one b,
// a thread eight columns of several of them; alpha * scaling stays in its registers. All of its loads from input are
// on their way before it asks the list who adds to b.
#include "ops/common/boundary_lane_cuda.h"
#include "ops/scaled_index_add/scaled_index_add_cuda.h"

namespace demi::gpu_kernels {
namespace {

constexpr int kThreads = 128, kAhead = 4;

// How a matrix [M, groups of eight columns] is cut into blocks.
struct Cut {
    int groups, width, side;  // a block: `width` groups of `side` rows beside each other, kAhead times
    int64_t chunks, pieces;   // blocks over M, over groups

    int64_t rows() const { return int64_t{side} * kAhead; }
};
Cut cut_of(const AddForward& call) {
    Cut c{};
    const int64_t groups = call.tiles.columns / 8;
    c.groups = static_cast<int>(groups);
    c.pieces = (groups + kThreads - 1) / kThreads;
    c.width = static_cast<int>((groups + c.pieces - 1) / c.pieces);
    const int64_t side = kThreads / c.width;
    c.side = static_cast<int>(side < call.M ? side : call.M);
    c.chunks = (call.M + c.rows() - 1) / c.rows();
    return c;
}

template <Storage kStorage, bool kCounts> struct AddQuickKernel {
    static constexpr int threads = kThreads;
    AddForward call;
    Cut cut;

    struct Lane {
        float x[kAhead][8], factor[8];
        Raw8 input[kAhead];
        int64_t m, d;  // the first row
        int rows;      // of kAhead
        bool opened;
    };

    DEMI_DEVICE void operator()() const {
        LaneCount input, source, scaling, result;
        const int64_t b = gpu::block_idx().x / cut.chunks, chunk = gpu::block_idx().x - b * cut.chunks;
        const int t = static_cast<int>(gpu::thread_idx().x), row = t / cut.width;
        const int group = static_cast<int>(gpu::block_idx().y) * cut.width + t - row * cut.width;
        Lane lane;
        lane.m = chunk * cut.side * kAhead + row;
        lane.d = int64_t{group} * 8;
        lane.opened = false;
        const bool mine = row < cut.side && group < cut.groups && lane.m < call.M;
        const int64_t rows = mine ? (call.M - lane.m + cut.side - 1) / cut.side : 0;
        lane.rows = rows < kAhead ? static_cast<int>(rows) : kAhead;
        fetch(lane.input, call.input, b, lane);
        const int64_t uses = call.list != nullptr ? scan(lane, b, input, source, scaling)
                                                  : look_up(lane, b, input, source, scaling);
        if (uses == 0 && kCounts && b == 0) find_factor(lane, scaling);  // scaling is counted once
        if (uses > 0 || !call.in_place || call.input.cast.round) {
            open(lane, input);
            DEMI_UNROLL
            for (int i = 0; i < kAhead; ++i) {
                if (i >= lane.rows) break;
                if (uses > 0) {
                    DEMI_UNROLL
                    for (int j = 0; j < 8; ++j) lane.x[i][j] = one_nan(lane.x[i][j]);
                    cross_eight(lane.x[i], call.result_cast, result);
                }
                store_eight(call.out, (b * call.M + lane.m + i * cut.side) * call.tiles.columns + lane.d,
                            kStorage, lane.x[i]);
            }
        }
        if constexpr (kCounts) {
            uint32_t* scratch = gpu::shared<uint32_t>();
            if (call.input.cast.count) add_counts(input, scratch, call.sums);
            if (call.source.cast.count) add_counts(source, scratch, call.sums + 1);
            if (call.scaling_cast.count) add_counts(scaling, scratch, call.sums + 2);
            if (call.result_cast.count) add_counts(result, scratch, call.sums + 3);
        }
    }

    // Casts that nobody counts, said so that the compiler leaves the counters out.
    static DEMI_DEVICE Cast told(Cast cast) {
        if (!kCounts) cast.count = false;
        return cast;
    }

    DEMI_DEVICE void fetch(Raw8 (&raw)[kAhead], const AddOperand& from, int64_t row, const Lane& lane) const {
        const int64_t at = row * from.row_step + lane.m * from.m_step + lane.d;
        DEMI_UNROLL
        for (int i = 0; i < kAhead; ++i)
            if (i < lane.rows) raw[i] = load_raw(from.data, at + i * cut.side * from.m_step, kStorage);
    }

    DEMI_DEVICE void open(Lane& lane, LaneCount& input) const {
        if (lane.opened) return;
        lane.opened = true;
        DEMI_UNROLL
        for (int i = 0; i < kAhead; ++i) {
            if (i >= lane.rows) break;
            unpack(lane.x[i], lane.input[i], kStorage);
            cross_eight(lane.x[i], told(call.input.cast), input);
        }
    }

    DEMI_DEVICE void find_factor(Lane& lane, LaneCount& scaling) const {
        DEMI_UNROLL
        for (int j = 0; j < 8; ++j) lane.factor[j] = call.alpha;
        if (call.scaling == nullptr || lane.rows == 0) return;
        float f[8];
        if (call.wide_scaling) {
            load_eight(f, call.scaling, lane.d, call.scaling_storage);
        } else {
            DEMI_UNROLL
            for (int j = 0; j < 8; ++j)
                f[j] = load_one(call.scaling, (lane.d + j) * call.scaling_step, call.scaling_storage);
        }
        Cast cast = told(call.scaling_cast);
        cast.count = cast.count && gpu::block_idx().x == 0 && lane.m == 0;
        cross_eight(f, cast, scaling);
        DEMI_UNROLL
        for (int j = 0; j < 8; ++j) lane.factor[j] = call.alpha * f[j];
    }

    DEMI_DEVICE void add(Lane& lane, int64_t place, bool first, LaneCount& input, LaneCount& source,
                         LaneCount& scaling) const {
        Raw8 raw[kAhead];
        fetch(raw, call.source, place, lane);
        if (first) {
            find_factor(lane, scaling);
            open(lane, input);
        }
        DEMI_UNROLL
        for (int i = 0; i < kAhead; ++i) {
            if (i >= lane.rows) break;
            float s[8];
            unpack(s, raw[i], kStorage);
            cross_eight(s, told(call.source.cast), source);
            DEMI_UNROLL
            for (int j = 0; j < 8; ++j) lane.x[i][j] = lane.factor[j] * s[j] + lane.x[i][j];
        }
    }

    // Every warp reads the list on its own: nobody waits for another.
    DEMI_DEVICE int64_t scan(Lane& lane, int64_t b, LaneCount& input, LaneCount& source,
                             LaneCount& scaling) const {
        constexpr int kReads = 4;
        int64_t uses = 0;
        for (int64_t begin = 0; begin < call.listed; begin += 32 * kReads) {
            uint32_t named[kReads];
            bool here[kReads];
            DEMI_UNROLL
            for (int k = 0; k < kReads; ++k) {
                const int64_t at = begin + 32 * k + gpu::lane();
                here[k] = at < call.listed && call.list[at] == b;
            }
            DEMI_UNROLL
            for (int k = 0; k < kReads; ++k) named[k] = gpu::ballot(here[k]);
            for (int k = 0; k < kReads; ++k)  // one copy of add(), and no array that is indexed as it goes
                for (uint32_t left = k < 2 ? (k == 0 ? named[0] : named[1]) : (k == 2 ? named[2] : named[3]);
                     left != 0; left &= left - 1)
                    add(lane, begin + 32 * k + gpu::lowest_bit(left), uses++ == 0, input, source, scaling);
        }
        return uses;
    }

    DEMI_DEVICE int64_t look_up(Lane& lane, int64_t b, LaneCount& input, LaneCount& source,
                                LaneCount& scaling) const {
        const int64_t begin = call.uses.find(b), end = call.uses.find(b + 1);
        for (int64_t i = begin; i < end; ++i)
            add(lane, call.uses.places[i], i == begin, input, source, scaling);
        return end - begin;
    }
};

template <Storage kStorage> void launch_as(const AddForward& call, gpu::Stream stream) {
    const Cut cut = cut_of(call);
    const gpu::Dim3 grid{static_cast<unsigned>(call.B * cut.chunks), static_cast<unsigned>(cut.pieces)};
    const gpu::Dim3 block{static_cast<unsigned>((cut.width * cut.side + 31) / 32 * 32)};
    if (call.sums != nullptr)
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
