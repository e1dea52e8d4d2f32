#pragma once
// Random numbers by counter: Philox-4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
// easy as 1, 2, 3"). Element i of a draw depends on (seed, offset, i) only, so it is the same on
// every device and thread count.
#include <array>
#include <cstdint>
#include <vector>

#include "runtime/tensor.h"

namespace demi {

using Philox = std::array<uint32_t, 4>;
Philox philox4x32(Philox counter, std::array<uint32_t, 2> key);

// 24 random bits as a float in [0, 1).
constexpr float to_uniform(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

// Word `index` of the stream that starts at (seed, offset); four words come from one Philox block.
uint32_t random_word(uint64_t seed, uint64_t offset, uint64_t index);

// A place in a stream. Every draw takes `blocks` Philox blocks and moves the offset behind them.
struct Generator {
    uint64_t seed = 0;
    uint64_t offset = 0;

    struct Draw {
        uint64_t seed, offset;
    };
    Draw take(int64_t words);             // reserves ceil(words / 4) blocks; words >= 0
    uint32_t next_below(uint32_t bound);  // one number in [0, bound), without bias
    float next_uniform();
    std::vector<int64_t> permutation(int64_t n);  // Fisher-Yates
    // An independent generator for a named purpose (data order, dropout, ...).
    Generator fork(uint64_t purpose) const;
    bool operator==(const Generator&) const = default;
};

// Fill a floating-point tensor of any strides, in logical order. Numbers are rounded to its dtype; where that
// would leave the interval, the nearest value of the dtype within is taken.
// [low, high), never high itself; all low where both are equal. Finite bounds that the dtype reaches.
void uniform(Tensor dst, Generator& generator, double low = 0, double high = 1);
void normal(Tensor dst, Generator& generator, double mean = 0, double std = 1);  // finite, std >= 0
// Normal, redrawn until within [low, high] (absolute bounds, as PyTorch's trunc_normal_).
void trunc_normal(Tensor dst, Generator& generator, double mean, double std, double low, double high);

// New tensors: uniform in [0, 1), normal(0, 1), and whole numbers of [low, high), each as likely as another.
// randint takes any dtype that holds all of them exactly; it needs low < high.
Tensor rand(const Shape& shape, Generator& generator, DType dtype = DType::f32,
            Device device = Device::cpu());
Tensor randn(const Shape& shape, Generator& generator, DType dtype = DType::f32,
             Device device = Device::cpu());
Tensor randint(int64_t low, int64_t high, const Shape& shape, Generator& generator, DType dtype = DType::i64,
               Device device = Device::cpu());

}  // namespace demi
