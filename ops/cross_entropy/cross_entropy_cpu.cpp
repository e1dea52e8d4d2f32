#include <cmath>
#include <cstring>
#include <limits>

#include "ops/common/isa_index.h"
#include "ops/common/rows.h"
#include "ops/cross_entropy/cross_entropy_isa.h"
#include "ops/cross_entropy/cross_entropy_kernels.h"
#include "runtime/isa.h"

namespace demi {

DEMI_ISA_TABLE(CrossEntropyIsa, cross_entropy_isa)

namespace {

void forward_row(const double* x, const double* target, int64_t width, CrossEntropyRow<double>& out) {
    const double m = *std::max_element(x, x + width);
    out = {m, 0, 0, 0, 0};
    for (int64_t i = 0; i < width; ++i) {
        out.exp_sum += std::exp(x[i] - m);
        out.distance += m - x[i];
        if (target == nullptr || target[i] == 0) continue;
        out.target += target[i];
        out.target_distance += target[i] * (m - x[i]);
    }
}

template <class T> T element(const void* row, DType dtype, int64_t i) {
    return dispatch_float(dtype, "cross_entropy",
                          [&]<class X>() { return static_cast<T>(static_cast<const X*>(row)[i]); });
}

// The loss of a row whose parts left the range, and of the edges of probability: each weight meets its
// distance alone, and a weight of 0 none at all.
template <class T>
T careful_loss(const CrossEntropyForward& c, const void* x, const T* target, int64_t label, int64_t width,
               T& max, T& log_sum) {
    constexpr T kInf = std::numeric_limits<T>::infinity();
    const auto logit = [&](int64_t i) { return element<T>(x, c.logits.dtype(), i); };
    bool masked = max == -kInf;
    for (int64_t i = 0; masked && i < width; ++i) masked = logit(i) == -kInf;
    if (masked) log_sum = 0;
    const T top = max, smoothing = static_cast<T>(c.smoothing);
    const T share = static_cast<T>(c.smoothing / static_cast<double>(width));
    T loss = 0, weights = 0;
    for (int64_t i = 0; i < width; ++i) {
        const T weight = (1 - smoothing) * (target != nullptr ? target[i] : i == label ? 1 : 0) + share;
        if (weight == 0) continue;
        weights += weight;
        loss += masked ? weight * kInf : weight * top - weight * logit(i);
    }
    return loss + weights * log_sum;
}

template <class T> void forward_as(CrossEntropyForward& c) {
    const int64_t width = c.logits.shape().back(), rows = c.logits.numel() / width;
    const RowPointer x(c.logits, width), target(c.target, width);
    const int64_t* labels = c.labels.defined() ? c.labels.data<int64_t>() : nullptr;
    T *losses = c.losses.mutable_data<T>(), *row_max = c.row_max.mutable_data<T>(),
      *log_sum = c.log_sum.mutable_data<T>();
    const T smoothing = static_cast<T>(c.smoothing),
            share = static_cast<T>(c.smoothing / static_cast<double>(width));
    parallel_rows(rows, width, [&](int64_t begin, int64_t count) {
        for (int64_t r = begin; r < begin + count; ++r) {
            if (labels != nullptr && c.ignore_index == labels[r]) {
                losses[r] = row_max[r] = log_sum[r] = 0;
                continue;
            }
            CrossEntropyRow<T> row{};
            if constexpr (std::is_same_v<T, double>)
                forward_row(x.at<double>(r), target.at<double>(r), width, row);
            else
                cross_entropy_isa().forward[isa_index(c.logits.dtype(), "cross_entropy")](
                    x[r], target.at<float>(r), c.smoothing != 0, width, &row);
            T lse = std::log(row.exp_sum);
            if (labels != nullptr) {
                row.target = 1;
                row.target_distance = row.max - element<T>(x[r], c.logits.dtype(), labels[r]);
            }
            losses[r] =
                (1 - smoothing) * row.target_distance + ((1 - smoothing) * row.target + smoothing) * lse;
            if (smoothing != 0) losses[r] += share * row.distance;
            if (!std::isfinite(losses[r]))
                losses[r] = careful_loss<T>(c, x[r], target.at<T>(r), labels != nullptr ? labels[r] : -1,
                                            width, row.max, lse);
            row_max[r] = row.max;
            log_sum[r] = lse;
        }
    });
}

void backward_row(const double* x, const double* target, double m, double lse, double prob, double constant,
                  double hit, int64_t label, double* dx, int64_t width) {
    if (m == -std::numeric_limits<double>::infinity() && !std::isnan(lse)) {  // nothing but -inf
        std::fill(dx, dx + width, 0.0);
        return;
    }
    for (int64_t i = 0; i < width; ++i) {
        const double t = target != nullptr ? target[i] : i == label ? 1 : 0;
        dx[i] = prob * std::exp(x[i] - m - lse) - constant - hit * t;
    }
}

void target_grad_row(const double* x, const double* target, double m, double lse, double factor, double* dt,
                     int64_t width) {
    for (int64_t i = 0; i < width; ++i) {
        dt[i] = factor * ((m - x[i]) + lse);
        if (std::isfinite(m - x[i]) || std::isnan(lse)) continue;
        dt[i] = factor * m - factor * x[i] + factor * lse;
        if (x[i] == -std::numeric_limits<double>::infinity())
            dt[i] = target[i] == 0 || factor == 0 ? 0 : -factor * x[i];
    }
}

template <class T> void backward_as(CrossEntropyBackward& c) {
    const int64_t width = c.logits.shape().back(), rows = c.logits.numel() / width;
    const RowPointer x(c.logits, width), target(c.target, width);
    const MutableRowPointer dx(c.dlogits, width), dt(c.dtarget, width);
    const int64_t* labels = c.labels.defined() ? c.labels.data<int64_t>() : nullptr;
    const T *row_max = c.row_max.data<T>(), *log_sum = c.log_sum.data<T>(), *dloss = c.dloss.data<T>();
    const bool one = c.dloss.numel() == 1;
    const T smoothing = static_cast<T>(c.smoothing), scale = static_cast<T>(c.scale);
    const T share = static_cast<T>(c.smoothing / static_cast<double>(width));
    const size_t entry = c.logits.dtype() == DType::f64 ? 0 : isa_index(c.logits.dtype(), "cross_entropy");
    parallel_rows(rows, width, [&](int64_t begin, int64_t count) {
        for (int64_t r = begin; r < begin + count; ++r) {
            const T g = dloss[one ? 0 : r] * scale;
            const int64_t label = labels != nullptr ? labels[r] : -1;
            if (labels != nullptr && c.ignore_index == label) {
                if (dx[r] != nullptr)
                    std::memset(dx[r], 0, static_cast<size_t>(width) * size_of(c.logits.dtype()));
                continue;
            }
            T total = 1;
            if (target[r] != nullptr) {
                double sum = 0;
                for (int64_t i = 0; i < width; ++i) sum += static_cast<double>(target.at<T>(r)[i]);
                total = (1 - smoothing) * static_cast<T>(sum) + smoothing;
            }
            if constexpr (std::is_same_v<T, double>) {
                if (dx[r] != nullptr)
                    backward_row(x.at<double>(r), target.at<double>(r), row_max[r], log_sum[r], g * total,
                                 g * share, g * (1 - smoothing), label, dx.at<double>(r), width);
                if (dt[r] != nullptr)
                    target_grad_row(x.at<double>(r), target.at<double>(r), row_max[r], log_sum[r],
                                    g * (1 - smoothing), dt.at<double>(r), width);
            } else {
                const CrossEntropyStep step{row_max[r], log_sum[r],          g * total,
                                            g * share,  g * (1 - smoothing), label};
                if (dx[r] != nullptr)
                    cross_entropy_isa().backward[entry](x[r], target.at<float>(r), &step, dx[r], width);
                if (dt[r] != nullptr)
                    cross_entropy_isa().target_grad[entry](x[r], target.at<float>(r), row_max[r], log_sum[r],
                                                           g * (1 - smoothing), dt.at<float>(r), width);
            }
        }
    });
}

CrossEntropyLabels inspect(const Tensor& labels, int64_t classes, std::optional<int64_t> ignore) {
    const int64_t* label = labels.data<int64_t>();
    CrossEntropyLabels found;
    for (int64_t i = 0; i < labels.numel(); ++i) {
        if (ignore == label[i]) continue;
        ++found.kept;
        if (found.first_bad < 0 && (label[i] < 0 || label[i] >= classes)) found.first_bad = i;
    }
    return found;
}

void forward(CrossEntropyForward& call) {
    call.logits.dtype() == DType::f64 ? forward_as<double>(call) : forward_as<float>(call);
}
void backward(CrossEntropyBackward& call) {
    call.logits.dtype() == DType::f64 ? backward_as<double>(call) : backward_as<float>(call);
}

void total(const Tensor& losses, double scale, Tensor& out) {
    const auto add = [&]<class T>(T* result) {
        const T* loss = losses.data<T>();
        double sum = 0;
        for (int64_t i = 0; i < losses.numel(); ++i) sum += static_cast<double>(loss[i]);
        *result = static_cast<T>(sum * scale);
    };
    out.dtype() == DType::f64 ? add(out.mutable_data<double>()) : add(out.mutable_data<float>());
}

}  // namespace

const CrossEntropyKernels cross_entropy_cpu{
    .inspect = inspect, .forward = forward, .backward = backward, .total = total};

}  // namespace demi
