#include "ops/scaled_index_add/scaled_index_add_kernels.h"

#include "ops/boundary/boundary_cuda.h"
#include "ops/index/rows_cuda.h"

namespace demi::DEMI_BACKEND {
namespace {

// How a thread takes elements: a unit of boundary_cuda.h.
template <class Unit> DEMI_DEVICE typename Unit::Raw load(const AddOperand& x, int64_t at, int64_t d) {
    return Unit::load(x.x.data, at + (Unit::count == 1 ? d * x.step : d), x.x.dtype);
}
template <class Unit>
DEMI_DEVICE void load_scaling(typename Unit::C (&x)[Unit::count], const AddOperand& scaling, int64_t d) {
    if constexpr (Unit::count == 8)
        if (scaling.step == 1 && rows_aligned(scaling.x.data, 8, scaling.x.dtype))
            return load_some(x, scaling.x.data, d, scaling.x.dtype);
    DEMI_UNROLL
    for (int j = 0; j < Unit::count; ++j)
        x[j] = load_as<typename Unit::C>(scaling.x.data, (d + j) * scaling.step, scaling.x.dtype);
}

// ---- forward: a block takes some rows m of one b, a thread one unit of several of them. alpha * scaling stays in its
// registers. All of its loads from input are on their way before it asks the list what is added to b.
constexpr int kThreads = 128;
// Uses in a list as short as this are found by the kernel itself, others in `sorted`.
constexpr int64_t kShortList = 128;

// How a matrix [M, groups of units] is cut into blocks.
struct Blocks {
    int width, side;  // a block: `width` groups of `side` rows next to each other, `ahead` times
    int64_t groups, chunks, pieces;  // blocks over M, over groups
};
Blocks blocks_of(const ScaledIndexAddForward& call, int count, int ahead) {
    Blocks c{};
    c.groups = call.D / count;
    c.pieces = (c.groups + kThreads - 1) / kThreads;
    c.width = static_cast<int>((c.groups + c.pieces - 1) / c.pieces);
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

template <class Unit> struct AddKernel {
    static constexpr int threads = kThreads, kAhead = Unit::ahead, kCount = Unit::count;
    typedef typename Unit::C C;
    typedef typename Unit::Raw Raw;
    ScaledIndexAddForward call;
    SortedRows sorted;
    Blocks cut;
    int64_t first;  // of the pairs of b and a chunk

    DEMI_DEVICE void operator()() const {
        LaneCount input, source, scaling, result;
        const int64_t pair = first + gpu::block_idx().x, b = pair / cut.chunks, chunk = pair - b * cut.chunks;
        const int64_t piece = int64_t{gpu::block_idx().z} * gpu::grid_dim().y + gpu::block_idx().y;
        const int t = static_cast<int>(gpu::thread_idx().x), row = t / cut.width;
        const int64_t group = piece * cut.width + t - row * cut.width;
        const int64_t m = chunk * cut.side * kAhead + row, d = group * kCount;
        const bool mine = row < cut.side && group < cut.groups && m < call.M;
        const int64_t left = mine ? (call.M - m + cut.side - 1) / cut.side : 0;
        const int rows = left < kAhead ? static_cast<int>(left) : kAhead;

        Raw own[kAhead], other[kAhead];
        fetch(own, call.input, b, m, d, rows);
        Uses uses(call, sorted, b);
        int64_t place = uses.next(call, sorted);
        const bool named = place >= 0;
        C factor[kCount], x[kAhead][kCount], s[kCount];
        if (named) fetch(other, call.source, place, m, d, rows);
        // scaling is counted once
        const bool first_row = pair == 0 && row == 0;
        if (rows > 0 && (named || (Unit::casts && first_row))) find_factor(factor, d, first_row, scaling);
        if (named || !call.in_place || call.input.cast.round) {
            DEMI_UNROLL
            for (int i = 0; i < kAhead; ++i) {
                if (i >= rows) break;
                Unit::unpack(x[i], own[i], call.input.x.dtype);
                Unit::cross(x[i], call.input.cast, input);
            }
            while (place >= 0) {
                DEMI_UNROLL
                for (int i = 0; i < kAhead; ++i) {
                    if (i >= rows) break;
                    Unit::unpack(s, other[i], call.source.x.dtype);
                    Unit::cross(s, call.source.cast, source);
                    DEMI_UNROLL
                    for (int j = 0; j < kCount; ++j) x[i][j] = factor[j] * s[j] + x[i][j];
                }
                place = uses.next(call, sorted);
                if (place >= 0) fetch(other, call.source, place, m, d, rows);
            }
            DEMI_UNROLL
            for (int i = 0; i < kAhead; ++i) {
                if (i >= rows) break;
                if (named) {
                    DEMI_UNROLL
                    for (int j = 0; j < kCount; ++j) x[i][j] = one_nan(x[i][j]);
                    Unit::cross(x[i], call.out.cast, result);
                }
                Unit::store(call.out.y.data, (b * call.M + m + i * cut.side) * call.D + d, call.out.y.dtype,
                            x[i]);
            }
        }
        if constexpr (Unit::casts) {
            uint32_t* scratch = gpu::shared<uint32_t>();
            add_counts(input, scratch, call.input.lost);
            add_counts(source, scratch, call.source.lost);
            add_counts(scaling, scratch, call.scaling.lost);
            add_counts(result, scratch, call.out.lost);
        }
    }

    DEMI_DEVICE void fetch(Raw (&raw)[kAhead], const AddOperand& from, int64_t row, int64_t m, int64_t d,
                           int rows) const {
        const int64_t at = row * from.row_step + m * from.m_step;
        DEMI_UNROLL
        for (int i = 0; i < kAhead; ++i)
            if (i < rows) raw[i] = load<Unit>(from, at + i * cut.side * from.m_step, d);
    }

    DEMI_DEVICE void find_factor(C (&factor)[kCount], int64_t d, bool count, LaneCount& lost) const {
        DEMI_UNROLL
        for (int j = 0; j < kCount; ++j) factor[j] = call.alpha;
        if (call.scaling.x.data == nullptr) return;
        C f[kCount];
        load_scaling<Unit>(f, call.scaling, d);
        Cast cast = call.scaling.cast;
        cast.count = cast.count && count;
        Unit::cross(f, cast, lost);
        DEMI_UNROLL
        for (int j = 0; j < kCount; ++j) factor[j] = call.alpha * f[j];
    }
};

// ---- backward: a block takes one part of the rows and 64 columns. All its threads load and multiply; 64 of them then add
// the products in the order of the rows, as the CPU adds them, while the next rows are on their way.
constexpr int kColumns = 64;

// How the rows (b, m) are cut: see rows_of_part. gridDim.y counts the parts.
struct RowParts {
    int64_t rows, parts, all;  // of a part; how many; rows of all
};

template <class Unit> struct AddBackwardKernel {
    static constexpr int kCount = Unit::count, kGroups = kColumns / kCount, threads = 256;
    static constexpr int kRows = threads / kGroups;
    typedef typename Unit::C C;
    typedef typename Unit::Raw Raw;
    static constexpr size_t kShared = 2 * kRows * kColumns * sizeof(C) + kCountScratch;
    ScaledIndexAddBackward call;
    RowParts cut;
    C* partial;  // [parts, D]; null: no sums

    DEMI_DEVICE void operator()() const {
        LaneCount entered, left;
        const int t = static_cast<int>(gpu::thread_idx().x), r = t / kGroups;
        const int64_t d0 = static_cast<int64_t>(gpu::block_idx().x) * kColumns, d = d0 + t % kGroups * kCount;
        for (int64_t part = gpu::block_idx().y; part < cut.parts; part += gpu::grid_dim().y) {
            const int64_t begin = part * cut.rows, end = begin + cut.rows;
            const C sum = run(begin, end < cut.all ? end : cut.all, r, d, entered, left);
            if (partial != nullptr && t < kColumns && d0 + t < call.D)
                partial[part * call.D + d0 + t] = one_nan(sum);
            gpu::sync_threads();
        }
        if constexpr (Unit::casts) {
            uint32_t* scratch = reinterpret_cast<uint32_t*>(gpu::shared<C>() + 2 * kRows * kColumns);
            add_counts(entered, scratch, call.dy.lost);
            add_counts(left, scratch, call.grad_source.lost);
        }
    }

    static DEMI_DEVICE Cast quiet(Cast cast) {
        cast.count = false;
        return cast;
    }

    DEMI_DEVICE void fetch(Raw& dy, Raw& source, int64_t row, int64_t d) const {
        const int64_t b = row / call.M, m = row - b * call.M;
        const auto get = [&](const AddOperand& x, int64_t from) {
            return load<Unit>(x, from * x.row_step + m * x.m_step, d);
        };
        dy = get(call.dy, call.index[b]);
        if (partial != nullptr) source = get(call.source, b);
    }

    // The sum of column t of the block, for its first threads.
    DEMI_DEVICE C run(int64_t begin, int64_t end, int r, int64_t d, LaneCount& entered,
                      LaneCount& left) const {
        C* products = gpu::shared<C>();  // kRows x kColumns, twice
        const int t = static_cast<int>(gpu::thread_idx().x);
        const bool inside = d < call.D;
        LaneCount none;
        C factor[kCount];
        if (inside && call.scaling.x.data != nullptr) {
            load_scaling<Unit>(factor, call.scaling, d);
            Unit::cross(factor, quiet(call.scaling.cast), none);
        }
        Raw dy, source;
        if (inside && begin + r < end) fetch(dy, source, begin + r, d);
        C sum = 0;
        for (int64_t first = begin; first < end; first += kRows) {
            const int64_t row = first + r;
            const Raw this_dy = dy, this_source = source;
            if (inside && row + kRows < end) fetch(dy, source, row + kRows, d);
            if (inside && row < end) {
                C g[kCount], x[kCount];
                Unit::unpack(g, this_dy, call.dy.x.dtype);
                Unit::cross(g, call.dy.cast, entered);
                DEMI_UNROLL
                for (int j = 0; j < kCount; ++j) g[j] = call.alpha * g[j];
                if (partial != nullptr) {
                    Unit::unpack(x, this_source, call.source.x.dtype);
                    Unit::cross(x, quiet(call.source.cast), none);
                    DEMI_UNROLL
                    for (int j = 0; j < kCount; ++j) x[j] = g[j] * x[j];
                    Unit::stage(products + r * kColumns + t % kGroups * kCount, x);
                }
                if (call.grad_source.y.data != nullptr) {
                    if (call.scaling.x.data != nullptr) {
                        DEMI_UNROLL
                        for (int j = 0; j < kCount; ++j) g[j] *= factor[j];
                    }
                    Unit::cross(g, call.grad_source.cast, left);
                    Unit::store(call.grad_source.y.data, row * call.D + d, call.grad_source.y.dtype, g);
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
            products = products == gpu::shared<C>() ? products + kRows * kColumns : gpu::shared<C>();
        }
        return sum;
    }
};

template <class C> struct AddPartialsKernel {
    static constexpr int threads = 64;  // few parts: small blocks keep all processors busy
    static constexpr int kAhead = 16;   // loads on their way
    const C* partial;
    C* sums;
    int64_t parts, columns;

    DEMI_DEVICE void operator()() const {
        for (int64_t d = gpu::global_index(); d < columns; d += gpu::global_size()) {
            C sum = 0;
            for (int64_t first = 0; first < parts; first += kAhead) {
                C x[kAhead];
                DEMI_UNROLL
                for (int i = 0; i < kAhead; ++i)
                    x[i] = first + i < parts ? partial[(first + i) * columns + d] : 0;
                DEMI_UNROLL
                for (int i = 0; i < kAhead; ++i)
                    if (first + i < parts) sum = one_nan(x[i] + sum);
            }
            sums[d] = sum;
        }
    }
};

// ---- which unit: what all operands can be read, or written, in
bool in_eights(const AddOperand& x, int64_t columns) {
    return x.x.data == nullptr ||
           (columns % 8 == 0 && x.step == 1 && rows_aligned(x.x.data, x.row_step, x.x.dtype) &&
            rows_aligned(x.x.data, x.m_step, x.x.dtype));
}
bool in_eights(const AddResult& y, int64_t columns) {
    return y.y.data == nullptr || (columns % 8 == 0 && rows_aligned(y.y.data, columns, y.y.dtype));
}
bool casts(const Cast& c) { return c.round || c.saturate || c.scale != 1 || c.undo != 1; }

// launch(unit). dtype: of all, but where mixed. casts: something crosses the boundary.
template <class F> void dispatch(DType dtype, bool eights, bool mixed, bool casts, const F& launch) {
    if (dtype == DType::f64) return launch(Single<double>());
    if (!eights) return launch(Single<float>());
    if (mixed) return launch(Eights<DType::f32, true, true>());
    if (dtype == DType::f16)
        return casts ? launch(Eights<DType::f16, true>()) : launch(Eights<DType::f16, false>());
    if (dtype == DType::bf16)
        return casts ? launch(Eights<DType::bf16, true>()) : launch(Eights<DType::bf16, false>());
    casts ? launch(Eights<DType::f32, true>()) : launch(Eights<DType::f32, false>());
}

void forward(const ScaledIndexAddForward& c, Queue queue) {
    const bool sorts = c.uses > kShortList;
    const Scratch memory(sorts ? static_cast<size_t>(sorted_rows_words(c.uses, c.B)) * sizeof(int64_t) : 0,
                         queue);
    SortedRows uses;
    if (sorts) uses = sort_rows(c.index, c.uses, c.B, memory.as<int64_t>(), queue);
    const DType dtype = c.out.y.dtype;
    const bool eights = in_eights(c.input, c.D) && in_eights(c.source, c.D) && in_eights(c.out, c.D);
    const bool mixed = c.input.x.dtype != dtype || c.source.x.dtype != dtype;
    const bool crosses =
        casts(c.input.cast) || casts(c.source.cast) || casts(c.scaling.cast) || casts(c.out.cast);
    dispatch(dtype, eights, mixed, crosses, [&](auto unit) {
        typedef decltype(unit) Unit;
        const Blocks cut = blocks_of(c, Unit::count, Unit::ahead);
        const gpu::Dim3 block{static_cast<unsigned>((cut.width * cut.side + 31) / 32 * 32)};
        const int64_t pairs = c.B * cut.chunks, most = 1 << 30;  // of a launch
        gpu::Dim3 grid = gpu::blocks_for(cut.pieces, 1, 65535);
        grid = {0, grid.x, static_cast<unsigned>((cut.pieces + grid.x - 1) / grid.x)};
        for (int64_t first = 0; first < pairs; first += most) {
            grid.x = gpu::blocks_for(pairs - first, 1, most).x;
            gpu::launch(AddKernel<Unit>{c, uses, cut, first}, grid, block, Unit::casts ? kCountScratch : 0,
                        queue.stream);
        }
    });
}

void backward(const ScaledIndexAddBackward& c, Queue queue) {
    const DType dtype = c.dy.x.dtype;
    const bool eights = in_eights(c.dy, c.D) && in_eights(c.grad_source, c.D) && in_eights(c.source, c.D);
    const bool sums = c.sums.data != nullptr,
               mixed = (c.grad_source.y.data != nullptr && c.grad_source.y.dtype != dtype) ||
                       (sums && c.source.x.dtype != dtype);
    const bool crosses =
        casts(c.dy.cast) || casts(c.source.cast) || casts(c.scaling.cast) || casts(c.grad_source.cast);
    dispatch(dtype, eights, mixed, crosses, [&](auto unit) {
        typedef AddBackwardKernel<decltype(unit)> Kernel;
        typedef typename Kernel::C C;
        const int64_t rows = rows_of_part(c), all = c.uses * c.M;
        const RowParts cut{rows, (all + rows - 1) / rows, all};
        const Scratch memory(sums ? static_cast<size_t>(cut.parts * c.D) * sizeof(C) : 0, queue);
        C* partial = sums ? memory.as<C>() : nullptr;
        const gpu::Dim3 grid{static_cast<unsigned>((c.D + kColumns - 1) / kColumns),
                             static_cast<unsigned>(cut.parts < 65535 ? cut.parts : 65535)};
        gpu::launch(Kernel{c, cut, partial}, grid, {Kernel::threads}, Kernel::kShared, queue.stream);
        if (!sums) return;
        typedef AddPartialsKernel<C> Add;
        gpu::launch(Add{partial, static_cast<C*>(c.sums.data), cut.parts, c.D},
                    gpu::blocks_for(c.D, Add::threads, 1 << 30), {Add::threads}, 0, queue.stream);
    });
}

}  // namespace

const ScaledIndexAddKernels scaled_index_add_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
