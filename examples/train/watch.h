#pragma once
// Long evaluations call a Watch now and then with what is done of the whole; it may
// throw Interrupted to end them.
#include <cstdint>
#include <functional>

namespace demi::examples {

struct Interrupted {};
using Watch = std::function<void(int64_t done, int64_t total)>;

}  // namespace demi::examples
