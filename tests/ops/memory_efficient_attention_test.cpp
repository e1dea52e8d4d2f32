// The test grid of the reference implementation, against an oracle in double, with bounds
// that notice a wrong digit.
#include "ops/memory_efficient_attention/memory_efficient_attention.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>

#include "tests/ops/attention_oracle.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/env.h"
#include "tests/support/gradcheck.h"

namespace demi::test {
namespace {

struct GridCase {
    int64_t batch, queries, keys, heads, size, value_size;
};

// One mask for each case, in turn. Block-diagonal ones cut the lengths into uneven parts.
std::vector<int64_t> parts(int64_t length) {
    if (length < 3) return {length};
    return {length / 2, 1, length - length / 2 - 1};
}
constexpr int kMasks = 10;
AttentionBias mask_of(int kind, const GridCase& c) {
    const BlockDiagonalMask blocks = c.queries < 3 || c.keys < 3
                                         ? BlockDiagonalMask::from_seqlens({c.queries}, {c.keys})
                                         : BlockDiagonalMask::from_seqlens(parts(c.queries), parts(c.keys));
    switch (kind % kMasks) {
    case 1: return LowerTriangularMask{};
    case 2: return LowerTriangularFromBottomRightMask{};
    case 3: return LowerTriangularFromBottomRightLocalAttentionMask{7};
    case 4: return LocalAttentionFromBottomRightMask{11, 3};
    case 5: return blocks;
    case 6: return blocks.make_causal();
    case 7: return blocks.make_causal_from_bottomright();
    case 8: return blocks.make_local_attention(5);
    case 9: return blocks.make_local_attention_from_bottomright(9);
    default: return {};
    }
}

// Relative L2 errors that rounding operands (exact here) and results to the dtype explains.
struct Bounds {
    double forward, backward;
};
Bounds bounds_of(DType dtype) {
    if (dtype == DType::f16) return {4e-4, 5e-4};
    if (dtype == DType::bf16) return {3e-3, 4e-3};
    if (dtype == DType::f64) return {1e-13, 1e-12};
    return {2e-6, 4e-6};
}

// `room`: where a row sees one or two keys its gradient is a difference of equal numbers,
// and its own size no measure.
void check_case(GridCase c, int kind, DType dtype, double room = 1) {
    const AttentionBias mask = mask_of(kind, c);
    if (mask.is_block_diagonal()) c.batch = 1;
    CAPTURE(c.batch);
    CAPTURE(c.queries);
    CAPTURE(c.keys);
    CAPTURE(c.heads);
    CAPTURE(c.size);
    CAPTURE(c.value_size);
    CAPTURE(dtype);
    CAPTURE(mask.describe());
    const auto seed = static_cast<uint64_t>(c.batch * c.queries + c.keys * c.size + c.keys);
    OracleCase o;
    o.q = normal_tensor({c.batch, c.queries, c.heads, c.size}, seed, dtype);
    o.k = normal_tensor({c.batch, c.keys, c.heads, c.size}, seed + 1, dtype);
    o.v = normal_tensor({c.batch, c.keys, c.heads, c.value_size}, seed + 2, dtype);
    if (kind % 2 == 1 && c.queries == c.keys && c.size == c.value_size) {
        const Packed p = packed_qkv(c.batch, c.queries, c.heads, c.size, seed, dtype);
        o.q = p.q;
        o.k = p.k;
        o.v = p.v;
    }
    const Shape out_shape{c.batch, c.queries, c.heads, c.value_size};
    o.grad_out = kind % 3 == 0 ? Tensor::full({1, 1, 1, 1}, 1, dtype).to(test_device()).expand(out_shape)
                               : normal_tensor(out_shape, seed + 3, dtype);
    o.mask = mask.materialize(c.queries, c.keys);
    const AttentionOracle want = attention_oracle(o);

    const Variable q(o.q, true), k(o.k, true), v(o.v, true);
    AttentionOptions options;
    options.boundary.mode = BoundaryMode::off;
    const AttentionWithLse got = attention_with_lse(q, k, v, mask, options);
    got.out.backward(o.grad_out);
    Bounds bounds = bounds_of(dtype);
    if (std::max(c.queries, c.keys) > 10000) room *= 4;  // long f32 sums
    bounds = {room * bounds.forward, room * bounds.backward};
    CHECK(got.out.dtype() == dtype);
    CHECK(relative_l2(got.out.value(), want.out) <= bounds.forward);
    CHECK(compare(got.lse.value(), want.lse, {2e-5, 2e-6}) == "");
    CHECK(relative_l2(q.grad(), want.grad_q) <= bounds.backward);
    CHECK(relative_l2(k.grad(), want.grad_k) <= bounds.backward);
    CHECK(relative_l2(v.grad(), want.grad_v) <= bounds.backward);
    CHECK(q.grad().dtype() == dtype);
}

std::vector<GridCase> grid() {
    std::vector<GridCase> cases;
    for (const int64_t m : {32, 256})
        for (const int64_t n : {32, 64, 256, 1024})
            for (const int64_t k : {32, 128}) cases.push_back({2, m, n, 1, k, k});
    for (const int64_t m : {2, 3, 15, 31, 32, 34, 68, 72, 90, 132, 136}) {
        cases.push_back({2, m, 128, 1, 32, 32});
        cases.push_back({2, 256, m, 1, 32, 32});
        cases.push_back({2, m, m, 2, 16, 16});
    }
    for (const int64_t k : {1, 2, 3, 31, 34, 36, 38, 40, 64, 80, 160, 256, 258, 264, 512})
        cases.push_back({1, 256, 128, 1, k, k});
    for (const int64_t k : {32, 36, 64, 264}) {
        cases.push_back({1, 64, 64, 2, k, 48});
        cases.push_back({1, 64, 64, 2, 48, k});
    }
    cases.push_back({1, 16, 1024, 1, 64, 64});
    cases.push_back({1, 1024, 16, 1, 64, 64});
    for (const int64_t h : {3, 5, 12}) cases.push_back({2, 32, 32, h, 32, 32});
    cases.push_back({1, 128, 128, 30, 16, 16});
    cases.push_back({13, 1, 67, 20, 8, 8});
    return cases;
}

}  // namespace

TEST_CASE("attention: the grid against double") {
    int kind = 0;
    for (const GridCase& c : grid()) {
        for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
            if ((quick() && (kind % 7 != 0 || c.queries * c.keys > 40000)) ||
                (emulated() && (kind % 3 == 0 || c.batch * c.queries * c.keys * c.heads > 10000))) {
                ++kind;
                continue;
            }
            check_case(c, kind++, dtype);
        }
    }
}

