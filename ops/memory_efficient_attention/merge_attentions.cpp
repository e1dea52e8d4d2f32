#include "ops/memory_efficient_attention/merge_attentions.h"

#include <cmath>
#include <limits>

#include "autograd/record.h"
#include "ops/common/operand.h"
#include "runtime/parallel.h"
#include "runtime/profile.h"

namespace demi {
namespace {

constexpr const char* kOp = "merge_attentions";
constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// One row: out [.., K] of a (batch, token, head), contiguous tensors.
struct Layout {
    int64_t batch, tokens, heads, size;
    int64_t rows() const { return batch * tokens * heads; }
    int64_t lse_index(int64_t row) const {
        const int64_t h = row % heads, t = row / heads % tokens, b = row / heads / tokens;
        return (b * heads + h) * tokens + t;
    }
};

Layout layout_of(const Tensor& out) {
    const bool rank3 = out.rank() == 3;
    return {out.size(0), out.size(1), rank3 ? 1 : out.size(2), out.size(-1)};
}

template <class F> void for_each_row(const Layout& layout, F&& fn) {
    parallel_ranges(layout.rows(), 64, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) fn(row);
    });
}

template <class T, class L>
void forward_rows(const Layout& l, const Tensors& outs, const Tensors& lses, Tensor out, Tensor lse) {
    T* y = out.mutable_data<T>();
    L* logs = lse.mutable_data<L>();
    for_each_row(l, [&](int64_t row) {
        const int64_t at = l.lse_index(row);
        double top = kMinusInfinity, sum = 0;
        for (const Tensor& x : lses) top = std::fmax(top, static_cast<double>(x.data<L>()[at]));
        for (const Tensor& x : lses)
            if (top > kMinusInfinity) sum += std::exp(static_cast<double>(x.data<L>()[at]) - top);
        const double total = sum == 0 ? kMinusInfinity : top + std::log(sum);
        logs[at] = static_cast<L>(total);
        for (int64_t c = 0; c < l.size; ++c) {
            double value = 0;
            for (size_t i = 0; i < outs.size() && sum != 0; ++i) {
                const double w = std::exp(static_cast<double>(lses[i].data<L>()[at]) - total);
                if (w != 0) value += w * static_cast<double>(outs[i].data<T>()[row * l.size + c]);
            }
            y[row * l.size + c] = T(static_cast<compute_t<T>>(value));
        }
    });
}

template <class T, class L>
void backward_rows(const Layout& l, const Tensors& outs, const Tensors& lses, const Tensor& out,
                   const Tensor& lse, const Tensor& grad, const Tensor& grad_lse, Tensors& grads) {
    const size_t parts = outs.size();
    std::vector<T*> d_out(parts);
    std::vector<L*> d_lse(parts);
    for (size_t i = 0; i < parts; ++i) {
        d_out[i] = grads[2 * i].defined() ? grads[2 * i].mutable_data<T>() : nullptr;
        d_lse[i] = grads[2 * i + 1].defined() ? grads[2 * i + 1].mutable_data<L>() : nullptr;
    }
    const T* g = grad.defined() ? grad.data<T>() : nullptr;
    for_each_row(l, [&](int64_t row) {
        const int64_t at = l.lse_index(row);
        const double total = static_cast<double>(lse.data<L>()[at]);
        for (size_t i = 0; i < parts; ++i) {
            const double part = static_cast<double>(lses[i].data<L>()[at]);
            const double w = total == kMinusInfinity || part == kMinusInfinity ? 0 : std::exp(part - total);
            double sum = grad_lse.defined() ? static_cast<double>(grad_lse.data<L>()[at]) : 0;
            for (int64_t c = 0; c < l.size; ++c) {
                const int64_t e = row * l.size + c;
                const double gradient = g != nullptr ? static_cast<double>(g[e]) : 0;
                if (w != 0)
                    sum += gradient * (static_cast<double>(outs[i].data<T>()[e]) -
                                       static_cast<double>(out.data<T>()[e]));
                if (d_out[i] != nullptr)
                    d_out[i][e] = T(static_cast<compute_t<T>>(w == 0 ? 0 : w * gradient));
            }
            if (d_lse[i] != nullptr) d_lse[i][at] = static_cast<L>(w == 0 ? 0 : w * sum);
        }
    });
}

