// The three operators with counts of zero, and with integers that do not fit.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "ops/index_select_cat/index_select_cat.h"
#include "ops/merge_attentions/merge_attentions.h"
#include "ops/scaled_index_add/scaled_index_add.h"
#include "tests/ops/index_support.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/env.h"

namespace demi::test {
namespace {

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
constexpr float kInf = std::numeric_limits<float>::infinity();

// NaN in the memory that results will be made of.
void stain() {
    for (const int64_t n : {1, 16, 48, 96, 128, 256, 512}) Tensor::full({n}, NAN).to(test_device());
}

bool all_are(const Tensor& x, float value) {
    for (const float v : x.to_vector<float>())
        if (v != value) return false;
    return true;
}

bool is_like(const Tensor& x, const Variable& y) { return x.shape() == y.shape() && x.dtype() == y.dtype(); }

// fn(dtype, boundary) for everything that may take another way.
template <class F> void in_all_ways(F&& fn) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64})
        for (const BoundaryMode mode : {BoundaryMode::strict, BoundaryMode::wide, BoundaryMode::off})
            for (const bool explicitly : {false, true})
                for (const GradScale scale : {GradScale::none(), GradScale::automatic()}) {
                    CAPTURE(dtype);
                    CAPTURE(mode);
                    CAPTURE(explicitly);
                    stain();
                    fn(dtype, Boundary{.mode = mode,
                                       .overflow = OverflowPolicy::error,
                                       .grad_scale = scale,
                                       .explicit_casts = explicitly});
                }
}

Variable ones(const Shape& shape, DType dtype, bool grad = true) {
    return Variable(Tensor::full(shape, 1, dtype).to(test_device()), grad);
}

}  // namespace

TEST_CASE("counts of zero: attention, forward and backward") {
    const std::vector<Shape> sizes{{0, 2, 3, 2}, {2, 0, 3, 2}, {2, 3, 0, 2}, {2, 3, 2, 0},
                                   {2, 0, 0, 2}, {0, 0, 0, 0}, {0, 3, 3, 2}};  // B, Mq, Mk, H
    Sample taken(37);
    in_all_ways([&](DType dtype, const Boundary& boundary) {
        for (const Shape& s : sizes)
            for (const double dropout : {0.0, 0.5})
                for (const bool causal : {false, true})
                    for (const Shape& b :
                         {Shape{s[0], s[3], s[1], s[2]}, Shape{s[1], s[2]}, Shape{1, 1, 1, s[2]},
                          Shape{1, 1, s[1], 1}, Shape{1, 1, 1, 1}, Shape{}}) {
                        if (!taken()) continue;
                        CAPTURE(s);
                        CAPTURE(b);
                        const Variable q = ones({s[0], s[1], s[3], 4}, dtype),
                                       k = ones({s[0], s[2], s[3], 4}, dtype),
                                       v = ones({s[0], s[2], s[3], 5}, dtype), bias = ones(b, dtype);
                        Generator generator{1};
                        AttentionOptions options;
                        options.dropout = dropout;
                        options.generator = &generator;
                        options.boundary = boundary;
                        const AttentionBias mask = causal ? LowerTriangularMask{} : AttentionBias{};
                        const AttentionWithLse y = attention_with_lse(q, k, v, mask.add_bias(bias), options);
                        CHECK(y.out.shape() == Shape{s[0], s[1], s[3], 5});
                        CHECK(y.out.dtype() == dtype);
                        CHECK(y.lse.shape() == Shape{s[0], s[3], s[1]});
                        CHECK(all_are(y.out.value(), 0));
                        CHECK(all_are(y.lse.value(), -kInf));
                        y.out.backward(ones(y.out.shape(), dtype).value(), {.retain_graph = true});
                        y.lse.backward(ones(y.lse.shape(), y.lse.dtype()).value());
                        for (const Variable& x : {q, k, v, bias}) {
                            CHECK(is_like(x.grad(), x));
                            CHECK(all_are(x.grad(), 0));
                        }
                        const AttentionWithLse both = merge_attentions({y, y});
                        CHECK(all_are(both.out.value(), 0));
                        CHECK(all_are(both.lse.value(), -kInf));
                    }
    });
    CHECK(has(error_of([] {
                  const Variable x = ones({1, 2, 1, 0}, DType::f32);
                  memory_efficient_attention(x, x, x);
              }),
              "head sizes must be at least 1: got q (1, 2, 1, 0)"));
    CHECK(error_of([] { merge_attentions({}); }) == "[merge_attentions] needs at least one part: got none");
}