TEST_CASE("attention: heads of 129 to 256") {
    for (const DType dtype : {DType::f16, DType::bf16}) {
        check_case({1, 35, 40, 1, 200, 168}, 0, dtype);
        check_case({1, 24, 24, 2, 136, 256}, 7, dtype);
    }
}

// The GPU has kernels of their own for these: lengths around their tiles, none and block-diagonal masks.
TEST_CASE("attention: heads of 64 and 128 where every key is seen") {
    const std::vector<std::pair<int64_t, int64_t>> lengths = {{1, 1},   {17, 16}, {50, 50},   {33, 65},
                                                              {64, 97}, {65, 64}, {129, 113}, {257, 257}};
    int i = 0;
    for (const auto& [queries, keys] : lengths) {
        if ((emulated() || quick()) && queries > 200) continue;
        for (const int64_t size : {64, 128})
            for (const DType dtype : {DType::f16, DType::bf16})
                check_case({2, queries, keys, 2, size, size}, i++ % 2 == 0 ? 0 : 5, dtype,
                           queries < 3 ? 200 : 1);
    }
    const int64_t tokens = emulated() || quick() ? 131 : 1313;
    for (const DType dtype : {DType::f16, DType::bf16}) check_case({1, tokens, tokens, 1, 64, 64}, 5, dtype);
}

TEST_CASE("attention: every mask at two tiles' length") {
    for (int kind = 0; kind < kMasks; ++kind) {
        const int64_t few = emulated() ? 70 : 300, many = emulated() ? 150 : 430;
        check_case({1, few, many, 2, 24, 24}, kind, DType::f32);
        check_case({1, many, few, 1, 16, 20}, kind, DType::f16);
        check_case({2, 20, 30, 2, 7, 5}, kind, DType::f64);
    }
}

TEST_CASE("attention: very long, one side short") {
    const int64_t length = emulated() ? 4097 : 65537;
    check_case({1, length, 4, 1, 8, 8}, 0, DType::f16);
    check_case({1, 4, length, 1, 8, 8}, 0, DType::f32);
    check_case({1, length + 4463, 3, 1, 1, 2}, 1, DType::f32);
}

// After a fixed sequence small shapes, for DEMI_FUZZ_SECONDS (default 40); DEMI_FUZZ_SEED: another sequence.
TEST_CASE("attention: random shapes") {
    const char* seed = std::getenv("DEMI_FUZZ_SEED");
    const double seconds = fuzz_seconds();
    const auto begin = std::chrono::steady_clock::now();
    const auto elapsed = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    Generator g{seed ? std::strtoull(seed, nullptr, 10) : 20240611};
    const auto below = [&](uint32_t n) { return static_cast<int64_t>(g.next_below(n)); };
    const int fixed = emulated() ? 7 : quick() ? 10 : 120;
    int i = 0;
    for (; i < fixed || elapsed() < seconds; ++i) {
        const uint32_t length = i >= fixed ? 40 : emulated() ? 100 : 200, size = i < fixed ? 90 : 24;
        const GridCase c{1 + below(3), 1 + below(length), 1 + below(length),
                         1 + below(4), 1 + below(size),   1 + below(size)};
        check_case(c, static_cast<int>(below(kMasks)),
                   i % 3 == 0   ? DType::f16
                   : i % 3 == 1 ? DType::f32
                                : DType::bf16,
                   i < fixed && !seed ? 1 : 200);
    }
    MESSAGE(std::to_string(i), " random cases");
}

