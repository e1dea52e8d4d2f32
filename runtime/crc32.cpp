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

static constexpr uint32_t kZipPolynomial = 0xedb88320u, kCastagnoliPolynomial = 0x82f63b78u;
static constexpr Tables kCastagnoli = tables_of(kCastagnoliPolynomial), kZip = tables_of(kZipPolynomial);

static uint32_t eight(const Tables& tables, uint32_t crc, const unsigned char* at) {
    uint32_t low = 0, high = 0;
    std::memcpy(&low, at, 4);
    std::memcpy(&high, at + 4, 4);
    low ^= crc;
    return tables[7][low & 0xffu] ^ tables[6][(low >> 8) & 0xffu] ^ tables[5][(low >> 16) & 0xffu] ^
           tables[4][low >> 24] ^ tables[3][high & 0xffu] ^ tables[2][(high >> 8) & 0xffu] ^
           tables[1][(high >> 16) & 0xffu] ^ tables[0][high >> 24];
}

static uint32_t run(const Tables& tables, const void* data, size_t bytes, uint32_t start) {
    const unsigned char* at = static_cast<const unsigned char*>(data);
    uint32_t crc = ~start;
    for (; bytes >= 8; bytes -= 8, at += 8) crc = eight(tables, crc, at);
    for (; bytes > 0; --bytes, ++at) crc = (crc >> 8) ^ tables[0][(crc ^ *at) & 0xffu];
    return ~crc;
}

// Polynomials over bits, modulo that of the checksum; the highest bit is the constant term.
static uint32_t multiply(uint32_t polynomial, uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
        if ((a & bit) != 0) product ^= b;
        b = (b >> 1) ^ ((b & 1u) != 0 ? polynomial : 0u);
    }
    return product;
}

// x to the power of 8 * bytes: what bytes of zeros multiply a checksum by.
static uint32_t zeros(uint32_t polynomial, uint64_t bytes) {
    uint32_t product = 1u << 31;
    for (uint32_t power = 1u << 23; bytes > 0; bytes >>= 1) {
        if ((bytes & 1) != 0) product = multiply(polynomial, power, product);
        power = multiply(polynomial, power, power);
    }
    return product;
}

// Each step waits for the one before: long texts are taken as four pieces at once, and joined.
static uint32_t run_long(const Tables& tables, uint32_t polynomial, const void* data, size_t bytes,
                         uint32_t start) {
    constexpr size_t kLong = 16384;
    if (bytes < kLong) return run(tables, data, bytes, start);
    const unsigned char* at = static_cast<const unsigned char*>(data);
    const size_t piece = bytes / 32 * 8;
    uint32_t a = ~start, b = ~0u, c = ~0u, d = ~0u;
    for (const unsigned char* const end = at + piece; at != end; at += 8) {
        a = eight(tables, a, at);
        b = eight(tables, b, at + piece);
        c = eight(tables, c, at + 2 * piece);
        d = eight(tables, d, at + 3 * piece);
    }
    const uint32_t shift = zeros(polynomial, piece);
    uint32_t all = ~a;
    for (const uint32_t next : {b, c, d}) all = multiply(polynomial, shift, all) ^ ~next;
    return run(tables, at + 3 * piece, bytes - 4 * piece, all);
}

uint32_t crc32c(const void* data, size_t bytes, uint32_t start) {
    return run_long(kCastagnoli, kCastagnoliPolynomial, data, bytes, start);
}

uint32_t crc32(const void* data, size_t bytes, uint32_t start) {
    return run_long(kZip, kZipPolynomial, data, bytes, start);
}

uint32_t crc32_joined(uint32_t first, uint32_t second, uint64_t second_bytes) {
    return multiply(kZipPolynomial, zeros(kZipPolynomial, second_bytes), first) ^ second;
}

}  // namespace demi
