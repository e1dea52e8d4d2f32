#include <algorithm>
#include <cstring>

#include "ops/boundary/boundary_call.h"
#include "ops/index/row_index.h"
#include "ops/scaled_index_add/scaled_index_add_isa.h"
#include "ops/scaled_index_add/scaled_index_add_kernels.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace demi {

DEMI_ISA_TABLE(ScaledIndexAddIsa, scaled_index_add_isa)

namespace {

constexpr int64_t kTile = 32768;            // elements
constexpr int64_t kBlock = 1024;            // elements on the way through the first-level cache
constexpr int64_t kStreamBytes = 16 << 20;  // larger outputs go past the caches
constexpr int64_t kSumTiles = 64;           // at most so many partial sums of the gradient of scaling

// A tensor [rows, M, D] read row by row.
struct Rows {
    const char* first;
    Storage storage = Storage::f32;
    int64_t size, row_step, m_step, step;

    explicit Rows(const Tensor& t)
        : first(static_cast<const char*>(t.raw())), size(static_cast<int64_t>(size_of(t.dtype()))),
          row_step(t.strides()[0]), m_step(t.strides()[1]), step(t.strides()[2]) {
        if (t.dtype() != DType::f64) storage = storage_of(t.dtype());
    }
    const char* at(int64_t row, int64_t m, int64_t d) const {
        return first + (row * row_step + m * m_step + d * step) * size;
    }
    void load(float* block, int64_t row, int64_t m, int64_t d, int64_t count, const Cast& cast,
              CastCounters* counters) const {
        boundary_isa().load(block, at(row, m, d), storage, count, step, cast, counters, false);
    }
    double value(int64_t row, int64_t m, int64_t d) const {
        return *reinterpret_cast<const double*>(at(row, m, d));
    }
};

// scaling as cast, in f32; empty without scaling.
std::vector<float> load_scaling(const Tensor& scaling, const Cast& cast, CastCounters* counters) {
    std::vector<float> values(scaling.defined() ? static_cast<size_t>(scaling.numel()) : 0);
    if (!values.empty())
        boundary_isa().load(values.data(), scaling.raw(), storage_of(scaling.dtype()), scaling.numel(),
                            scaling.strides()[0], cast, counters, false);
    return values;
}

struct Counted {
    CastCounters input, source, result;
};

// Rows [m, m + rows) of out[row], columns [d, d + count).
struct ForwardRows {
    const ScaledIndexAddForward& call;
    const RowUses& uses;
    const std::vector<float>& factor;
    Rows input, source;
    char* out;
    Storage to;
    int64_t size, M, D;
    bool stream, direct;

    char* place(int64_t row, int64_t m, int64_t d) const { return out + ((row * M + m) * D + d) * size; }

    void operator()(int64_t row, int64_t m, int64_t rows, int64_t d, int64_t count, Counted& counted) const {
        const int64_t named = uses.end(row) - uses.begin(row);
        if (named == 0 && call.in_place && !call.input_cast.round) return;
        if (named == 1 && direct) return add_directly(row, m, rows, d, count, counted);
        // rows one behind the other are one long row
        const bool joined = named == 0 && count == D && input.m_step == D * input.step;
        const int64_t pieces = joined ? 1 : rows, length = joined ? rows * D : count;
        for (int64_t i = m; i < m + pieces; ++i)
            if (named == 0)
                pass(row, i, d, length, counted);
            else
                add(row, i, d, count, counted);
    }

    void add_directly(int64_t row, int64_t m, int64_t rows, int64_t d, int64_t count,
                      Counted& counted) const {
        const auto counters = [](const Cast& cast, CastCounters& c) { return cast.count ? &c : nullptr; };
        scaled_index_add_isa().direct(
            {input.at(row, m, d), source.at(uses.place(uses.begin(row)), m, d), place(row, m, d),
             factor.data() + d, rows, count, input.m_step, source.m_step, D, to, call.input_cast.round,
             call.source_cast.round, call.result_cast.round, stream, counters(call.input_cast, counted.input),
             counters(call.source_cast, counted.source), counters(call.result_cast, counted.result)});
    }

