#pragma once

// A folder that is gone after the test.

#include <stdlib.h>

#include <filesystem>
#include <string>

struct TemporaryFolder {
    std::string path;

    TemporaryFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "demi-test-XXXXXX").string();
        path = ::mkdtemp(name.data());
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    std::string operator/(const std::string& name) const { return path + "/" + name; }
};

// The text of the Error that fn throws; empty when it throws none.
template <class Fn> std::string error_of(Fn fn) {
    try {
        fn();
    } catch (const std::exception& error) {
        return error.what();
    }
    return {};
}

inline bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}
