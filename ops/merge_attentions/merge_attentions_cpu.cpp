#include "ops/merge_attentions/merge_attentions_kernels.h"

#include "ops/kernel_cpu.h"
#include "ops/memory_efficient_attention/attention_kernels.h"

namespace demi::DEMI_BACKEND {
namespace {

constexpr double kMinusInfinity = -__builtin_inf();
constexpr int64_t kBlock = 64;  // columns

// Elements of out of type T to the type of its log-sum-exp, or back.
template <class T, class To, class From> DEMI_INLINE void convert(To* to, const From* from, int64_t count) {
    for_lanes<T>(count, [&] DEMI_LANES { put(to + i, get(from + i, n), n); });
}

// One row of a call: its parts' log-sum-exps, and their weights w_i = exp(lse_i - lse).
template <class T> struct MergeRow {
    typedef lane_t<T> L;
    const MergeParts& in;
    int64_t row, at;  // `at`: of the log-sum-exp

    MergeRow(const MergeParts& parts, int64_t r) : in(parts), row(r), at(parts.lse_index(r)) {}
    double lse(int64_t i) const { return static_cast<double>(static_cast<const L*>(in.parts[i].lse)[at]); }
    const T* out(int64_t i) const { return static_cast<const T*>(in.parts[i].out) + row * in.size; }

    double top() const {
        double top = kMinusInfinity;
        for (int64_t i = 0; i < in.count; ++i) top = __builtin_fmax(top, lse(i));
        return top;
    }
    double sum(double top) const {
        double sum = 0;
        for (int64_t i = 0; i < in.count; ++i) sum += __builtin_exp(lse(i) - top);
        return sum;
    }
    // Where |total| is `odd` or more, it has lost the digits that this needs: the sum of the parts has them.
    void weights(double* w, double total, double odd) const {
        const bool exact = __builtin_fabs(total) >= odd && !__builtin_isinf(total);
        const double most = exact ? top() : total, all = exact ? sum(most) : 1;
        for (int64_t i = 0; i < in.count; ++i) w[i] = __builtin_exp(lse(i) - most) / all;
    }
};

// fn(row, memory for a number of each part) for all rows.
template <class T, class F> void for_each_row(const MergeParts& in, Queue queue, const F& fn) {
    parallel_ranges(in.rows(), 64, [&](int64_t begin, int64_t end) {
        const LocalScratch<double, 32> memory(in.count, queue);
        for (int64_t row = begin; row < end; ++row) fn(MergeRow<T>(in, row), memory.data());
    });
}

template <class T> void forward_of(const MergeAttentionsForward& c, Queue queue) {
    typedef lane_t<T> L;
    for_each_row<T>(c.in, queue, [&](const MergeRow<T>& row, double* w) {
        const double top = row.top(), sum = top > kMinusInfinity ? row.sum(top) : 0;
        const double total = sum == 0 ? kMinusInfinity : top + __builtin_log(sum);
        elements<L>(c.lse)[row.at] = static_cast<L>(total);
        row.weights(w, total, kAttentionOddLseF64);
        for (int64_t begin = 0; begin < c.in.size; begin += kBlock) {
            const int64_t n = c.in.size - begin < kBlock ? c.in.size - begin : kBlock;
            double y[kBlock] = {};
            L x[kBlock];
            for (int64_t i = 0; i < c.in.count && sum != 0; ++i) {
                if (w[i] == 0) continue;
                convert<T>(x, row.out(i) + begin, n);
                for (int64_t j = 0; j < n; ++j) y[j] += w[i] * static_cast<double>(x[j]);
            }
            for (int64_t j = 0; j < n; ++j) x[j] = static_cast<L>(y[j]);
            convert<T>(elements<T>(c.out) + row.row * c.in.size + begin, x, n);
        }
    });
}

template <class T> void backward_of(const MergeAttentionsBackward& c, Queue queue) {
    typedef lane_t<T> L;
    constexpr double kOdd = sizeof(L) == 8 ? kAttentionOddLseF64 : static_cast<double>(kAttentionOddLse);
    const L* grad_lse = elements<L>(c.grad_lse);
    for_each_row<T>(c.in, queue, [&](const MergeRow<T>& row, double* weights) {
        const double total = static_cast<double>(elements<L>(c.lse)[row.at]);
        const T* grad = demi::DEMI_BACKEND::row<T>(c.grad, row.row, c.in.size);
        const T* out = elements<T>(c.out) + row.row * c.in.size;
        row.weights(weights, total, kOdd);
        for (int64_t i = 0; i < c.in.count; ++i) {
            const MergePart& part = c.in.parts[i];
            const double w = total == kMinusInfinity || row.lse(i) == kMinusInfinity ? 0 : weights[i];
            double sum = grad_lse != nullptr ? static_cast<double>(grad_lse[row.at]) : 0;
            for (int64_t begin = 0; begin < c.in.size; begin += kBlock) {
                const int64_t n = c.in.size - begin < kBlock ? c.in.size - begin : kBlock;
                L g[kBlock] = {}, x[kBlock], y[kBlock];
                if (grad != nullptr) convert<T>(g, grad + begin, n);
                if (w != 0) {
                    convert<T>(x, row.out(i) + begin, n);
                    convert<T>(y, out + begin, n);
                    for (int64_t j = 0; j < n; ++j)
                        sum += static_cast<double>(g[j]) *
                               (static_cast<double>(x[j]) - static_cast<double>(y[j]));
                }
                if (part.grad_out == nullptr) continue;
                for (int64_t j = 0; j < n; ++j)
                    x[j] = static_cast<L>(w == 0 ? 0 : w * static_cast<double>(g[j]));
                convert<T>(static_cast<T*>(part.grad_out) + row.row * c.in.size + begin, x, n);
            }
            if (part.grad_lse != nullptr)
                static_cast<L*>(part.grad_lse)[row.at] = static_cast<L>(w == 0 ? 0 : w * sum);
        }
    });
}

void forward(const MergeAttentionsForward& c, Queue queue) {
    dispatch_float(c.out.dtype, [&]<class T>() { forward_of<T>(c, queue); });
}
void backward(const MergeAttentionsBackward& c, Queue queue) {
    dispatch_float(c.out.dtype, [&]<class T>() { backward_of<T>(c, queue); });
}

}  // namespace

const MergeAttentionsKernels merge_attentions_kernels{forward, backward};

}  // namespace demi::DEMI_BACKEND
