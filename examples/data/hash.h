#pragma once
// A 64-bit fingerprint of bytes (not against malice): eight bytes per step, multiplied and folded.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace demi::data {

class Hash {
  public:
    Hash& add(const void* bytes, size_t count) {
        const auto* p = static_cast<const unsigned char*>(bytes);
        step(count);
        for (; count >= 8; p += 8, count -= 8) {
            uint64_t word;
            std::memcpy(&word, p, 8);
            step(word);
        }
        uint64_t tail = 0;
        for (size_t i = 0; i < count; ++i) tail |= static_cast<uint64_t>(p[i]) << (8 * i);
        step(tail);
        return *this;
    }
    Hash& add(std::string_view text) { return add(text.data(), text.size()); }
    Hash& add(int64_t number) {
        step(static_cast<uint64_t>(number));
        return *this;
    }
    uint64_t value() const { return state_ ^ (state_ >> 32); }

  private:
    void step(uint64_t word) {
        state_ = (state_ ^ word) * 0x9e3779b97f4a7c15u;
        state_ ^= state_ >> 29;
    }

    uint64_t state_ = 0x6c62272e07bb0142u;
};

}  // namespace demi::data
