#include "runtime/check.h"

#include <sstream>

namespace demi {

Error::Error(std::string_view op, std::string_view text)
    : std::runtime_error(std::string("[").append(op).append("] ").append(text)), op_(op) {}

void detail::print_text(std::ostream& out, const void* text) { out << static_cast<const char*>(text); }

void detail::fail_with(std::string_view op, const Part* parts, size_t count) {
    std::ostringstream text;
    text << std::boolalpha;
    for (size_t i = 0; i < count; ++i) parts[i].print(text, parts[i].value);
    throw Error(op, text.str());
}

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
