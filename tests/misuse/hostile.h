#pragma once
// What hostile.cpp and hostile_structs.cpp share.
#include <limits>
#include <map>
#include <sstream>
#include <utility>

#include "tests/misuse/walk.h"

namespace demi::test {

using Pools = std::map<std::type_index, std::vector<Hostile>>;
constexpr int64_t kMin = std::numeric_limits<int64_t>::min(), kMax = std::numeric_limits<int64_t>::max();
constexpr double kInf = std::numeric_limits<double>::infinity(),
                 kNan = std::numeric_limits<double>::quiet_NaN();

// Every kind of tensor, by name.
const std::vector<std::pair<std::string, std::function<Tensor()>>>& hostile_tensors();
void add_tensors(Pools& pools);     // Tensors, Variables, and lists of them
void add_structs(Pools& pools);     // devices, boundaries, masks, texts, functions, options
void add_parameters(Pools& pools);  // named parameters, with leaves of their own

template <class T> std::string text_of(const T& value) {
    std::ostringstream text;
    text << value;
    return text.str();
}

template <class T> void value(Pools& pools, const std::string& text, T item) {
    pools[typeid(T)].push_back({text, [item] { return std::any(item); }});
}

}  // namespace demi::test
