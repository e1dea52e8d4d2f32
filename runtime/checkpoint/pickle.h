#pragma once
// Internal: Python's pickle (protocols 2 to 5) read as data. Nothing is imported, called or built: what the
// pickle would call becomes a value that says so. Everything is bounded by the bytes that are there.
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace demi {

struct PickleValue {
    enum class Kind : uint8_t {
        none,     // None, and numbers and bytes that no checkpoint needs
        boolean,  // number
        integer,  // number
        text,     // text
        tuple,    // items
        list,     // items
        dict,     // items: key, value, key, value, ...
        global,   // text: "torch._utils._rebuild_tensor_v2"
        storage,  // items: of the persistent id
        tensor,   // items: arguments of the rebuilding function
        object    // text: the class or function that Python would have called
    };
    Kind kind = Kind::none;
    int64_t number = 0;
    std::string_view text = {};
    std::vector<uint32_t> items = {};

    bool is(Kind k) const { return kind == k; }
};

// A list may hold itself, and one value may stand in many places: every walk must be bounded.
struct Pickle {
    std::shared_ptr<const std::string> bytes;  // what texts point into
    std::set<std::string> globals;             // and those of globals and objects
    std::vector<PickleValue> values;
    uint32_t root = 0;

    const PickleValue& operator[](uint32_t id) const { return values[id]; }
};

// Throws Error("checkpoint", "'path': data.pkl ...", byte offset, opcode): for what is no pickle, for an opcode outside
// the subset, and for a call of a function that could harm when Python opens the file.
Pickle parse_pickle(std::string bytes, const std::string& path);

}  // namespace demi
