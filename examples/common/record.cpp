#include "examples/common/record.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "examples/common/format.h"
#include "examples/common/text.h"
#include "runtime/json.h"

namespace demi::examples {

Record& Record::set(std::string key, Value value) {
    for (auto& field : fields_) {
        if (field.first != key) continue;
        field.second = std::move(value);
        return *this;
    }
    fields_.emplace_back(std::move(key), std::move(value));
    return *this;
}

double Record::short_double(float value) {
    if (!std::isfinite(value)) return value;
    char text[32];
    const char* end = std::to_chars(text, text + sizeof text, value).ptr;
    double out = 0;
    std::from_chars(text, end, out);
    return out;
}

const Value* Record::find(std::string_view key) const {
    for (const auto& field : fields_)
        if (field.first == key) return &field.second;
    return nullptr;
}

double Record::number(std::string_view key) const {
    const Value* value = find(key);
    if (value == nullptr) return std::numeric_limits<double>::quiet_NaN();
    if (const auto* d = std::get_if<double>(value)) return *d;
    if (const auto* i = std::get_if<int64_t>(value)) return static_cast<double>(*i);
    if (const auto* b = std::get_if<bool>(value)) return *b ? 1 : 0;
    const std::string& text = std::get<std::string>(*value);
    if (text == "inf") return std::numeric_limits<double>::infinity();
    if (text == "-inf") return -std::numeric_limits<double>::infinity();
    return std::numeric_limits<double>::quiet_NaN();
}

std::string Record::text(std::string_view key) const {
    const Value* value = find(key);
    return value == nullptr ? std::string() : to_text(*value);
}

std::string to_text(const Value& value) {
    if (const auto* b = std::get_if<bool>(&value)) return *b ? "true" : "false";
    if (const auto* i = std::get_if<int64_t>(&value)) return std::to_string(*i);
    if (const auto* d = std::get_if<double>(&value)) return shortest(*d);
    return std::get<std::string>(value);
}

std::string to_json(const Record& record) {
    std::string out = "{";
    for (const auto& [key, value] : record.fields()) {
        if (out.size() > 1) out += ", ";
        out += json_quote(key) + ": ";
        const auto* d = std::get_if<double>(&value);
        const bool quoted =
            std::holds_alternative<std::string>(value) || (d != nullptr && !std::isfinite(*d));
        out += quoted ? json_quote(to_text(value)) : to_text(value);
    }
    return out + "}";
}

std::optional<Record> parse_record(std::string_view json) {
    Json object;
    try {
        object = parse_json(json, 16);
    } catch (const std::runtime_error&) {
        return std::nullopt;
    }
    if (!object.is(Json::Kind::object)) return std::nullopt;
    Record record;
    for (const auto& [key, value] : object.members) {
        switch (value.kind) {
        case Json::Kind::boolean: record.add(key, value.boolean); break;
        case Json::Kind::integer: record.add(key, value.integer); break;
        case Json::Kind::natural: record.add(key, value.natural); break;
        case Json::Kind::real: record.add(key, value.real); break;
        case Json::Kind::text: record.add(key, value.text); break;
        default: record.add(key, value.dump());
        }
    }
    return record;
}

}  // namespace demi::examples