// fn<T, L>() with T the type of out and L that of the log-sum-exp.
template <class F> void dispatch(DType dtype, F&& fn) {
    dispatch_float(dtype, kOp, [&]<class T>() { fn.template operator()<T, compute_t<T>>(); });
}

void check_parts(const std::vector<AttentionWithLse>& parts) {
    check(!parts.empty(), kOp, "needs at least one part: got none");
    const Tensor& out = parts[0].out.value();
    check_float_operand(kOp, "out", out);
    check(out.device().is_cpu(), kOp, "has CPU kernels only: got ", out.device());
    check(out.rank() == 3 || out.rank() == 4, kOp, "needs out of shape (B, M, H, K) or (B, M, K): got ",
          out.shape());
    const Layout l = layout_of(out);
    const Shape lse{l.batch, l.heads, l.tokens};
    for (size_t i = 0; i < parts.size(); ++i) {
        const Tensor &x = parts[i].out.value(), &y = parts[i].lse.value();
        const bool fits = x.defined() && y.defined() && x.shape() == out.shape() &&
                          x.dtype() == out.dtype() && y.shape() == lse &&
                          y.dtype() == compute_dtype(out.dtype());
        check(fits, kOp, "parts must be alike: part 0 has out ", describe(out), ", so lse must be ",
              compute_dtype(out.dtype()), " ", lse, "; part ", i, " has out ", describe(x), ", lse ",
              describe(y));
    }
}

}  // namespace

AttentionWithLse merge_attentions(const std::vector<AttentionWithLse>& parts) {
    const ProfileScope scope("merge_attentions");
    check_parts(parts);
    std::vector<Variable> inputs;
    Tensors outs, lses;
    for (const AttentionWithLse& part : parts) {
        inputs.push_back(part.out);
        inputs.push_back(part.lse);
        outs.push_back(part.out.value().contiguous());
        lses.push_back(part.lse.value().contiguous());
    }
    const Layout layout = layout_of(outs[0]);
    const Tensor out = Tensor::like(outs[0]), lse = Tensor::like(lses[0]);
    const DType dtype = out.dtype();
    dispatch(dtype, [&]<class T, class L>() { forward_rows<T, L>(layout, outs, lses, out, lse); });

    std::vector<Saved> saved(outs.begin(), outs.end());
    saved.insert(saved.end(), lses.begin(), lses.end());
    const std::vector<Variable> both =
        record(kOp, inputs, Tensors{out, lse},
               [layout, dtype, saved, out = Saved(out), lse = Saved(lse)](std::span<const Tensor> grads,
                                                                          const Needs& needs) {
                   const size_t n = saved.size() / 2;
                   Tensors parts_out, parts_lse, result(2 * n);
                   for (size_t i = 0; i < n; ++i) {
                       parts_out.push_back(saved[i].get());
                       parts_lse.push_back(saved[n + i].get());
                       if (needs[2 * i]) result[2 * i] = Tensor::like(parts_out[i]);
                       if (needs[2 * i + 1]) result[2 * i + 1] = Tensor::like(parts_lse[i]);
                   }
                   const Tensor g = grads[0].defined() ? grads[0].contiguous() : Tensor();
                   const Tensor h = grads[1].defined() ? grads[1].contiguous() : Tensor();
                   dispatch(dtype, [&]<class T, class L>() {
                       backward_rows<T, L>(layout, parts_out, parts_lse, out.get(), lse.get(), g, h, result);
                   });
                   return result;
               });
    return {both[0], both[1]};
}

}  // namespace demi