TEST_CASE("counts of zero: merged attentions") {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64})
        for (const Shape& s : {Shape{0, 3, 2, 4}, Shape{2, 0, 2, 4}, Shape{2, 3, 0, 4}, Shape{2, 3, 2, 0},
                               Shape{2, 0, 4}, Shape{kHuge, kHuge, 0, 4}}) {
            CAPTURE(s);
            const DType wide = dtype == DType::f64 ? dtype : DType::f32;
            const Variable out = ones(s, dtype), lse = ones({s[0], s.rank() == 3 ? 1 : s[2], s[1]}, wide);
            const AttentionWithLse y = merge_attentions({{out, lse}, {out, lse}});
            CHECK(is_like(y.out.value(), out));
            CHECK(is_like(y.lse.value(), lse));
            y.lse.backward(ones(y.lse.shape(), wide).value());
            CHECK(is_like(out.grad(), out));
            CHECK(is_like(lse.grad(), lse));
            for (const double g : lse.grad().to_vector<double>())
                CHECK(std::fabs(g - 1) < 1e-6);  // both halves
        }
}

TEST_CASE("counts of zero: packed sequences") {
    Sample taken(5);
    in_all_ways([&](DType dtype, const Boundary& boundary) {
        for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{}, {0}, {0, 0}, {0, 3, 0}}) {
            if (!taken()) continue;
            const BlockDiagonalMask mask = BlockDiagonalMask::from_seqlens(lengths);
            const Variable x = ones({1, mask.total_queries(), 2, 4}, dtype);
            AttentionOptions options;
            options.boundary = boundary;
            for (const BlockDiagonalMask& m : {mask, mask.make_causal(), mask.make_local_attention(kHuge)}) {
                const Variable y = memory_efficient_attention(x, x, x, m, options);
                CHECK(is_like(y.value(), x));
                CHECK(all_are(y.value(), 1));
                y.backward(ones(y.shape(), dtype).value());
                CHECK(is_like(x.grad(), x));
            }
            CHECK(mask.split(x).size() == lengths.size());
        }
    });
    // Empty tensors come out with the shapes that they went in with.
    for (const std::vector<Shape>& shapes : {std::vector<Shape>{{0, 5, 8}},
                                             {{0, 5, 8}, {2, 3, 8}, {0, 7, 8}, {2, 0, 8}},
                                             {{0, 0, 8}},
                                             {{2, 3, 0}},
                                             {{0, kHuge, 8}},
                                             {{kHuge / 2 / 2, 0, 8}}}) {
        if (shapes[0][0] > 9) {
            CHECK(has(error_of([&] { BlockDiagonalMask::from_tensor_list({ones(shapes[0], DType::f32)}); }),
                      "needs at most"));
            continue;
        }
        std::vector<Variable> list;
        for (const Shape& s : shapes) list.push_back(ones(s, DType::f32));
        const auto [mask, packed] = BlockDiagonalMask::from_tensor_list(list);
        const std::vector<Variable> parts = mask.split(packed);
        REQUIRE(parts.size() == shapes.size());
        for (size_t i = 0; i < parts.size(); ++i) {
            CHECK(parts[i].shape() == shapes[i]);
            CHECK(mask.make_causal().split(packed)[i].shape() == shapes[i]);
        }
        for (const Variable& part : parts)
            part.backward(ones(part.shape(), DType::f32).value(), {.retain_graph = true});
        for (size_t i = 0; i < parts.size(); ++i) {
            CHECK(is_like(list[i].grad(), list[i]));
            CHECK(all_are(list[i].grad(), 1));
        }
    }
    BlockDiagonalMask grouped = BlockDiagonalMask::from_seqlens({3, 3});
    grouped.set_batch_sizes({0, 2, 0}, {5, 3, 4});
    CHECK(grouped.split(ones({1, 6, 8}, DType::f32))[0].shape() == Shape{0, 5, 8});
    CHECK(grouped.split(ones({1, 6, 8}, DType::f32))[2].shape() == Shape{0, 4, 8});
    CHECK(error_of([] { BlockDiagonalMask::from_tensor_list({}); }) ==
          "[BlockDiagonalMask::from_tensor_list] needs at least one tensor: got none");
}

