#include "models/state.h"

#include <charconv>

namespace demi {

static const std::string& entry(const Metadata& state, const std::string& key) {
    const auto found = state.find(key);
    check(found != state.end(), "checkpoint", "metadata has no '", key, "'");
    return found->second;
}

template <class T> static T parse(const Metadata& state, const std::string& key) {
    const std::string& text = entry(state, key);
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    check(error == std::errc() && end == text.data() + text.size(), "checkpoint", "metadata '", key,
          "' must be a number: got '", text, "'");
    return value;
}

std::string exact_text(double value) {
    char text[64];
    const auto [end, error] = std::to_chars(text, text + sizeof text, value);
    check(error == std::errc(), "checkpoint", "cannot write a number as text");
    return {text, end};
}

double state_double(const Metadata& state, const std::string& key) { return parse<double>(state, key); }
int64_t state_int(const Metadata& state, const std::string& key) { return parse<int64_t>(state, key); }

void save_generator(Metadata& state, const std::string& key, const Generator& generator) {
    state[key + ".seed"] = std::to_string(generator.seed);
    state[key + ".offset"] = std::to_string(generator.offset);
}

Generator load_generator(const Metadata& state, const std::string& key) {
    return {parse<uint64_t>(state, key + ".seed"), parse<uint64_t>(state, key + ".offset")};
}

}  // namespace demi
