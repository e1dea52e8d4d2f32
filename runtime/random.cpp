#include "runtime/random.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <new>
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
    check(words >= 0, "random", "a draw cannot take ", words, " words");
    const Draw draw{seed, offset};
    offset += static_cast<uint64_t>(ceil_div(words, 4));
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
    std::vector<int64_t> order;
    try {
        order.resize(static_cast<size_t>(n));
    } catch (const std::bad_alloc&) {
        fail("random", "memory is short for a permutation of ", n);
    }
    std::iota(order.begin(), order.end(), int64_t{0});
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

static void check_target(const Tensor& dst) {
    check(dst.defined() && is_float(dst.dtype()), "random", "needs a floating-point tensor: got ", dst);
}

// The next smaller value of T.
template <class T> static T before(T x) {
    if constexpr (sizeof(T) > 2)
        return std::nextafter(x, -std::numeric_limits<T>::infinity());
    else if ((x.bits & 0x7fff) == 0)
        return T::from_bits(0x8001);
    else
        return T::from_bits(static_cast<uint16_t>(x.bits + ((x.bits & 0x8000) != 0 ? 1 : -1)));
}

// The largest value of the dtype that is below x, or up to x; the smallest from x on.
static double last_below(DType dtype, double x) {
    return dispatch_float(dtype, "random", [&]<class T>() {
        const T near = static_cast<T>(x);
        return static_cast<double>(static_cast<double>(near) < x ? near : before(near));
    });
}
static double last_up_to(DType dtype, double x) {
    return dispatch_float(dtype, "random", [&]<class T>() {
        const T near = static_cast<T>(x);
        return static_cast<double>(static_cast<double>(near) <= x ? near : before(near));
    });
}
static double first_from(DType dtype, double x) { return -last_up_to(dtype, -x); }

// fn(block words) gives up to four values, one element after another.
template <class F> static void fill_blocks(Tensor& dst, Generator& generator, F&& fn) {
    const int64_t count = dst.numel();
    Tensor host = Tensor::empty(dst.shape(), dst.dtype() == DType::f64 ? DType::f64 : DType::f32);
    const Generator::Draw draw = generator.take(count);
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

// A bound that dst's dtype has rounds to itself, so that clamping before the rounding is clamping after it.
void uniform(Tensor dst, Generator& generator, double low, double high) {
    check_target(dst);
    const double most = last_below(dst.dtype(), HUGE_VAL);
    check(-most <= low && low <= high && high <= most && std::isfinite(high - low), "uniform",
          "needs low <= high, their difference finite, both at most ", most, ", the largest ", dst.dtype(),
          ", in size: got ", low, ", ", high);
    const double first = low < high ? first_from(dst.dtype(), low) : low;
    const double last = low < high ? last_below(dst.dtype(), high) : low;
    check(first <= last, "uniform", "there is no ", dst.dtype(), " in [", low, ", ", high, ")");
    fill_blocks(dst, generator, [=](const Philox& words) {
        std::array<double, 4> out;
        for (size_t j = 0; j < 4; ++j)
            out[j] = std::clamp(low + (high - low) * static_cast<double>(to_uniform(words[j])), first, last);
        return out;
    });
}

static std::array<double, 2> box_muller(uint32_t a, uint32_t b) {
    const double radius = std::sqrt(-2 * std::log((static_cast<double>(a) + 1) * 0x1p-32));
    const double angle = 2 * std::numbers::pi * static_cast<double>(b) * 0x1p-32;
    return {radius * std::cos(angle), radius * std::sin(angle)};
}

void normal(Tensor dst, Generator& generator, double mean, double std) {
    check_target(dst);
    check(std::isfinite(mean) && std::isfinite(std) && std >= 0, "normal",
          "needs a finite mean and std >= 0: got ", mean, ", ", std);
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
    check_target(dst);
    const double first = first_from(dst.dtype(), low), last = last_up_to(dst.dtype(), high);
    check(first <= last, "trunc_normal", "there is no ", dst.dtype(), " in [", low, ", ", high, "]");
    Tensor host = Tensor::empty(dst.shape(), DType::f64);
    const Generator::Draw draw = generator.take(
        checked_mul(dst.numel(), 4, "random"));  // one block per element; retries use word 2, 3
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
            out[i] = std::clamp(out[i], first, last);
        }
    });
    copy(dst, host);
}

Tensor rand(const Shape& shape, Generator& generator, DType dtype, Device device) {
    const Tensor t = Tensor::empty(shape, dtype, device);
    uniform(t, generator);
    return t;
}

Tensor randn(const Shape& shape, Generator& generator, DType dtype, Device device) {
    const Tensor t = Tensor::empty(shape, dtype, device);
    normal(t, generator);
    return t;
}

// Whether the dtype has every whole number from low to high.
static bool holds(DType dtype, int64_t low, int64_t high) {
    switch (dtype) {
    case DType::boolean: return low >= 0 && high <= 1;
    case DType::u8: return low >= 0 && high <= UINT8_MAX;
    case DType::i32: return low >= INT32_MIN && high <= INT32_MAX;
    case DType::i64: return true;
    case DType::bf16: return low >= -256 && high <= 256;
    case DType::f16: return low >= -2048 && high <= 2048;
    case DType::f32: return low >= -(1 << 24) && high <= 1 << 24;
    case DType::f64: return low >= -(INT64_C(1) << 53) && high <= INT64_C(1) << 53;
    }
    return false;
}

// One block per element; a number beyond the range, below the next power of two, is drawn again.
Tensor randint(int64_t low, int64_t high, const Shape& shape, Generator& generator, DType dtype,
               Device device) {
    check(low < high, "randint", "needs low < high: got ", low, ", ", high);
    check(holds(dtype, low, high - 1), "randint", dtype, " does not hold all whole numbers from ", low,
          " to ", high - 1);
    Tensor host = Tensor::empty(shape, DType::i64);
    const Generator::Draw draw = generator.take(checked_mul(host.numel(), 4, "random"));
    const uint64_t most = static_cast<uint64_t>(high) - static_cast<uint64_t>(low) - 1;
    const uint64_t mask = most == 0 ? 0 : ~uint64_t{0} >> std::countl_zero(most);
    int64_t* out = host.mutable_data<int64_t>();
    parallel_ranges(host.numel(), 4096, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const uint64_t block = draw.offset + static_cast<uint64_t>(i);
            uint64_t x = 0;
            for (uint32_t attempt = 0; attempt == 0 || x > most; ++attempt) {
                const Philox w =
                    philox4x32({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), attempt, 2},
                               {static_cast<uint32_t>(draw.seed), static_cast<uint32_t>(draw.seed >> 32)});
                x = (uint64_t{w[1]} << 32 | w[0]) & mask;
            }
            out[i] = static_cast<int64_t>(static_cast<uint64_t>(low) + x);
        }
    });
    return host.to(dtype).to(device);
}

}  // namespace demi