TEST_CASE("attention: finite differences") {
    const auto attend = [](const AttentionBias& mask, double scale, bool with_bias) {
        return [=](const Vars& x) -> Vars {
            AttentionOptions options;
            options.scale = scale;
            const AttentionWithLse y =
                attention_with_lse(x[0], x[1], x[2], with_bias ? mask.add_bias(x[3]) : mask, options);
            return {y.out, y.lse};
        };
    };
    const auto tensors = [](int64_t b, int64_t m, int64_t n, int64_t h) {
        const auto cpu = [](const Shape& shape, uint64_t seed) {
            return normal_tensor(shape, seed, DType::f64).to(Device::cpu());
        };
        return std::vector<Tensor>{cpu({b, m, h, 5}, 1), cpu({b, n, h, 5}, 2), cpu({b, n, h, 3}, 3)};
    };
    CHECK(gradcheck(attend({}, 0.4, false), tensors(2, 6, 7, 2)) == "");
    CHECK(gradcheck(attend(LowerTriangularMask{}, 1, false), tensors(1, 7, 7, 1)) == "");
    CHECK(gradcheck(attend(LocalAttentionFromBottomRightMask{2, 1}, -0.7, false), tensors(1, 5, 9, 2)) == "");
    CHECK(gradcheck(attend(BlockDiagonalMask::from_seqlens({2, 4}, {5, 2}).make_causal(), 0.3, false),
                    tensors(1, 6, 7, 2)) == "");
    for (const Shape& shape : {Shape{2, 2, 6, 7}, Shape{1, 2, 6, 7}, Shape{2, 1, 6, 7}, Shape{6, 7}}) {
        std::vector<Tensor> x = tensors(2, 6, 7, 2);
        x.push_back(normal_tensor(shape, 4, DType::f64).to(Device::cpu()));
        CHECK(gradcheck(attend({}, 0.4, true), x) == "");
        CHECK(gradcheck(attend(LowerTriangularMask{}, 0.4, true), x) == "");
    }
}

TEST_CASE("attention: tensor bias, broadcast in every way") {
    const int64_t keys = emulated() ? 80 : 300;
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
        for (const int64_t bb : {1, 2})
            for (const int64_t bh : {1, 3}) {
                OracleCase o;
                o.q = normal_tensor({2, 70, 3, 24}, 1, dtype);
                o.k = normal_tensor({2, keys, 3, 24}, 2, dtype);
                o.v = normal_tensor({2, keys, 3, 24}, 3, dtype);
                o.bias = normal_tensor({bb, bh, 70, keys}, 4, dtype);
                o.grad_out = normal_tensor({2, 70, 3, 24}, 5, dtype);
                const AttentionOracle want = attention_oracle(o);
                const Variable q(o.q, true), k(o.k, true), v(o.v, true), bias(o.bias, true);
                AttentionOptions options;
                options.boundary.mode = BoundaryMode::off;
                const Variable out = memory_efficient_attention(q, k, v, bias, options);
                out.backward(o.grad_out);
                const Bounds bounds = bounds_of(dtype);
                CHECK(relative_l2(out.value(), want.out) <= bounds.forward);
                CHECK(relative_l2(q.grad(), want.grad_q) <= bounds.backward);
                CHECK(relative_l2(k.grad(), want.grad_k) <= bounds.backward);
                CHECK(relative_l2(v.grad(), want.grad_v) <= bounds.backward);
                const Tensor sum = Tensor::zeros({bb, bh, 70, keys}, DType::f64);
                const std::vector<double> all = want.grad_bias.to_vector<double>();
                double* to = Tensor(sum).mutable_data<double>();
                for (int64_t i = 0; i < static_cast<int64_t>(all.size()); ++i) {
                    const int64_t b = i / (3 * 70 * keys) % bb, h = i / (70 * keys) % 3 % bh;
                    to[(b * bh + h) * 70 * keys + i % (70 * keys)] += all[static_cast<size_t>(i)];
                }
                CHECK(relative_l2(bias.grad(), sum) <= bounds.backward);
                CHECK(bias.grad().dtype() == dtype);
            }
}

TEST_CASE("attention: rank 3 is one head") {
    const Tensor q = normal_tensor({2, 9, 8}, 1), k = normal_tensor({2, 11, 8}, 2),
                 v = normal_tensor({2, 11, 6}, 3);
    const Variable q3(q, true), q4(q.unsqueeze(2), true);
    const Variable a = memory_efficient_attention(q3, k, v),
                   b = memory_efficient_attention(q4, k.unsqueeze(2), v.unsqueeze(2));
    CHECK(a.shape() == Shape{2, 9, 6});
    CHECK(same_bits(a.value(), b.value().squeeze(2)) == "");
    a.backward(Tensor::full(a.shape(), 1).to(test_device()));
    b.backward(Tensor::full(b.shape(), 1).to(test_device()));
    CHECK(q3.grad().shape() == q3.shape());
    CHECK(same_bits(q3.grad(), q4.grad().squeeze(2)) == "");
}

}  // namespace demi::test
