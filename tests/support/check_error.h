#pragma once
// Texts that tests look into.
#include <sstream>
#include <string>

#include "runtime/check.h"

namespace demi::test {

// Of the Error that fn throws; "" when it throws none. Another kind of exception gets through.
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

template <class T> std::string printed(const T& value) {
    std::ostringstream out;
    out << value;
    return out.str();
}

}  // namespace demi::test
