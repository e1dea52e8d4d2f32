#include "runtime/random.h"

#include <cmath>
#include <numbers>
#include <numeric>

#include "runtime/copy.h"
#include "runtime/parallel.h"

namespace demi {

Philox philox4x32(Philox c, std::array<uint32_t, 2> key) {
    for (int round = 0; round < 10; ++round) {
        const uint64_t a = uint64_t{0xD2511F53u} * c[0];
        const uint64_t b = uint64_t{0xCD9E8D57u} * c[2];
        c = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ key[0], static_cast<uint32_t>(b),
             static_cast<uint32_t>(a >> 32) ^ c[3] ^ key[1], static_cast<uint32_t>(a)};
        key[0] += 0x9E3779B9u;
        key[1] += 0xBB67AE85u;
    }
    return c;
}

static Philox block_at(uint64_t seed, uint64_t block) {
    return philox4x32({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0},
                      {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
}

uint32_t random_word(uint64_t seed, uint64_t offset, uint64_t index) {
    return block_at(seed, offset + index / 4)[index % 4];
}

Generator::Draw Generator::take(int64_t words) {
    const Draw draw{seed, offset};
    offset += static_cast<uint64_t>((words + 3) / 4);
    return draw;
}

uint32_t Generator::next_below(uint32_t bound) {
    check(bound > 0, "random", "bound must be positive: got 0");
    const uint32_t threshold = (0u - bound) % bound;  // 2^32 mod bound: words below it would bias the result
    for (;;) {
        const Draw draw = take(1);
        const uint64_t product = uint64_t{random_word(draw.seed, draw.offset, 0)} * bound;
        if (static_cast<uint32_t>(product) >= threshold) return static_cast<uint32_t>(product >> 32);
    }
}

float Generator::next_uniform() {
    const Draw draw = take(1);
    return to_uniform(random_word(draw.seed, draw.offset, 0));
}

std::vector<int64_t> Generator::permutation(int64_t n) {
    check(n >= 0 && n < INT64_C(0xffffffff), "random", "length of a permutation must be in [0, 2^32): got ",
          n);
    std::vector<int64_t> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    for (size_t i = order.size(); i > 1; --i)
        std::swap(order[i - 1], order[next_below(static_cast<uint32_t>(i))]);
    return order;
}

Generator Generator::fork(uint64_t purpose) const {
    const Philox words =
        philox4x32({static_cast<uint32_t>(purpose), static_cast<uint32_t>(purpose >> 32), 0, 0x666f726bu},
                   {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
    return {uint64_t{words[1]} << 32 | words[0], 0};
}

// fn(block words, i) gives up to four values of elements i..i+3.
template <class F> static void fill_blocks(Tensor& dst, Generator& generator, F&& fn) {
    check(dst.defined() && is_float(dst.dtype()), "random", "needs a floating-point tensor: got ",
          describe(dst));
    const int64_t count = dst.numel();
    const Generator::Draw draw = generator.take(count);
    Tensor host = Tensor::empty(dst.shape(), dst.dtype() == DType::f64 ? DType::f64 : DType::f32);
    dispatch_float(host.dtype(), "random", [&]<class T>() {
        if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) {
            T* out = host.mutable_data<T>();
            parallel_ranges(ceil_div(count, 4), 4096, [&](int64_t begin, int64_t end) {
                for (int64_t b = begin; b < end; ++b) {
                    const auto values = fn(block_at(draw.seed, draw.offset + static_cast<uint64_t>(b)));
                    for (int64_t j = 0; j < 4 && 4 * b + j < count; ++j)
                        out[4 * b + j] = static_cast<T>(values[static_cast<size_t>(j)]);
                }
            });
        }
    });
    copy(dst, host);
}

void uniform(Tensor dst, Generator& generator, double low, double high) {
    fill_blocks(dst, generator, [=](const Philox& words) {
        std::array<double, 4> out;
        for (size_t j = 0; j < 4; ++j)
            out[j] = low + (high - low) * static_cast<double>(to_uniform(words[j]));
        return out;
    });
}

static std::array<double, 2> box_muller(uint32_t a, uint32_t b) {
    const double radius = std::sqrt(-2 * std::log((static_cast<double>(a) + 1) * 0x1p-32));
    const double angle = 2 * std::numbers::pi * static_cast<double>(b) * 0x1p-32;
    return {radius * std::cos(angle), radius * std::sin(angle)};
}

void normal(Tensor dst, Generator& generator, double mean, double std) {
    fill_blocks(dst, generator, [=](const Philox& w) {
        const auto x = box_muller(w[0], w[1]), y = box_muller(w[2], w[3]);
        return std::array<double, 4>{mean + std * x[0], mean + std * x[1], mean + std * y[0],
                                     mean + std * y[1]};
    });
}

void trunc_normal(Tensor dst, Generator& generator, double mean, double std, double low, double high) {
    check(low < high && std > 0, "trunc_normal", "needs low < high and std > 0: got ", low, ", ", high, ", ",
          std);
    check(std::erf((high - mean) / std / std::numbers::sqrt2) -
                  std::erf((low - mean) / std / std::numbers::sqrt2) >
              1e-3,
          "trunc_normal", "bounds [", low, ", ", high, "] leave almost nothing of a normal of mean ", mean,
          ", std ", std);
    check(dst.defined() && is_float(dst.dtype()), "random", "needs a floating-point tensor: got ",
          describe(dst));
    const Generator::Draw draw =
        generator.take(dst.numel() * 4);  // one block per element; retries use word 2, 3
    Tensor host = Tensor::empty(dst.shape(), DType::f64);
    double* out = host.mutable_data<double>();
    parallel_ranges(dst.numel(), 4096, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const uint64_t block = draw.offset + static_cast<uint64_t>(i);
            for (uint32_t attempt = 0;; ++attempt) {
                const Philox w =
                    philox4x32({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), attempt, 1},
                               {static_cast<uint32_t>(draw.seed), static_cast<uint32_t>(draw.seed >> 32)});
                out[i] = mean + std * box_muller(w[0], w[1])[0];
                if (out[i] >= low && out[i] <= high) break;
            }
        }
    });
    copy(dst, host);
}

}  // namespace demi
