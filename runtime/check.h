#pragma once
// Errors. Every refusal is a demi::Error whose text reads "[op] what was needed: what came".
#include <cstdint>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace demi {

class Error : public std::runtime_error {
  public:
    Error(std::string_view op, std::string_view text);
    const std::string& op() const { return op_; }

  private:
    std::string op_;
};

namespace detail {

// One part of a message: what to print, and how. Only the printing depends on the type,
// so a check costs few bytes.
struct Part {
    const void* value;
    void (*print)(std::ostream& out, const void* value);
};

template <class T> void print_value(std::ostream& out, const void* value) {
    out << *static_cast<const T*>(value);
}
void print_text(std::ostream& out, const void* text);

template <class T> Part part(const T& value) { return {std::addressof(value), print_value<T>}; }
template <size_t N> Part part(const char (&text)[N]) { return {text, print_text}; }

[[noreturn]] void fail_with(std::string_view op, const Part* parts, size_t count);

}  // namespace detail

// Throws Error(op, parts...) joined as text; parts are anything that prints to a stream.
template <class... Parts>
[[noreturn]] [[gnu::cold, gnu::noinline]] void fail(std::string_view op, const Parts&... parts) {
    const detail::Part all[] = {detail::part(parts)...};
    detail::fail_with(op, all, sizeof...(parts));
}

template <class... Parts> void check(bool ok, std::string_view op, const Parts&... parts) {
    if (!ok) [[unlikely]]
        fail(op, parts...);
}

// Sizes from outside are multiplied with care: throws instead of wrapping around.
int64_t checked_mul(int64_t a, int64_t b, std::string_view op);
int64_t checked_add(int64_t a, int64_t b, std::string_view op);

}  // namespace demi
