#pragma once
// The text of the Error that fn throws; "" when it throws none. Another kind of exception gets through.
#include <string>

#include "runtime/check.h"

namespace demi::test {

template <class F> std::string error_of(F&& fn) {
    try {
        fn();
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

inline bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace demi::test
