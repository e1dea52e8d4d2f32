#include "runtime/comm/tree_sum.h"

#include <doctest/doctest.h>

#include "runtime/comm/communicator.h"
#include "runtime/copy.h"
#include "runtime/random.h"
#include "tests/support/check_error.h"

namespace demi {

using test::error_of, test::has;

static std::vector<Tensor> parts_of(int64_t count) {
    Generator generator{7, 0};
    std::vector<Tensor> parts;
    for (int64_t i = 0; i < count; ++i) parts.push_back(randn({33}, generator));
    return parts;
}

static Tensor sum_of(const std::vector<Tensor>& parts, size_t begin, size_t end) {  // by the definition
    if (end - begin == 1) return parts[begin].clone();
    size_t half = 1;
    while (half * 2 < end - begin) half *= 2;
    Tensor sum = sum_of(parts, begin, begin + half);
    accumulate(sum, sum_of(parts, begin + half, end));
    return sum;
}

TEST_CASE("tree_sum: the order of additions depends on the number of parts alone") {
    for (int64_t count = 1; count <= 24; ++count) {
        const std::vector<Tensor> parts = parts_of(count);
        const std::vector<float> expected = sum_of(parts, 0, parts.size()).to_vector<float>();
        for (int64_t ranks = 1; ranks <= count; ++ranks) {
            if (count % ranks != 0) continue;
            TreeSum all;
            for (int64_t r = 0; r < ranks; ++r) {
                const int64_t begin = r * count / ranks, end = (r + 1) * count / ranks;
                TreeSum own(begin);
                for (int64_t i = begin; i < end; ++i) own.add(parts[static_cast<size_t>(i)].clone());
                const std::vector<int64_t> sizes = TreeSum::block_sizes(begin, end);
                const std::vector<Tensor> blocks = own.take_blocks();
                REQUIRE(blocks.size() == sizes.size());
                for (size_t b = 0; b < blocks.size(); ++b) all.add(blocks[b], sizes[b]);
            }
            CHECK(all.take().to_vector<float>() == expected);
            CHECK(all.empty());
        }
    }
}

TEST_CASE("tree_sum: what is no subtree is refused") {
    TreeSum sum(2);
    CHECK(has(error_of([&] { sum.add(Tensor::zeros({1}), 4); }), "a whole subtree: got 4 parts from 2"));
    CHECK(has(error_of([&] { sum.take(); }), "nothing to sum"));
    CHECK(has(error_of([&] { sum.add(Tensor::zeros({1}, DType::i32)); }), "float tensors"));
}

TEST_CASE("communicator: a job of one rank") {
    const Communicator one;
    Generator generator{3, 0};
    const Tensor x = randn({4, 3}, generator);
    CHECK((one.rank() == 0 && one.size() == 1 && one.engine() == "self"));
    for (const Tensor& y : {one.all_gather(x), one.all_to_all(x), one.reduce_scatter(x), one.all_reduce(x)}) {
        CHECK(y.to_vector<float>() == x.to_vector<float>());
        CHECK(y.buffer() != x.buffer());
    }
    const Tensor flat = x.reshape({12});
    CHECK(one.gather(flat, {12}).to_vector<float>() == x.to_vector<float>());
    CHECK(one.scatter(flat, {12}, DType::f32, Device::cpu()).to_vector<float>() == x.to_vector<float>());
    CHECK(one.all_gather_text("a") == std::vector<std::string>{"a"});
    one.broadcast(x);
    one.barrier();
    CHECK(has(error_of([&] { one.all_gather(Tensor()); }), "at least one dimension"));
    CHECK(has(error_of([&] { one.all_reduce(Tensor::zeros({2}, DType::f16)); }), "f32 or f64"));
    CHECK(has(error_of([&] { one.gather(flat, {11}); }), "with 11 elements"));
}

}  // namespace demi
