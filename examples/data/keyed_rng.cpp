#include "examples/data/keyed_rng.h"

#include <cmath>

namespace demi::data {

KeyedRng::KeyedRng(uint64_t seed, Purpose purpose, uint64_t epoch, uint64_t index, uint32_t view)
    : index_(index), view_(view) {
    // One round of Philox turns (purpose, epoch) into the key of the stream; the counter holds the rest.
    const auto mixed = philox4x32({static_cast<uint32_t>(epoch), static_cast<uint32_t>(epoch >> 32),
                                   static_cast<uint32_t>(purpose), 0x64656d69u},
                                  {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
    key_ = {mixed[0], mixed[1]};
}

uint32_t KeyedRng::bits() {
    if (used_ == 4) {
        numbers_ = philox4x32(
            {block_++, view_, static_cast<uint32_t>(index_), static_cast<uint32_t>(index_ >> 32)}, key_);
        used_ = 0;
    }
    return numbers_[static_cast<size_t>(used_++)];
}

float KeyedRng::uniform() { return to_uniform(bits()); }

float KeyedRng::uniform(float low, float high) {
    const float x = low + (high - low) * uniform();
    return x < high ? x : std::nextafter(high, low);  // rounded up to its end
}

int64_t KeyedRng::below(int64_t n) {
    return static_cast<int64_t>((static_cast<uint64_t>(bits()) * static_cast<uint64_t>(n)) >> 32);
}

bool KeyedRng::chance(float probability) { return uniform() < probability; }

float KeyedRng::bell() {
    const uint32_t b = bits();
    const auto sum = static_cast<float>((b & 255) + (b >> 8 & 255) + (b >> 16 & 255) + (b >> 24));
    return (sum - 510.0f) / 147.80055f;  // four bytes: each has variance (256^2 - 1) / 12
}

}  // namespace demi::data
