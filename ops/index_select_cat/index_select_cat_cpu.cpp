#include <algorithm>
#include <cstring>

#include "ops/boundary/boundary_call.h"
#include "ops/index/row_index.h"
#include "ops/index_select_cat/index_select_cat_kernels.h"
#include "runtime/parallel.h"

namespace demi {
namespace {

constexpr int64_t kTile = 65536;            // elements
constexpr int64_t kBlock = 1024;            // elements on the way through the first-level cache
constexpr int64_t kStreamBytes = 16 << 20;  // larger outputs go past the caches

// Bytes of elements of `size`, `step` apart, one after the other.
void copy_elements(char* dst, const char* src, int64_t count, int64_t step, int64_t size) {
    if (step == 1) {
        std::memcpy(dst, src, static_cast<size_t>(count * size));
        return;
    }
    for (int64_t i = 0; i < count; ++i)
        std::memcpy(dst + i * size, src + i * step * size, static_cast<size_t>(size));
}

bool keeps_bits(const Cast& cast, DType from, DType to) {
    return from == to && !cast.round && cast.scale == 1 && cast.undo == 1;
}

// dst (contiguous, dtype `to`) = cast(src), element by element.
struct Mover {
    DType from, to;
    Cast cast;
    bool stream;

    void operator()(char* dst, const char* src, int64_t count, int64_t step, CastCounters* counters) const {
        const int64_t size = static_cast<int64_t>(size_of(from));
        const bool floats = to == DType::f32;
        if (keeps_bits(cast, from, to) && !(floats && stream && step == 1))
            return copy_elements(dst, src, count, step, size);
        if (floats)
            return boundary_isa().load(reinterpret_cast<float*>(dst), src, storage_of(from), count, step,
                                       cast, counters, stream);
        float block[kBlock];
        for (int64_t i = 0; i < count; i += kBlock) {
            const int64_t n = std::min(kBlock, count - i);
            boundary_isa().load(block, src + i * step * size, storage_of(from), n, step, cast, counters,
                                false);
            boundary_isa().store(dst + i * 2, storage_of(to), block, n, Cast{}, nullptr, stream);
        }
    }
};

const char* at(const Tensor& t, const void* first, int64_t offset) {
    return static_cast<const char*>(first) + offset * static_cast<int64_t>(size_of(t.dtype()));
}

void forward(const std::vector<Tensor>& sources, const std::vector<Tensor>& indices,
             const std::vector<Cast>& casts, Tensor& y, CastCounters& counters) {
    struct Part {
        const void* first;
        const int64_t* rows;
        int64_t row_step, step, columns;
        Mover move;
    };
    std::vector<Part> parts;
    std::vector<int64_t> begins{0};
    const bool stream = y.numel() * static_cast<int64_t>(size_of(y.dtype())) >= kStreamBytes;
    for (size_t i = 0; i < sources.size(); ++i) {
        const Tensor& s = sources[i];
        parts.push_back({s.raw(),
                         indices[i].data<int64_t>(),
                         s.strides()[0],
                         s.strides()[1],
                         s.size(1),
                         {s.dtype(), y.dtype(), casts[i], stream}});
        begins.push_back(begins.back() + indices[i].numel() * s.size(1));
    }
    char* out = static_cast<char*>(y.mutable_raw());
    const int64_t size = static_cast<int64_t>(size_of(y.dtype()));
    const int64_t total = y.numel(), tiles = ceil_div(total, kTile);
    std::vector<CastCounters> counted(static_cast<size_t>(tiles));
    parallel_for(tiles, [&](int64_t tile) {
        const int64_t end = std::min(total, (tile + 1) * kTile);
        for (int64_t i = tile * kTile; i < end;) {
            const size_t p =
                static_cast<size_t>(std::upper_bound(begins.begin(), begins.end(), i) - begins.begin()) - 1;
            const Part& part = parts[p];
            const int64_t row = (i - begins[p]) / part.columns, column = (i - begins[p]) % part.columns;
            const int64_t n = std::min(part.columns - column, end - i);
            const int64_t from = part.rows[row] * part.row_step + column * part.step;
            part.move(out + i * size, at(sources[p], part.first, from), n, part.step,
                      &counted[static_cast<size_t>(tile)]);
            i += n;
        }
    });
    for (const CastCounters& c : counted) merge(counters, c);
}

// A row that several rows of dy meet in: summed in the order of the list.
void sum_rows(char* dst, DType to, const Tensor& dy, const void* first, int64_t begin, const RowUses& uses,
              int64_t row, int64_t columns, int64_t column, int64_t count, const Cast& entry,
              const Cast& exit, CastCounters* counters) {
    const int64_t step = dy.strides()[0];
    const auto from = [&](int64_t use, int64_t i) {
        return at(dy, first, (begin + uses.place(use) * columns + column + i) * step);
    };
    if (to == DType::f64) {
        double* out = reinterpret_cast<double*>(dst);
        for (int64_t i = 0; i < count; ++i) {
            double sum = 0;
            for (int64_t u = uses.begin(row); u < uses.end(row); ++u) {
                const double x = *reinterpret_cast<const double*>(from(u, i));
                sum = u == uses.begin(row) ? x : sum + x;
            }
            out[i] = sum;
        }
        return;
    }
    float sum[kBlock], more[kBlock];
    const BoundaryIsa& isa = boundary_isa();
    for (int64_t i = 0; i < count; i += kBlock) {
        const int64_t n = std::min(kBlock, count - i);
        for (int64_t u = uses.begin(row); u < uses.end(row); ++u) {
            float* block = u == uses.begin(row) ? sum : more;
            isa.load(block, from(u, i), storage_of(dy.dtype()), n, step, entry, counters, false);
            if (block == more)
                for (int64_t j = 0; j < n; ++j) sum[j] += more[j];
        }
        isa.store(dst + i * static_cast<int64_t>(size_of(to)), storage_of(to), sum, n, exit, counters + 1,
                  false);
    }
}

void backward_one(const Tensor& dy, int64_t begin, const Tensor& index, Tensor& grad, const Cast& entry,
                  const Cast& exit, CastCounters& entered, CastCounters& left) {
    const int64_t rows = grad.size(0), columns = grad.size(1), step = dy.strides()[0];
    if (rows * columns == 0) return;
    const RowUses uses(index.data<int64_t>(), index.numel(), rows);
    const int64_t chunks = ceil_div(columns, kTile), bundle = std::max<int64_t>(1, kTile / columns);
    const int64_t tiles = ceil_div(rows, bundle) * chunks;
    const int64_t size = static_cast<int64_t>(size_of(grad.dtype()));
    const bool stream = grad.numel() * size >= kStreamBytes;
    Cast alone = entry;
    alone.undo = exit.undo;
    const Mover move{dy.dtype(), grad.dtype(), alone, stream};
    char* out = static_cast<char*>(grad.mutable_raw());
    const void* first = dy.raw();
    std::vector<CastCounters> counted(static_cast<size_t>(2 * tiles));
    parallel_for(tiles, [&](int64_t tile) {
        CastCounters* counters = &counted[static_cast<size_t>(2 * tile)];
        const int64_t column = tile % chunks * kTile, count = std::min(kTile, columns - column);
        const int64_t row0 = tile / chunks * bundle;
        for (int64_t row = row0; row < std::min(rows, row0 + bundle); ++row) {
            char* dst = out + (row * columns + column) * size;
            const int64_t named = uses.end(row) - uses.begin(row);
            if (named == 0) {
                std::memset(dst, 0, static_cast<size_t>(count * size));
            } else if (named == 1) {
                const int64_t from = begin + uses.place(uses.begin(row)) * columns + column;
                move(dst, at(dy, first, from * step), count, step, counters);
            } else {
                sum_rows(dst, grad.dtype(), dy, first, begin, uses, row, columns, column, count, entry, exit,
                         counters);
            }
        }
    });
    for (size_t i = 0; i < counted.size(); i += 2) {
        merge(entered, counted[i]);
        merge(left, counted[i + 1]);
    }
}

void backward(const Tensor& dy, const std::vector<int64_t>& begins, const std::vector<Tensor>& indices,
              std::vector<Tensor>& grads, const Cast& entry, const Cast& exit, CastCounters& entered,
              CastCounters& left) {
    for (size_t i = 0; i < grads.size(); ++i)
        if (grads[i].defined()) backward_one(dy, begins[i], indices[i], grads[i], entry, exit, entered, left);
}

}  // namespace

const IndexSelectCatKernels index_select_cat_cpu{forward, backward};

}  // namespace demi
