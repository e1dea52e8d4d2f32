#pragma once

// An ordered list of named values: one line of metrics.jsonl, the options of a run, the environment.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace demi::examples {

using Value = std::variant<bool, int64_t, double, std::string>;

class Record {
  public:
    // Adds a field, or replaces the one of that name in its place. float, double, bool,
    // integers and text are taken.
    template <class T> Record& add(std::string key, const T& value) {
        if constexpr (std::is_same_v<T, bool>)
            return set(std::move(key), Value(value));
        else if constexpr (std::is_same_v<T, float>)
            return set(std::move(key), Value(short_double(value)));
        else if constexpr (std::is_floating_point_v<T>)
            return set(std::move(key), Value(double(value)));
        else if constexpr (std::is_integral_v<T>)
            return set(std::move(key), Value(static_cast<int64_t>(value)));
        else if constexpr (std::is_same_v<T, Value>)
            return set(std::move(key), value);
        else
            return set(std::move(key), Value(std::string(value)));
    }

    const Value* find(std::string_view key) const;
    double number(std::string_view key) const;     // NaN when the field is missing or not a number
    std::string text(std::string_view key) const;  // any value as text; empty when missing

    const std::vector<std::pair<std::string, Value>>& fields() const { return fields_; }
    bool empty() const { return fields_.empty(); }
    bool operator==(const Record&) const = default;

  private:
    Record& set(std::string key, Value value);
    static double short_double(float value);  // the double nearest to the float's shortest decimal text

    std::vector<std::pair<std::string, Value>> fields_;
};

std::string to_text(const Value& value);

// One JSON object on one line. JSON has no NaN and no infinity: they are written as the strings "nan", "inf",
// "-inf", and Record::number reads those back.
std::string to_json(const Record& record);

// Parses one flat JSON object; nothing when the text is not one. Nested values are kept as their JSON text.
std::optional<Record> parse_record(std::string_view json);

}  // namespace demi::examples
