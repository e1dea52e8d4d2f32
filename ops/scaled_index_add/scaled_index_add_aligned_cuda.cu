// scaled_index_add where rows are aligned: what training calls.
#include "ops/scaled_index_add/scaled_index_add_cuda.h"

namespace demi::gpu_kernels {
namespace {

// What holds for a whole call: the dtype of all but scaling, or (kMixed) none; and whether anything crosses the fp16 boundary.
template <DType kType, bool kCasts, bool kMixed = false> struct Kind {
    static constexpr bool casts = kCasts;
    static constexpr int ahead = kType == DType::f32 ? 2 : 4;  // rows of a thread, forward: 64 bytes
    static DEMI_DEVICE DType type(DType own) { return kMixed ? own : kType; }
    static DEMI_DEVICE void pass(float (&x)[8], const Cast& cast, LaneCount& lost) {
        if constexpr (kCasts) cross_eight(x, cast, lost);
    }
};

DEMI_DEVICE void load_scaling(float (&x)[8], const AddOperand& scaling, int64_t d) {
    if (scaling.step == 1 && rows_aligned(scaling.x.data, 8, scaling.x.dtype))
        return load_eight(x, scaling.x.data, d, scaling.x.dtype);
    DEMI_UNROLL
    for (int j = 0; j < 8; ++j) x[j] = load_one(scaling.x.data, (d + j) * scaling.step, scaling.x.dtype);
}

// ---- forward: a block takes some rows m of one b, a thread eight columns of several of them. alpha * scaling stays in its
// registers. All of its loads from input are on their way before it asks the list what is added to b.
constexpr int kThreads = 128;

// How a matrix [M, groups of eight columns] is cut into blocks.
struct Blocks {
    int groups, width, side;  // a block: `width` groups of `side` rows next to each other, `ahead` times
    int64_t chunks, pieces;   // blocks over M, over groups
};
Blocks blocks_of(const ScaledIndexAddForward& call, int ahead) {
    Blocks c{};
    const int64_t groups = call.D / 8;
    c.groups = static_cast<int>(groups);
    c.pieces = (groups + kThreads - 1) / kThreads;
    c.width = static_cast<int>((groups + c.pieces - 1) / c.pieces);
    const int64_t side = kThreads / c.width;
    c.side = static_cast<int>(side < call.M ? side : call.M);
    const int64_t rows = int64_t{c.side} * ahead;
    c.chunks = (call.M + rows - 1) / rows;
    return c;
}

// Which rows of source are added to row b, in the list's order. A warp reads a short list on its own: no barrier.
class Uses {
  public:
    DEMI_DEVICE Uses(const ScaledIndexAddForward& call, const SortedRows& sorted, int64_t b) {
        if (call.uses > kShortList) {
            at_ = sorted.find(b);
            end_ = sorted.find(b + 1);
            return;
        }
        bool here[4];
        DEMI_UNROLL
        for (int k = 0; k < 4; ++k) {
            const int64_t i = 32 * k + gpu::lane();
            here[k] = i < call.uses && call.index[i] == b;
        }
        DEMI_UNROLL
        for (int k = 0; k < 4; ++k) named_[k] = gpu::ballot(here[k]);
    }
    // -1: no further use.
    DEMI_DEVICE int64_t next(const ScaledIndexAddForward& call, const SortedRows& sorted) {
        if (call.uses > kShortList) return at_ < end_ ? sorted.places[at_++] : -1;
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

template <class Kind> struct AddAlignedKernel {
    static constexpr int threads = kThreads, kAhead = Kind::ahead;
    ScaledIndexAddForward call;
    SortedRows sorted;
    Blocks cut;

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
        Uses uses(call, sorted, b);
        int64_t place = uses.next(call, sorted);
        const bool named = place >= 0;
        float factor[8], x[kAhead][8], s[8];
        if (named) fetch(other, call.source, place, m, d, rows);
        // scaling is counted once
        const bool first_row = gpu::block_idx().x == 0 && row == 0;
        if (rows > 0 && (named || (Kind::casts && first_row))) find_factor(factor, d, first_row, scaling);
        if (named || !call.in_place || call.input.cast.round) {
            DEMI_UNROLL
            for (int i = 0; i < kAhead; ++i) {
                if (i >= rows) break;
                unpack(x[i], own[i], Kind::type(call.input.x.dtype));
                Kind::pass(x[i], call.input.cast, input);
            }
            while (place >= 0) {
                DEMI_UNROLL
                for (int i = 0; i < kAhead; ++i) {
                    if (i >= rows) break;
                    unpack(s, other[i], Kind::type(call.source.x.dtype));
                    Kind::pass(s, call.source.cast, source);
                    DEMI_UNROLL
                    for (int j = 0; j < 8; ++j) x[i][j] = factor[j] * s[j] + x[i][j];
                }
                place = uses.next(call, sorted);
                if (place >= 0) fetch(other, call.source, place, m, d, rows);
            }
            DEMI_UNROLL
            for (int i = 0; i < kAhead; ++i) {
                if (i >= rows) break;
                if (named) {
                    DEMI_UNROLL
                    for (int j = 0; j < 8; ++j) x[i][j] = one_nan(x[i][j]);
                    Kind::pass(x[i], call.out.cast, result);
                }
                store_eight(call.out.y.data, (b * call.M + m + i * cut.side) * call.D + d,
                            Kind::type(call.out.y.dtype), x[i]);
            }
        }
        if constexpr (Kind::casts) {
            uint32_t* scratch = gpu::shared<uint32_t>();
            if (call.input.lost != nullptr) add_counts(input, scratch, call.input.lost);
            if (call.source.lost != nullptr) add_counts(source, scratch, call.source.lost);
            if (call.scaling.lost != nullptr) add_counts(scaling, scratch, call.scaling.lost);
            if (call.out.lost != nullptr) add_counts(result, scratch, call.out.lost);
        }
    }

    DEMI_DEVICE void fetch(Raw8 (&raw)[kAhead], const AddOperand& from, int64_t row, int64_t m, int64_t d,
                           int rows) const {
        const int64_t at = row * from.row_step + m * from.m_step + d;
        DEMI_UNROLL
        for (int i = 0; i < kAhead; ++i)
            if (i < rows)
                raw[i] = load_raw(from.x.data, at + i * cut.side * from.m_step, Kind::type(from.x.dtype));
    }

    DEMI_DEVICE void find_factor(float (&factor)[8], int64_t d, bool count, LaneCount& lost) const {
        DEMI_UNROLL
        for (int j = 0; j < 8; ++j) factor[j] = call.alpha;
        if (call.scaling.x.data == nullptr) return;
        float f[8];
        load_scaling(f, call.scaling, d);
        Cast cast = call.scaling.cast;
        cast.count = cast.count && count;
        Kind::pass(f, cast, lost);
        DEMI_UNROLL
        for (int j = 0; j < 8; ++j) factor[j] = call.alpha * f[j];
    }
};

// ---- backward: a block takes one part of the rows and 64 columns. All its threads load and multiply; 64 of them then add
// the products in the order of the rows, as the CPU adds them, while the next rows are on their way.
constexpr int kGroups = 8, kRows = 32, kColumns = 8 * kGroups;

template <class Kind> struct AddBackwardAlignedKernel {
    static constexpr int threads = kGroups * kRows;
    ScaledIndexAddBackward call;
    RowParts cut;
    float* partial;  // [parts, D]; null: no sums

    DEMI_DEVICE void operator()() const {
        LaneCount entered, left;
        const int t = static_cast<int>(gpu::thread_idx().x), r = t / kGroups;
        const int64_t d0 = static_cast<int64_t>(gpu::block_idx().x) * kColumns, d = d0 + t % kGroups * 8;
        for (int64_t part = gpu::block_idx().y; part < cut.parts; part += gpu::grid_dim().y) {
            const float sum = run(part * cut.rows, cut.end(part), r, d, entered, left);
            if (partial != nullptr && t < kColumns && d0 + t < call.D)
                partial[part * call.D + d0 + t] = one_nan(sum);
            gpu::sync_threads();
        }
        if constexpr (Kind::casts) {
            uint32_t* scratch = gpu::shared<uint32_t>() + 2 * kRows * kColumns;
            if (call.dy.lost != nullptr) add_counts(entered, scratch, call.dy.lost);
            if (call.grad_source.lost != nullptr) add_counts(left, scratch, call.grad_source.lost);
        }
    }

    static DEMI_DEVICE Cast quiet(Cast cast) {
        cast.count = false;
        return cast;
    }

    DEMI_DEVICE void fetch(Raw8& dy, Raw8& source, int64_t row, int64_t d) const {
        const int64_t b = row / call.M, m = row - b * call.M;
        const auto load = [&](const AddOperand& x, int64_t from) {
            return load_raw(x.x.data, from * x.row_step + m * x.m_step + d, Kind::type(x.x.dtype));
        };
        dy = load(call.dy, call.index[b]);
        if (partial != nullptr) source = load(call.source, b);
    }

    // The sum of column t of the block, for its first threads.
    DEMI_DEVICE float run(int64_t begin, int64_t end, int r, int64_t d, LaneCount& entered,
                          LaneCount& left) const {
        float* products = gpu::shared<float>();  // kRows x kColumns, twice
        const int t = static_cast<int>(gpu::thread_idx().x);
        const bool inside = d < call.D;
        LaneCount none;
        float factor[8];
        if (inside && call.scaling.x.data != nullptr) {
            load_scaling(factor, call.scaling, d);
            Kind::pass(factor, quiet(call.scaling.cast), none);
        }
        Raw8 dy, source;
        if (inside && begin + r < end) fetch(dy, source, begin + r, d);
        float sum = 0;
        for (int64_t first = begin; first < end; first += kRows) {
            const int64_t row = first + r;
            const Raw8 this_dy = dy, this_source = source;
            if (inside && row + kRows < end) fetch(dy, source, row + kRows, d);
            if (inside && row < end) {
                float g[8], x[8];
                unpack(g, this_dy, Kind::type(call.dy.x.dtype));
                Kind::pass(g, call.dy.cast, entered);
                DEMI_UNROLL
                for (int j = 0; j < 8; ++j) g[j] = call.alpha * g[j];
                if (partial != nullptr) {
                    unpack(x, this_source, Kind::type(call.source.x.dtype));
                    Kind::pass(x, quiet(call.source.cast), none);
                    DEMI_UNROLL
                    for (int j = 0; j < 8; ++j) x[j] = g[j] * x[j];
                    store_eight(products, int64_t{r} * kColumns + t % kGroups * 8, DType::f32, x);
                }
                if (call.grad_source.y.data != nullptr) {
                    if (call.scaling.x.data != nullptr) {
                        DEMI_UNROLL
                        for (int j = 0; j < 8; ++j) g[j] *= factor[j];
                    }
                    Kind::pass(g, call.grad_source.cast, left);
                    store_eight(call.grad_source.y.data, row * call.D + d,
                                Kind::type(call.grad_source.y.dtype), g);
                }
            }
            if (partial == nullptr) continue;
            gpu::sync_threads();  // these products are there, and the other half is read
            if (t < kColumns) {
                const int n = end - first < kRows ? static_cast<int>(end - first) : kRows;
                DEMI_UNROLL
                for (int i = 0; i < kRows; ++i)
                    if (i < n) sum = products[i * kColumns + t] + sum;
            }
            products = products == gpu::shared<float>() ? products + kRows * kColumns : gpu::shared<float>();
        }
        return sum;
    }
};

bool casts(const Cast& c) { return c.round || c.saturate || c.scale != 1 || c.undo != 1; }

// Whether it can be read, or written, eight columns at a time.
bool in_eights(const AddOperand& x, int64_t columns) {
    return x.x.data == nullptr ||
           (x.x.dtype != DType::f64 && columns % 8 == 0 && x.step == 1 &&
            rows_aligned(x.x.data, x.row_step, x.x.dtype) && rows_aligned(x.x.data, x.m_step, x.x.dtype));
}
bool in_eights(const AddResult& y, int64_t columns) {
    return y.y.data == nullptr ||
           (y.y.dtype != DType::f64 && columns % 8 == 0 && rows_aligned(y.y.data, columns, y.y.dtype));
}

// launch(Kind) for operands of such dtypes. casts: something crosses the boundary.
template <class F> void dispatch(DType dtype, bool mixed, bool casts, const F& launch) {
    if (mixed) return launch(Kind<DType::f32, true, true>());
    if (dtype == DType::f16)
        return casts ? launch(Kind<DType::f16, true>()) : launch(Kind<DType::f16, false>());
    if (dtype == DType::bf16)
        return casts ? launch(Kind<DType::bf16, true>()) : launch(Kind<DType::bf16, false>());
    casts ? launch(Kind<DType::f32, true>()) : launch(Kind<DType::f32, false>());
}
template <class F> void dispatch(const ScaledIndexAddForward& c, const F& launch) {
    const DType dtype = c.out.y.dtype;
    dispatch(dtype, c.input.x.dtype != dtype || c.source.x.dtype != dtype,
             casts(c.input.cast) || casts(c.source.cast) || casts(c.scaling.cast) || casts(c.out.cast),
             launch);
}
template <class F> void dispatch(const ScaledIndexAddBackward& c, const F& launch) {
    const DType dtype = c.dy.x.dtype;
    dispatch(dtype,
             (c.grad_source.y.data != nullptr && c.grad_source.y.dtype != dtype) ||
                 (c.sums.data != nullptr && c.source.x.dtype != dtype),
             casts(c.dy.cast) || casts(c.source.cast) || casts(c.scaling.cast) || casts(c.grad_source.cast),
             launch);
}

}  // namespace

bool fits_aligned(const ScaledIndexAddForward& c) {
    bool fits = in_eights(c.input, c.D) && in_eights(c.source, c.D) && in_eights(c.out, c.D);
    if (fits)
        dispatch(c, [&](auto kind) {
            const Blocks cut = blocks_of(c, kind.ahead);
            fits = cut.pieces <= 65535 && c.B * cut.chunks <= int64_t{0x7fffffff};
        });
    return fits;
}

void add_aligned(const ScaledIndexAddForward& c, const SortedRows& uses, Queue queue) {
    dispatch(c, [&](auto kind) {
        typedef decltype(kind) K;
        const Blocks cut = blocks_of(c, K::ahead);
        const gpu::Dim3 grid{static_cast<unsigned>(c.B * cut.chunks), static_cast<unsigned>(cut.pieces)};
        const gpu::Dim3 block{static_cast<unsigned>((cut.width * cut.side + 31) / 32 * 32)};
        gpu::launch(AddAlignedKernel<K>{c, uses, cut}, grid, block, K::casts ? kCountScratch : 0,
                    queue.stream);
    });
}

bool fits_aligned(const ScaledIndexAddBackward& c) {
    return in_eights(c.dy, c.D) && in_eights(c.grad_source, c.D) && in_eights(c.source, c.D);
}

void add_backward_aligned(const ScaledIndexAddBackward& c, const RowParts& cut, float* partial, Queue queue) {
    const gpu::Dim3 grid{static_cast<unsigned>((c.D + kColumns - 1) / kColumns), cut.blocks()};
    const size_t shared = 2 * kRows * kColumns * sizeof(float) + kCountScratch;
    dispatch(c, [&](auto kind) {
        gpu::launch(AddBackwardAlignedKernel<decltype(kind)>{c, cut, partial}, grid, {kGroups * kRows},
                    shared, queue.stream);
    });
}

}  // namespace demi::gpu_kernels
