// Views where ops expect least: of strided memory, of nothing, without elements.
#include <doctest/doctest.h>

#include <functional>

#include "ops/elementwise/cast.h"
#include "ops/index/gather.h"
#include "ops/index/index_select.h"
#include "ops/linear/linear.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "ops/views/concat.h"
#include "ops/views/split.h"
#include "ops/views/views.h"
#include "runtime/copy.h"
#include "runtime/random.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/gradcheck.h"

namespace demi::test {

TEST_CASE("reshape: a view wherever strides allow it, and so is its gradient") {
    const Tensor whole = Tensor::zeros({4, 6});
    const Variable x(whole.slice(1, 0, 4), true);
    const Variable y = reshape(x, {4, -1, 2});
    CHECK(y.value().buffer() == whole.buffer());
    CHECK(y.value().strides() == Shape{6, 2, 1});
    fill(y.value().select(2, 1), 5);
    CHECK(whole.select(0, 3).to_vector<float>() == std::vector<float>{0, 5, 0, 5, 0, 0});
    const Tensor dy = Tensor::arange(24, DType::f32).view({3, 4, 2}).transpose(0, 1).slice(1, 0, 2);
    y.backward(dy);
    CHECK(same_bits(x.grad(), dy.clone().view({4, 4})) == "");
}

TEST_CASE("reshape: ops that take the view for contiguous memory would read other elements") {
    const auto halves = [](const Vars& x) {  // [6, 4] seen as [2, 3, 2, 2], rows apart
        const Variable seen = reshape(slice(x[0], 1, 0, 4), {2, 3, 2, 2});
        return Vars{index_select(seen, 1, Tensor::from(std::vector<int64_t>{2, 0, 2}, {3})),
                    gather(seen, 2, Tensor::full({2, 3, 1, 2}, 1, DType::i64)), max(seen, {1, 3}),
                    linear(seen, x[1])};
    };
    Generator g{3};
    const Tensor a = randn({6, 7}, g, DType::f64), w = randn({3, 2}, g, DType::f64);
    const Variable u(a, true), v(w, true), p(a.slice(1, 0, 4).clone(), true), q(w, true);
    const Vars strided = halves({u, v}), plain = halves({p, q});
    for (size_t i = 0; i < strided.size(); ++i) {
        CAPTURE(i);
        const Tensor dy = randn(strided[i].shape(), g, DType::f64).transpose(0, -1).clone().transpose(0, -1);
        CHECK(same_bits(strided[i].value().contiguous(), plain[i].value().contiguous()) == "");
        strided[i].backward(dy, {.retain_graph = true});
        plain[i].backward(dy.contiguous(), {.retain_graph = true});
        CHECK(same_bits(u.grad().slice(1, 0, 4).contiguous(), p.grad()) == "");
        CHECK(same_bits(v.grad().defined() ? v.grad() : w, q.grad().defined() ? q.grad() : w) == "");
    }
}

TEST_CASE("views of an undefined Variable are refused by name") {
    const Variable none;
    const std::vector<std::pair<std::string, std::function<void()>>> uses{
        {"reshape", [&] { reshape(none, {0}); }}, {"transpose", [&] { transpose(none, 0, 0); }},
        {"permute", [&] { permute(none, {}); }},  {"slice", [&] { slice(none, 0, 0); }},
        {"select", [&] { select(none, 0, 0); }},  {"expand", [&] { expand(none, {2}); }},
        {"squeeze", [&] { squeeze(none, 0); }},   {"unsqueeze", [&] { unsqueeze(none, 0); }},
        {"split", [&] { split(none, {1}, 0); }},  {"chunk", [&] { chunk(none, 1, 0); }},
        {"unbind", [&] { unbind(none, 0); }},     {"concat", [&] { concat({none}, 0); }},
        {"stack", [&] { stack({none}, 0); }},     {"cast", [&] { cast(none, DType::f32); }},
        {"detach", [&] { detach(none); }},        {"to_device", [&] { to_device(none, Device::cpu()); }}};
    for (const auto& [op, use] : uses) {
        const std::string message = error_of(use);
        CHECK_MESSAGE(has(message, "[" + op + "] "), message);
    }
    CHECK(has(error_of([] { chunk(Tensor::zeros({0}), INT64_MAX, 0); }),
              "[chunk] makes at most 1048576 pieces"));
}

TEST_CASE("gradients of tensors without elements are collected over steps") {
    for (const Shape& shape : {Shape{0, 3}, Shape{3, 0}, Shape{0}}) {
        const Variable x(Tensor::zeros(shape), true);
        for (int step = 0; step < 3; ++step) (sum(x) * 2.0).backward();
        CHECK(x.grad().shape() == shape);
        (mul(expand(sum(x), {2, 0}), 3.0)).backward(Tensor::zeros({2, 0}));
        reshape(x, {0, 5}).backward(Tensor::zeros({0, 5}));
        CHECK(x.grad().shape() == shape);
    }
}

TEST_CASE("stack, chunk and unbind refuse what is undefined, too deep or too much") {
    const Variable none;
    CHECK_THROWS_WITH_AS(stack({none}, 0), "[stack] tensor 0 must be defined", Error);
    CHECK_THROWS_WITH_AS(stack({Tensor::zeros({2})}, 2), "[stack] dimension must be in [-2, 2): got 2",
                         Error);
    CHECK_THROWS_WITH_AS(stack({Tensor::zeros({1, 1, 1, 1, 1, 1, 1, 1})}, 0),
                         doctest::Contains("[stack] needs tensors of at most 7 dimensions"), Error);
    const Tensor empty = Tensor::zeros({0, 3}), long_one = Tensor::zeros({1}).expand({INT64_C(1) << 40});
    CHECK(chunk(empty, 4, 0).size() == 4);
    CHECK_THROWS_WITH_AS(chunk(empty, INT64_MAX, 0),
                         "[chunk] makes at most 1048576 pieces: got 9223372036854775807", Error);
    CHECK_THROWS_AS(chunk(long_one, INT64_C(1) << 40, 0), Error);
    CHECK_THROWS_WITH_AS(unbind(long_one),
                         "[unbind] makes at most 1048576 pieces: got dimension 0 of (1099511627776,)", Error);
}

}  // namespace demi::test