    // A row that nothing is added to.
    void pass(int64_t row, int64_t m, int64_t d, int64_t count, Counted& counted) const {
        char* dst = place(row, m, d);
        if (!stream && !call.input_cast.round && to == input.storage && input.step == 1) {
            std::memcpy(dst, input.at(row, m, d), static_cast<size_t>(count * size));
            return;
        }
        if (!call.in_place && to == Storage::f32)
            return boundary_isa().load(reinterpret_cast<float*>(dst), input.at(row, m, d), input.storage,
                                       count, input.step, call.input_cast, &counted.input, stream);
        float x[kBlock];
        for (int64_t i = 0; i < count; i += kBlock) {
            const int64_t n = std::min(kBlock, count - i);
            input.load(x, row, m, d + i, n, call.input_cast, &counted.input);
            boundary_isa().store(dst + i * size, to, x, n, Cast{}, nullptr, stream);
        }
    }

    void add(int64_t row, int64_t m, int64_t d, int64_t count, Counted& counted) const {
        float x[kBlock], s[kBlock];
        for (int64_t i = 0; i < count; i += kBlock) {
            const int64_t n = std::min(kBlock, count - i);
            input.load(x, row, m, d + i, n, call.input_cast, &counted.input);
            for (int64_t use = uses.begin(row); use < uses.end(row); ++use) {
                source.load(s, uses.place(use), m, d + i, n, call.source_cast, &counted.source);
                scaled_index_add_isa().add(x, factor.data() + d + i, s, n);
            }
            boundary_isa().store(place(row, m, d + i), to, x, n, call.result_cast, &counted.result, stream);
        }
    }
};

void forward_f64(const ScaledIndexAddForward& call, const RowUses& uses, Tensor& out) {
    const Rows input(call.input), source(call.source);
    const int64_t M = call.input.size(1), D = call.input.size(2), scaled = call.scaling.defined();
    const double* scaling = scaled ? call.scaling.data<double>() : nullptr;
    const int64_t step = scaled ? call.scaling.strides()[0] : 0;
    const double alpha = static_cast<double>(call.alpha);
    double* y = out.mutable_data<double>();
    parallel_for(call.input.size(0), [&](int64_t row) {
        for (int64_t m = 0; m < M; ++m)
            for (int64_t d = 0; d < D; ++d) {
                double x = input.value(row, m, d);
                for (int64_t u = uses.begin(row); u < uses.end(row); ++u)
                    x = (scaled ? alpha * scaling[d * step] : alpha) * source.value(uses.place(u), m, d) + x;
                y[(row * M + m) * D + d] = x;
            }
    });
}

void forward(ScaledIndexAddForward& call, Tensor& out) {
    const int64_t B = call.input.size(0), M = call.input.size(1), D = call.input.size(2);
    if (call.input.numel() == 0) return;
    const RowUses uses(call.index.data<int64_t>(), call.index.numel(), B);
    if (call.input.dtype() == DType::f64) return forward_f64(call, uses, out);
    std::vector<float> factor = load_scaling(call.scaling, call.scaling_cast, &call.scaling_counters);
    if (call.scaling.defined())
        scaled_index_add_isa().scale(factor.data(), call.alpha, D);
    else
        factor.assign(static_cast<size_t>(D), call.alpha);

    const Rows input(call.input), source(call.source);
    const int64_t out_size = static_cast<int64_t>(size_of(out.dtype()));
    const bool stream = !call.in_place && out.numel() * out_size >= kStreamBytes;
    const Storage to = storage_of(out.dtype());
    const bool direct = !call.in_place && input.storage == source.storage && input.storage == to &&
                        input.step == 1 && source.step == 1 && !call.source_cast.saturate &&
                        !call.result_cast.saturate &&
                        (call.input_cast.round == call.result_cast.round || to == Storage::f16);
    char* first = static_cast<char*>(out.mutable_raw());
    const ForwardRows part{call, uses, factor, input, source, first, to, out_size, M, D, stream, direct};
    const int64_t chunks = ceil_div(D, kTile), bundle = std::max<int64_t>(1, kTile / D);
    const int64_t tiles = ceil_div(B * M, bundle) * chunks;
    std::vector<Counted> counted(static_cast<size_t>(tiles));
    parallel_for(tiles, [&](int64_t tile) {
        const int64_t d = tile % chunks * kTile, count = std::min(kTile, D - d), r0 = tile / chunks * bundle;
        for (int64_t r = r0, end = std::min(B * M, r0 + bundle); r < end;) {
            const int64_t rows = std::min(M - r % M, end - r);
            part(r / M, r % M, rows, d, count, counted[static_cast<size_t>(tile)]);
            r += rows;
        }
    });
    for (const Counted& c : counted) {
        merge(call.input_counters, c.input);
        merge(call.source_counters, c.source);
        merge(call.result_counters, c.result);
    }
}

void backward_f64(const ScaledIndexAddBackward& call, Tensor& grad_source, Tensor& sums) {
    const Rows dy(call.dy);
    const int64_t M = call.dy.size(1), D = call.dy.size(2), uses = call.index.numel();
    const int64_t* index = call.index.data<int64_t>();
    const double alpha = static_cast<double>(call.alpha);
    const double* scaling = call.scaling.defined() ? call.scaling.data<double>() : nullptr;
    const int64_t step = scaling ? call.scaling.strides()[0] : 0;
    if (grad_source.defined()) {
        double* out = grad_source.mutable_data<double>();
        for (int64_t b = 0; b < uses; ++b)
            for (int64_t i = 0; i < M * D; ++i) {
                const double t = alpha * dy.value(index[b], i / D, i % D);
                out[b * M * D + i] = scaling ? t * scaling[i % D * step] : t;
            }
    }
    if (!sums.defined()) return;
    const Rows source(call.source);
    double* out = sums.mutable_data<double>();
    for (int64_t d = 0; d < D; ++d) {
        out[d] = 0;
        for (int64_t b = 0; b < uses; ++b)
            for (int64_t m = 0; m < M; ++m)
                out[d] += alpha * dy.value(index[b], m, d) * source.value(b, m, d);
    }
}

// Both gradients in one pass over dy. Rows (b, m) are cut into at most kSumTiles tiles, each with a partial
// sum for the gradient of scaling; the partial sums are added in their order.
void backward(ScaledIndexAddBackward& call, Tensor& grad_source, Tensor& sums) {
    const int64_t M = call.dy.size(1), D = call.dy.size(2), rows = call.index.numel() * M;
    if (call.dy.dtype() == DType::f64) return backward_f64(call, grad_source, sums);
    constexpr int64_t kLeastRows = 128;
    const int64_t bundle = std::max(kLeastRows, ceil_div(rows, kSumTiles));
    const int64_t row_tiles = ceil_div(rows, bundle), chunks = ceil_div(D, kBlock);
    const std::vector<float> factor = load_scaling(call.scaling, call.scaling_cast, nullptr);
    const int64_t* index = call.index.data<int64_t>();
    const Rows dy(call.dy);
    const Rows source(sums.defined() ? call.source : call.dy);
    char* out = grad_source.defined() ? static_cast<char*>(grad_source.mutable_raw()) : nullptr;
    const DType out_dtype = grad_source.defined() ? grad_source.dtype() : DType::f32;
    const int64_t out_size = static_cast<int64_t>(size_of(out_dtype));
    const bool stream = out && grad_source.numel() * out_size >= kStreamBytes;
    Tensor partial = sums.defined() ? Tensor::zeros({std::max<int64_t>(row_tiles, 1), D}) : Tensor();
    float* partial_sums = sums.defined() ? partial.mutable_data<float>() : nullptr;
    std::vector<Counted> counted(static_cast<size_t>(row_tiles * chunks));
    parallel_for(row_tiles * chunks, [&](int64_t tile) {
        const BoundaryIsa& isa = boundary_isa();
        const ScaledIndexAddIsa& ours = scaled_index_add_isa();
        Counted& counters = counted[static_cast<size_t>(tile)];
        const int64_t d = tile % chunks * kBlock, n = std::min(kBlock, D - d), r0 = tile / chunks * bundle;
        float g[kBlock], other[kBlock];
        for (int64_t r = r0; r < std::min(rows, r0 + bundle); ++r) {
            const int64_t b = r / M, m = r % M;
            dy.load(g, index[b], m, d, n, call.dy_cast, &counters.input);
            ours.scale(g, call.alpha, n);
            if (out) {
                const float* result = g;
                if (!factor.empty()) {
                    ours.multiply(other, g, factor.data() + d, n);
                    result = other;
                }
                isa.store(out + (r * D + d) * out_size, storage_of(out_dtype), result, n, call.exit_cast,
                          &counters.result, stream);
            }
            if (partial_sums) {
                source.load(other, b, m, d, n, call.source_cast, nullptr);
                ours.add(partial_sums + tile / chunks * D + d, g, other, n);
            }
        }
    });
    for (const Counted& c : counted) {
        merge(call.dy_counters, c.input);
        merge(call.exit_counters, c.result);
    }
    if (!sums.defined()) return;
    float* total = sums.mutable_data<float>();
    std::fill(total, total + D, 0.0f);
    for (int64_t t = 0; t < row_tiles; ++t) scaled_index_add_isa().add_one(total, 1, partial_sums + t * D, D);
}

}  // namespace

const ScaledIndexAddKernels scaled_index_add_cpu{forward, backward};

}  // namespace demi
