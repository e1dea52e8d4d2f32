#include "ops/common/elementwise_isa.h"
#include "ops/common/elementwise_kernels.h"
#include "ops/common/row_io.h"
#include "runtime/isa.h"
#include "runtime/strided.h"

namespace demi {

DEMI_ISA_TABLE(ElementwiseIsa, elementwise_isa)

namespace {

constexpr int64_t kBlock =
    512;  // elements converted at a time: the blocks of all operands stay in the L1 cache

// One operand during a walk: its rows are used where they lie, or brought block by block into `block`.
template <class C> struct Operand {
    const void* base;
    LoadRow<C> load;
    bool in_place;  // already contiguous elements of type C

    Operand(const Tensor& t, int64_t step)
        : base(t.raw()), load(row_loader<C>(t.dtype())), in_place(t.dtype() == dtype_of<C> && step == 1) {}

    const C* row(int64_t at, int64_t step, int64_t begin, int64_t count, C* block) const {
        if (in_place) return static_cast<const C*>(base) + at + begin;
        if (step != 0) {
            load(block, base, at + begin * step, step, count);
        } else if (begin == 0) {
            load(block, base, at, 1, 1);
            for (int64_t i = 1; i < count; ++i) block[i] = block[0];
        }
        return block;
    }
};

template <class C, int N>
void run(ElementRow<C> fn, Tensor& out, std::span<const Tensor> in, double p, double q) {
    std::array<const Shape*, N + 1> strides{&out.strides()};
    for (size_t k = 0; k < N; ++k) strides[k + 1] = &in[k].strides();
    const StridedWalk<N + 1> walk(out.shape(), strides);
    const auto steps = walk.inner_strides();
    void* out_base = out.mutable_raw();
    const StoreRow<C> store = row_storer<C>(out.dtype());
    const bool out_in_place = out.dtype() == dtype_of<C> && steps[0] == 1;
    std::vector<Operand<C>> operands;
    bool all_in_place = out_in_place;
    for (size_t k = 0; k < N; ++k) {
        operands.emplace_back(in[k], steps[k + 1]);
        all_in_place = all_in_place && operands[k].in_place;
    }
    const int64_t block = all_in_place ? INT64_MAX : kBlock;
    for_each_row(walk, [&](const auto& at, int64_t count, const auto& step) {
        alignas(64) C blocks[N + 1][kBlock];
        const C* rows[N];
        for (int64_t begin = 0; begin < count; begin += block) {
            const int64_t n = std::min(block, count - begin);
            for (size_t k = 0; k < N; ++k)
                rows[k] = operands[k].row(at[k + 1], step[k + 1], begin, n, blocks[k]);
            C* target = out_in_place ? static_cast<C*>(out_base) + at[0] + begin : blocks[N];
            fn(target, rows, n, static_cast<C>(p), static_cast<C>(q));
            if (!out_in_place) store(out_base, at[0] + begin * step[0], step[0], target, n);
            if (all_in_place) break;
        }
    });
}

template <class C> void run(ElementRow<C> fn, Tensor& out, std::span<const Tensor> in, double p, double q) {
    if constexpr (!std::is_same_v<C, int64_t>)  // integers: functions of two and three operands only
        if (in.size() == 1) return run<C, 1>(fn, out, in, p, q);
    if (in.size() == 2) return run<C, 2>(fn, out, in, p, q);
    run<C, 3>(fn, out, in, p, q);
}

void apply(ElementFn fn, Tensor& out, std::span<const Tensor> in, double p, double q) {
    const ElementwiseIsa& table = elementwise_isa();
    const size_t index = static_cast<size_t>(fn);
    switch (compute_type(fn, out, in)) {
    case DType::f64: return run(table.f64[index], out, in, p, q);
    case DType::i64: return run(table.i64[index], out, in, p, q);
    default: return run(table.f32[index], out, in, p, q);
    }
}

}  // namespace

const ElementwiseKernels elementwise_cpu{apply};

}  // namespace demi
