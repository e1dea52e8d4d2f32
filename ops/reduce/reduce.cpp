#include "ops/reduce/reduce.h"

#include <limits>

#include "ops/elementwise/elementwise.h"
#include "ops/index/index_kernels.h"
#include "ops/op.h"
#include "ops/reduce/reduce_kernels.h"
#include "ops/reduce/sums.h"

namespace demi {
namespace {

static_assert(kMaxSumGroups == Shape::kMaxRank);

// Fills the groups; false where neighbours of one kind could not be merged because x or y is not evenly strided there.
bool group(ReduceSum& call, const Shape& out, const Tensor& x, const Tensor& y) {
    bool merged = true;
    call.group_count = 0;
    for (int d = 0; d < x.rank(); ++d) {
        const int64_t size = x.shape()[d];
        if (size == 1) continue;
        const SumGroup own{size, x.strides()[d], y.defined() ? y.strides()[d] : 0, out[d] == 1};
        SumGroup* last = call.group_count > 0 ? &call.groups[call.group_count - 1] : nullptr;
        const bool same = last != nullptr && last->reduced == own.reduced;
        if (same && last->x_step == own.x_step * size && last->y_step == own.y_step * size) {
            *last = {last->size * size, own.x_step, own.y_step, own.reduced};
        } else {
            merged = merged && !same;
            call.groups[call.group_count++] = own;
        }
    }
    return merged;
}

// x and y have one shape and out x's rank.
void sum_groups(Tensor& out, Tensor x, Tensor y, double scale) {
    ReduceSum call{};
    if (!group(call, out.shape(), x, y) && x.device().is_cpu()) {
        x = x.contiguous();
        if (y.defined()) y = y.contiguous();
        group(call, out.shape(), x, y);
    }
    call.x = reads(x);
    call.y = reads(y);
    call.out = writes(out);
    call.out_count = out.numel();
    call.scale = scale;
    reduce_on(out.device()).sum(call, queue_of(out));
}

Tensor reduce_sum(const Tensor& x, const Tensor& y, const Shape& shape, DType dtype, double scale) {
    Shape padded = shape;
    while (padded.rank() < x.rank()) padded.insert(0, 1);
    check(broadcast(padded, x.shape(), "sum") == x.shape(), "sum", "cannot sum ", x.shape(), " to ", shape);
    const bool in_f64 =
        dtype == DType::f64 || x.dtype() == DType::f64 || (y.defined() && y.dtype() == DType::f64);
    Tensor out = Tensor::empty(padded, in_f64 ? DType::f64 : dtype, x.device());
    if (out.numel() > 0 && x.numel() > 0) {
        sum_groups(out, x, y, scale);
    } else {
        out = Tensor::zeros(padded, dtype, x.device());  // the sum of nothing
    }
    return out.to(dtype).view(shape);
}

}  // namespace

Tensor sum_to(const Tensor& x, const Shape& shape, DType dtype, double scale) {
    if (x.shape() == shape && scale == 1) return x.to(dtype);
    return reduce_sum(x, Tensor(), shape, dtype, scale);
}

Tensor sum_product_to(const Tensor& x, const Tensor& y, const Shape& shape, DType dtype) {
    const Shape full = broadcast(x.shape(), y.shape(), "sum");
    if (full == shape) return elementwise("mul", ElementFn::mul, {x, y}, dtype);
    return reduce_sum(x.expand(full), y.expand(full), shape, dtype, 1);
}

Tensor elementwise_to(std::string_view op, ElementFn fn, std::initializer_list<Tensor> operands,
                      const Shape& shape, DType dtype) {
    Shape full = operands.begin()->shape();
    bool in_f64 = dtype == DType::f64;
    for (const Tensor& t : operands) {
        full = broadcast(full, t.shape(), op);
        in_f64 = in_f64 || t.dtype() == DType::f64;
    }
    if (full == shape) return elementwise(op, fn, operands, dtype);
    return sum_to(elementwise(op, fn, operands, in_f64 ? DType::f64 : DType::f32), shape, dtype);
}

namespace {

// y, which has size 1 in the reduced dimensions, as the caller wants it.
Tensor shaped(const Tensor& y, const Shape& shape, const Dims& dims, bool keepdim) {
    return keepdim ? y : y.view(drop_reduced(shape, dims));
}

// x with the dimensions of `dims` moved behind the others and merged, and the first largest (or
// smallest) element of each row.
struct MaxRows {
    Tensor values, indices;  // [rows], [rows] i64
    std::vector<int> order;  // the dimensions as permuted: kept ones, then reduced ones
    Shape permuted;          // x's sizes in that order
};

MaxRows max_rows(const Op& op, const Tensor& x, const Dims& dims, bool smallest) {
    MaxRows out;
    std::vector<bool> reduced(static_cast<size_t>(x.rank()), dims.empty());
    for (int d : dims) reduced[static_cast<size_t>(normalize_dim(d, x.rank(), op.name()))] = true;
    for (const bool wanted : {false, true})
        for (int d = 0; d < x.rank(); ++d)
            if (reduced[static_cast<size_t>(d)] == wanted) out.order.push_back(d);
    int64_t rows = 1, length = 1;
    for (int d = 0; d < x.rank(); ++d) {
        int64_t& size = reduced[static_cast<size_t>(d)] ? length : rows;
        size = checked_mul(size, x.shape()[d], op.name());
    }
    op.check(length > 0, "needs at least one element to compare: got ", x.shape());
    const Tensor moved = x.permute(out.order);
    out.permuted = moved.shape();
    out.values = Tensor::empty({rows}, x.dtype(), x.device());
    out.indices = Tensor::empty({rows}, DType::i64, x.device());
    const Tensor lines = moved.contiguous();
    if (rows > 0)
        reduce_on(x.device())
            .max({reads(lines), writes(out.values), writes(out.indices), rows, length, smallest},
                 queue_of(x));
    return out;
}

Variable extreme(const char* name, const Variable& x, const Dims& dims, bool keepdim, bool smallest) {
    const Op op(name);
    op.check(x.defined(), "x must be a defined tensor");
    const Shape kept = keep_reduced(name, x.shape(), dims);
    const MaxRows top = max_rows(op, x.value(), dims, smallest);
    return op.record(
        x, shaped(top.values.view(kept), x.shape(), dims, keepdim),
        [indices = Saved(top.indices), order = top.order, permuted = top.permuted](const Tensor& dy) {
            const int64_t rows = dy.numel(), length = rows > 0 ? permuted.numel() / rows : 0;
            Tensor dx = Tensor::empty({rows, length}, dy.dtype(), dy.device());
            const Tensor from = dy.contiguous(), at = indices.get().contiguous();
            if (rows > 0)
                index_on(dy.device())
                    .add_elements({reads(from), writes(dx), at.data<int64_t>(), rows, length, 1},
                                  queue_of(dy));
            std::vector<int> back(order.size());
            for (size_t i = 0; i < order.size(); ++i)
                back[static_cast<size_t>(order[i])] = static_cast<int>(i);
            return dx.view(permuted).permute(back);
        });
}

Tensor place(const char* name, const Tensor& x, int dim, bool smallest) {
    const Op op(name);
    op.check(x.defined(), "x must be a defined tensor");
    const Dims dims{normalize_dim(dim, x.rank(), name)};
    return max_rows(op, x, dims, smallest).indices.view(drop_reduced(x.shape(), dims));
}

Tensor opposite(const Op& op, const Tensor& truths) {
    return elementwise(op.name(), ElementFn::rsub, {truths}, DType::boolean, 1);
}

// Whether any element of x, which is bool, holds.
Tensor any_of(const Op& op, const Tensor& x, const Dims& dims, bool keepdim) {
    const Tensor found = sum_to(x, keep_reduced(op.name(), x.shape(), dims), DType::i64).to(DType::boolean);
    return shaped(found, x.shape(), dims, keepdim);
}

}  // namespace

Variable sum(const Variable& x, const Dims& dims, bool keepdim) {
    const Op op("sum");
    op.check(x.defined(), "x must be a defined tensor");
    const Shape kept = keep_reduced(op.name(), x.shape(), dims);
    const Tensor y = sum_to(x.value(), kept, is_float(x.dtype()) ? x.dtype() : DType::i64);
    return op.record(x, shaped(y, x.shape(), dims, keepdim),
                     [kept, shape = x.shape()](const Tensor& dy) { return dy.reshape(kept).expand(shape); });
}

Variable mean(const Variable& x, const Dims& dims, bool keepdim) {
    const Op op("mean");
    op.check(x.defined() && is_float(x.dtype()),
             "needs a floating-point tensor, which cast(x, DType::f32) makes: got ", x.value());
    const Shape kept = keep_reduced(op.name(), x.shape(), dims);
    int64_t count = 1;
    for (int d = 0; d < x.rank(); ++d)
        if (kept[d] == 1) count = checked_mul(count, x.shape()[d], op.name());
    const Tensor y =
        count > 0 ? sum_to(x.value(), kept, x.dtype(), 1.0 / static_cast<double>(count))
                  : Tensor::full(kept, std::numeric_limits<double>::quiet_NaN(), x.dtype(), x.device());
    return op.record(
        x, shaped(y, x.shape(), dims, keepdim), [kept, count, shape = x.shape()](const Tensor& dy) {
            if (count == 0) return Tensor::zeros(shape, dy.dtype(), dy.device());
            const auto divisor = static_cast<double>(count);
            const Tensor share = elementwise("mean", ElementFn::div_scalar, {dy}, dy.dtype(), divisor);
            return share.view(kept).expand(shape);
        });
}

Variable max(const Variable& x, const Dims& dims, bool keepdim) {
    return extreme("max", x, dims, keepdim, false);
}
Variable min(const Variable& x, const Dims& dims, bool keepdim) {
    return extreme("min", x, dims, keepdim, true);
}
Tensor argmax(const Tensor& x, int dim) { return place("argmax", x, dim, false); }
Tensor argmin(const Tensor& x, int dim) { return place("argmin", x, dim, true); }

Tensor any(const Variable& x, const Dims& dims, bool keepdim) {
    const Op op("any");
    op.check(x.defined(), "needs a defined tensor: got ", x.value());
    return any_of(op, x.value().to(DType::boolean), dims, keepdim);
}

Tensor all(const Variable& x, const Dims& dims, bool keepdim) {
    const Op op("all");
    op.check(x.defined(), "needs a defined tensor: got ", x.value());
    return opposite(op, any_of(op, opposite(op, x.value().to(DType::boolean)), dims, keepdim));
}

int64_t count_equal(const Tensor& a, const Tensor& b) {
    check(a.defined() && b.defined() && !is_float(a.dtype()) && !is_float(b.dtype()) &&
              a.shape() == b.shape(),
          "count_equal", "needs two integer tensors of one shape: got ", a, " and ", b);
    const std::vector<int64_t> x = a.to_vector<int64_t>(), y = b.to_vector<int64_t>();
    int64_t count = 0;
    for (size_t i = 0; i < x.size(); ++i) count += x[i] == y[i];
    return count;
}

}  // namespace demi