TEST_CASE("counts of zero: scaled_index_add and index_select_cat, forward and backward") {
    Sample taken(7);
    in_all_ways([&](DType dtype, const Boundary& boundary) {
        for (const Shape& s : {Shape{0, 3, 4, 0}, Shape{3, 0, 4, 2}, Shape{3, 4, 0, 2}, Shape{3, 4, 5, 0},
                               Shape{0, 0, 0, 0}})  // B, M, D, Bi
            for (const bool scaled : {false, true}) {
                if (!taken()) continue;
                CAPTURE(s);
                const Variable x = ones({s[0], s[1], s[2]}, dtype), source = ones({s[3], s[1], s[2]}, dtype),
                               scaling = scaled ? ones({s[2]}, dtype) : Variable();
                const Tensor index = Tensor::zeros({s[3]}, DType::i64).to(test_device());
                const Variable y = scaled_index_add(x, index, source, scaling, 2, boundary);
                CHECK(is_like(y.value(), x));
                CHECK(all_are(y.value(), 1));
                y.backward(ones(y.shape(), dtype).value());
                CHECK(is_like(x.grad(), x));
                CHECK(all_are(x.grad(), 1));
                CHECK(is_like(source.grad(), source));
                if (scaled) CHECK(is_like(scaling.grad(), scaling));
                if (scaled) CHECK(all_are(scaling.grad(), 0));
                const Tensor in_place = x.value().clone();
                scaled_index_add_(in_place, index, source.value(), scaling.value(), 2, boundary);
                CHECK(same_bits(in_place, x.value()) == "");
            }
        for (const Shape& s :
             {Shape{0, 3, 0}, Shape{3, 0, 2}, Shape{3, 4, 0}, Shape{0, 0, 0}, Shape{kHuge, 0, 2}}) {
            if (!taken()) continue;
            CAPTURE(s);  // rows, columns, rows taken
            const Variable a = ones({s[0], s[1]}, dtype), b = ones({2, 3}, dtype);
            const Tensor none = Tensor::zeros({s[2]}, DType::i64).to(test_device());
            for (const bool first : {false, true}) {
                const Variable y = first ? index_select_cat({a, b}, {none, rows_of({1})}, boundary)
                                         : index_select_cat({b, a}, {rows_of({1}), none}, boundary);
                CHECK(y.shape() == Shape{3});
                CHECK(all_are(y.value(), 1));
                y.backward(ones({3}, dtype).value());
                CHECK(is_like(a.grad(), a));
                CHECK(all_are(a.grad(), 0));
                CHECK(all_are(b.grad().select(0, 0), 0));
            }
            const Variable y = index_select_cat({a}, {none}, boundary);
            CHECK(y.shape() == Shape{0});
            y.backward(ones({0}, dtype).value());
            CHECK(all_are(a.grad(), 0));
        }
    });
    CHECK(has(error_of([] { index_select_cat({}, {}); }), "needs at least one source"));
}

}  // namespace demi::test
