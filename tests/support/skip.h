#pragma once
#include <string>

// doctest cannot skip a case that is already running. DEMI_SKIP("why") leaves the case; the TAP line then
// says "# SKIP why", which `meson test` and tests/run.sh count as skipped rather than passed.
namespace demi::test {
void mark_skipped(const std::string& why);
std::string take_skipped();
}  // namespace demi::test

#define DEMI_SKIP(why) \
    do { \
        ::demi::test::mark_skipped(why); \
        return; \
    } while (false)
