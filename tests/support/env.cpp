#include "tests/support/env.h"

#include <cstdlib>
#include <filesystem>

namespace demi::test {

bool quick() {
    const char* value = std::getenv("DEMI_TEST_QUICK");
    return value && *value && *value != '0';
}

double fuzz_seconds() {
    const char* text = std::getenv("DEMI_FUZZ_SECONDS");
    return text != nullptr ? std::atof(text) : quick() ? 1 : 40;
}

std::string shared_path(const std::string& inside) {
    const char* root = std::getenv("DEMI_SHARED");
    if (!root || !*root) return "";
    const std::filesystem::path path = std::filesystem::path(root) / inside;
    return std::filesystem::exists(path) ? path.string() : "";
}

}  // namespace demi::test
