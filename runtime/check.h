#pragma once
// Errors. Every refusal is a demi::Error whose text reads "[op] what was needed: what came".
#include <cstdint>
#include <sstream>
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

// Throws Error(op, parts...) joined as text; parts are anything that prints to a stream.
template <class... Parts>
[[noreturn]] void fail(std::string_view op, const Parts&... parts) {
    std::ostringstream text;
    text << std::boolalpha;
    (text << ... << parts);
    throw Error(op, text.str());
}

template <class... Parts>
void check(bool ok, std::string_view op, const Parts&... parts) {
    if (!ok) [[unlikely]]
        fail(op, parts...);
}

// Sizes from outside are multiplied with care: throws instead of wrapping around.
int64_t checked_mul(int64_t a, int64_t b, std::string_view op);
int64_t checked_add(int64_t a, int64_t b, std::string_view op);

}  // namespace demi
