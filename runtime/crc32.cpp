#include <array>
#include <cstdint>
#include <cstring>

#include "runtime/checkpoint/zip.h"
#include "runtime/safetensors.h"

namespace demi {

using Tables = std::array<std::array<uint32_t, 256>, 8>;

// Eight tables take eight bytes a step; the polynomial is reflected.
static constexpr Tables tables_of(uint32_t polynomial) {
    Tables tables{};
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) ? polynomial : 0u);
        tables[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; ++i)
        for (size_t t = 1; t < 8; ++t)
            tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 0xffu];
    return tables;
}

static constexpr uint32_t kZipPolynomial = 0xedb88320u;
static constexpr Tables kCastagnoli = tables_of(0x82f63b78u), kZip = tables_of(kZipPolynomial);

static uint32_t run(const Tables& tables, const void* data, size_t bytes, uint32_t start) {
    const unsigned char* at = static_cast<const unsigned char*>(data);
    uint32_t crc = ~start;
    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint32_t low = 0, high = 0;
        std::memcpy(&low, at, 4);
        std::memcpy(&high, at + 4, 4);
        low ^= crc;
        crc = tables[7][low & 0xffu] ^ tables[6][(low >> 8) & 0xffu] ^ tables[5][(low >> 16) & 0xffu] ^
              tables[4][low >> 24] ^ tables[3][high & 0xffu] ^ tables[2][(high >> 8) & 0xffu] ^
              tables[1][(high >> 16) & 0xffu] ^ tables[0][high >> 24];
    }
    for (; bytes > 0; --bytes, ++at) crc = (crc >> 8) ^ tables[0][(crc ^ *at) & 0xffu];
    return ~crc;
}

uint32_t crc32c(const void* data, size_t bytes, uint32_t start) {
    return run(kCastagnoli, data, bytes, start);
}

uint32_t crc32(const void* data, size_t bytes, uint32_t start) { return run(kZip, data, bytes, start); }

// Polynomials over bits, modulo that of the checksum; the highest bit is the constant term.
static uint32_t multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
        if ((a & bit) != 0) product ^= b;
        b = (b >> 1) ^ ((b & 1u) != 0 ? kZipPolynomial : 0u);
    }
    return product;
}

uint32_t crc32_joined(uint32_t first, uint32_t second, uint64_t second_bytes) {
    uint32_t power = 1u << 23;  // x^8: one byte of zeros
    for (; second_bytes > 0; second_bytes >>= 1) {
        if ((second_bytes & 1) != 0) first = multiply(power, first);
        power = multiply(power, power);
    }
    return first ^ second;
}

}  // namespace demi
