#include "tests/ops/binary.h"

#include <doctest/doctest.h>

#include "tests/support/compare.h"

namespace demi::test {

void check_mixed_dtypes(Variable (*fn)(const Variable&, const Variable&)) {
    const DType floats[] = {DType::f16, DType::bf16, DType::f32, DType::f64};
    Generator generator{3};
    Tensor x = Tensor::empty({3, 5}, DType::f64), y = Tensor::empty({5}, DType::f64);
    uniform(x, generator, 0.5, 2);
    uniform(y, generator, 0.5, 2);
    for (DType ta : floats)
        for (DType tb : floats) {
            CAPTURE(name(ta));
            CAPTURE(name(tb));
            const Variable a(x.to(ta), true), b(y.to(tb), true);
            const Variable out = fn(a, b);
            CHECK(out.dtype() == promote(ta, tb));
            const std::vector<Tensor> weights = random_weights({out}, 5);
            weighted_sum({out}, weights).backward();
            CHECK(a.grad().dtype() == ta);
            CHECK(b.grad().dtype() == tb);

            const Variable wide_a(x.to(ta).to(DType::f64), true), wide_b(y.to(tb).to(DType::f64), true);
            const Variable want = fn(wide_a, wide_b);
            weighted_sum({want}, {weights[0].to(DType::f64)}).backward();
            CHECK(compare(out.value(), want.value(), rounding_of(out.dtype())) == "");
            CHECK(compare(a.grad(), wide_a.grad(), rounding_of(ta)) == "");
            CHECK(compare(b.grad(), wide_b.grad(), rounding_of(tb)) == "");
        }
}

}  // namespace demi::test
