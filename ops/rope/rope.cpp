#include "ops/rope/rope.h"

#include "autograd/node.h"
#include "ops/op.h"
#include "ops/rope/rope_kernels.h"

namespace demi {
namespace {

// x is contiguous; y is x, or a new tensor like it.
void rotate(const Tensor& x, Tensor& y, const std::vector<RopeSegment>& segments, bool back) {
    const bool packed = x.rank() == 5;
    const int64_t half = x.size(-1) / 2, rows = packed ? 3 * x.size(3) : x.size(2);
    int64_t token = 0;
    for (const RopeSegment& s : segments) {
        const int64_t positions = s.table.size(1), tokens = s.sequences * (s.prefix + positions);
        const int64_t at = token * rows * 2 * half * static_cast<int64_t>(size_of(x.dtype()));
        token += tokens;
        if (tokens * rows * half == 0) continue;
        const ConstMem from{static_cast<const char*>(x.raw()) + at, x.dtype()};
        const Mem to{static_cast<char*>(y.mutable_raw()) + at, x.dtype()};
        rope_on(x.device())
            .rotate({from, reads(s.table), to, tokens, s.prefix, positions, rows,
                     packed ? rows / 3 * 2 : rows, half, back},
                    queue_of(x));
    }
}

// The segments with tables as the kernels read them.
std::vector<RopeSegment> checked(const Op& op, const Variable& input,
                                 const std::vector<RopeSegment>& segments) {
    const Tensor& x = op.floats("x", input);
    const bool packed = x.rank() == 5;
    op.check((x.rank() == 4 || (packed && x.size(2) == 3)) && x.size(-1) % 2 == 0,
             "x must be [B, N, H, K] or [B, N, 3, H, K] with K even: got ", x);
    std::vector<RopeSegment> out = segments;
    int64_t tokens = 0;
    for (RopeSegment& s : out) {
        op.floats("table", s.table);
        op.same_device("x", x, "table", s.table);
        op.check(s.table.rank() == 3 && s.table.size(0) == 2 && s.table.size(2) == x.size(-1) / 2,
                 "a table must be [2, T, ", x.size(-1) / 2, "] for x ", x, ": got ", s.table);
        op.check(s.sequences >= 0 && s.prefix >= 0 && s.prefix <= INT32_MAX,
                 "sequences and prefix must be at least 0: got ", s.sequences, " and ", s.prefix);
        tokens =
            checked_add(tokens, checked_mul(s.sequences, s.prefix + s.table.size(1), op.name()), op.name());
        s.table = s.table.to(compute_dtype(x.dtype())).contiguous();
    }
    op.check(tokens == x.size(0) * x.size(1), "segments must cover the ", x.size(0) * x.size(1),
             " tokens of x ", x, ": got ", tokens);
    return out;
}

Variable recorded(const Op& op, const Variable& input, const Tensor& y, std::vector<RopeSegment> segments) {
    std::vector<Saved> tables;
    for (RopeSegment& s : segments) tables.emplace_back(s.table);
    return op.record(input, y, [tables, segments](const Tensor& grad) {
        std::vector<RopeSegment> all = segments;
        for (size_t i = 0; i < all.size(); ++i) all[i].table = tables[i].get();
        const bool in_place = alone(grad);  // memory that nothing else reads
        const Tensor dy = in_place ? grad : grad.contiguous();
        Tensor dx = in_place ? grad : Tensor::like(dy);
        rotate(dy, dx, all, true);
        return dx;
    });
}

}  // namespace

Variable rope(const Variable& input, const std::vector<RopeSegment>& segments) {
    const Op op("rope");
    std::vector<RopeSegment> all = checked(op, input, segments);
    const Tensor x = input.value().contiguous();
    Tensor y = Tensor::like(x);
    rotate(x, y, all, false);
    return recorded(op, input, y, std::move(all));
}

Variable rope_in_place(const Variable& input, const std::vector<RopeSegment>& segments) {
    const Op op("rope_in_place");
    std::vector<RopeSegment> all = checked(op, input, segments);
    op.check(input.value().is_contiguous(), "x must be contiguous: got ", input.value(), " with strides ",
             input.value().strides());
    op.check(!(input.is_leaf() && input.requires_grad()), "x must not be a leaf that requires a gradient");
    Tensor x = input.value();
    rotate(x, x, all, false);
    return recorded(op, input, x, std::move(all));
}

}  // namespace demi
