// Offsets beyond 2^31 elements. The memory is only reserved: a handful of pages of it are touched.
#include <doctest/doctest.h>

#include "ops/index_select_cat/index_select_cat.h"
#include "ops/scaled_index_add/scaled_index_add.h"
#include "runtime/allocator.h"
#include "tests/ops/index_support.h"
#include "tests/support/compare.h"
#include "tests/support/env.h"
#include "tests/support/skip.h"

namespace demi::test {

TEST_CASE("rows more than 2^31 elements away") {
    constexpr int64_t kColumns = 1024, kRows = (int64_t{1} << 31) / kColumns + 3;
    if (!allocator_caches() || quick()) DEMI_SKIP("needs 4 GiB of address space without a sanitizer");
    if (!test_device().is_cpu()) DEMI_SKIP("a test of the CPU kernels");
    Tensor big;
    try {
        big = Tensor::empty({kRows, kColumns}, DType::f16);
    } catch (const Error&) {
        DEMI_SKIP("4 GiB of address space are not to be had");
    }
    const Tensor near = normal_numbers({kColumns}, 1, DType::f16),
                 far = normal_numbers({kColumns}, 2, DType::f16);
    copy(big.select(0, 0), near);
    copy(big.select(0, kRows - 1), far);
    const Variable y = index_select_cat({big}, {rows_of({kRows - 1, 0})});
    CHECK(same_bits(y.value().slice(0, 0, kColumns), far) == "");
    CHECK(same_bits(y.value().slice(0, kColumns, 2 * kColumns), near) == "");

    // the same memory as two rows of [B, M, D], far apart
    const Tensor apart = big.as_strided({2, 1, kColumns}, {(kRows - 1) * kColumns, kColumns, 1}, 0);
    const Tensor zeros = Tensor::zeros({2, 1, kColumns}, DType::f16);
    CHECK(same_bits(scaled_index_add(zeros, rows_of({1, 0}), apart).value(),
                    scaled_index_add(zeros, rows_of({1, 0}), apart.clone()).value()) == "");
    CHECK(same_bits(scaled_index_add(apart, rows_of({1}), near.view({1, 1, kColumns})).value(),
                    scaled_index_add(apart.clone(), rows_of({1}), near.view({1, 1, kColumns})).value()) ==
          "");
    big = Tensor();
    empty_cache();
}

}  // namespace demi::test
