#pragma once
// A stream of random numbers that is a pure function of its key: seed, purpose, epoch, sample and view.
// The same numbers in whatever order and on whatever thread they are drawn.
#include <array>
#include <cstddef>
#include <cstdint>

#include "runtime/random.h"

namespace demi::data {

enum class Purpose : uint32_t { draw = 1, shuffle, crop, color, mix, split, part, trivial };

class KeyedRng {
  public:
    KeyedRng(uint64_t seed, Purpose purpose, uint64_t epoch, uint64_t index, uint32_t view = 0);

    uint32_t bits();
    float uniform();                       // [0, 1), 24 bits
    float uniform(float low, float high);  // [low, high)
    int64_t below(int64_t n);              // 0 .. n-1, 1 <= n <= 2^31
    bool chance(float probability);
    float bell();  // mean 0, variance 1, |x| < 3.5 (a sum of four bytes)

  private:
    std::array<uint32_t, 2> key_;
    uint64_t index_;
    uint32_t view_;
    uint32_t block_ = 0;
    int used_ = 4;
    std::array<uint32_t, 4> numbers_{};
};

}  // namespace demi::data
