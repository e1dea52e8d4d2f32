// Ops over several ranks: values, and gradients as if one rank held the parts of all.
#include "ops/collective/collective.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "runtime/comm/tree_sum.h"
#include "runtime/random.h"
#include "tests/ranks/check.h"

namespace demi::ranks {
namespace {

Tensor tensor_of(int rank, const Shape& shape, DType dtype) {
    Generator generator{static_cast<uint64_t>(rank) + 29, 0};
    return randn(shape, generator, dtype).to(test_device());
}

bool same(const Tensor& a, const Tensor& b) {
    return a.shape() == b.shape() && a.dtype() == b.dtype() && a.to_vector<double>() == b.to_vector<double>();
}

void run(Cases& cases, const Communicator& world, DType dtype) {
    const int size = world.size(), rank = world.rank();
    const std::string kind = " of " + std::string(name(dtype));
    const DType wide = dtype == DType::f64 ? DType::f64 : DType::f32;
    // Loss of rank r: <w_r, all_gather(x)>. d / dx_r of all losses together: the sum of blocks r of all w.
    cases.run("gradient of all_gather" + kind, [&] {
        const Variable x(tensor_of(rank, {3, 2}, dtype), true);
        const Variable y = all_gather(x, world);
        sum(y * Variable(tensor_of(rank + 100, {3 * size, 2}, dtype))).backward();
        TreeSum expected;
        for (int r = 0; r < size; ++r)
            expected.add(
                tensor_of(r + 100, {3 * size, 2}, dtype).slice(0, 3 * rank, 3 * rank + 3).to(wide).clone());
        return same(x.grad(), expected.take().to(dtype));
    });
    cases.run("reduce_scatter and its gradient" + kind, [&] {
        const Variable x(tensor_of(rank, {2 * size}, dtype), true);
        const Variable y = reduce_scatter(x, world);
        sum(y * Variable(tensor_of(rank + 100, {2}, dtype))).backward();
        TreeSum expected;
        for (int r = 0; r < size; ++r)
            expected.add(tensor_of(r, {2 * size}, dtype).slice(0, 2 * rank, 2 * rank + 2).to(wide).clone());
        bool good = same(y.value(), expected.take().to(dtype));
        for (int r = 0; r < size; ++r)
            good = good && same(x.grad().slice(0, 2 * r, 2 * r + 2), tensor_of(r + 100, {2}, dtype));
        return good;
    });
}

}  // namespace
}  // namespace demi::ranks

int main() {
    return demi::ranks::run_cases([](auto& cases, auto& world) {
        for (demi::DType dtype : {demi::DType::f32, demi::DType::f64, demi::DType::bf16, demi::DType::f16})
            demi::ranks::run(cases, world, dtype);
    });
}
