#include "runtime/check.h"

namespace demi {

Error::Error(std::string_view op, std::string_view text)
    : std::runtime_error("[" + std::string(op) + "] " + std::string(text)), op_(op) {}

int64_t checked_mul(int64_t a, int64_t b, std::string_view op) {
    int64_t result = 0;
    check(!__builtin_mul_overflow(a, b, &result), op, "size does not fit 64 bits: ", a, " * ", b);
    return result;
}

int64_t checked_add(int64_t a, int64_t b, std::string_view op) {
    int64_t result = 0;
    check(!__builtin_add_overflow(a, b, &result), op, "size does not fit 64 bits: ", a, " + ", b);
    return result;
}

}  // namespace demi
