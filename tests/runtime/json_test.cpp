#include "runtime/json.h"

#include <doctest/doctest.h>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/random.h"
#include "tests/support/env.h"

using demi::Json;
using demi::parse_json;

namespace {

std::string parsed(const std::string& text) {
    Json value;
    return parse_json(text, value);
}

// The same document as another library reads it.
bool same(const Json& ours, const nlohmann::json& other) {
    switch (other.type()) {
    case nlohmann::json::value_t::null: return ours.is(Json::Kind::null);
    case nlohmann::json::value_t::boolean: return ours.is(Json::Kind::boolean) && ours.text == other.dump();
    case nlohmann::json::value_t::string:
        return ours.is(Json::Kind::string) && ours.text == other.get<std::string>();
    case nlohmann::json::value_t::array:
        if (!ours.is(Json::Kind::array) || ours.items.size() != other.size()) return false;
        for (size_t i = 0; i < other.size(); ++i)
            if (!same(ours.items[i], other[i])) return false;
        return true;
    case nlohmann::json::value_t::object:
        if (!ours.is(Json::Kind::object) || ours.members.size() != other.size()) return false;
        for (const auto& [key, value] : ours.members)
            if (!other.contains(key) || !same(value, other[key])) return false;
        return true;
    default: break;
    }
    int64_t size = -1;
    const bool whole = other.is_number_unsigned() && other.get<uint64_t>() <= uint64_t{INT64_MAX};
    return ours.is(Json::Kind::number) && demi::to_size(ours, size) == whole &&
           (!whole || size == static_cast<int64_t>(other.get<uint64_t>()));
}

// Reads with the other library; it keeps the last of two equal keys, so those are looked for in passing.
bool other_reads(const std::string& text, nlohmann::json& value) {
    std::vector<std::set<std::string>> keys;
    bool twice = false;
    const nlohmann::json::parser_callback_t watch = [&](int, nlohmann::json::parse_event_t event,
                                                        nlohmann::json& at) {
        if (event == nlohmann::json::parse_event_t::object_start) keys.emplace_back();
        if (event == nlohmann::json::parse_event_t::object_end) keys.pop_back();
        if (event == nlohmann::json::parse_event_t::key)
            twice |= !keys.back().insert(at.get<std::string>()).second;
        return true;
    };
    value = nlohmann::json::parse(text, watch, false);
    return !value.is_discarded() && !twice;
}

}  // namespace

TEST_CASE("json reads what the format allows") {
    Json value;
    REQUIRE(parse_json(" {\"a\" : [1, -2.5e+3, true, null], \"b\\n\\u00e9\\ud83d\\ude00\": {} }\n", value) ==
            "");
    CHECK(value.find("a")->items.size() == 4);
    CHECK(value.find("a")->items[1].text == "-2.5e+3");
    CHECK(value.find("b\n\xC3\xA9\xF0\x9F\x98\x80")->is(Json::Kind::object));
    CHECK(value.find("c") == nullptr);
    CHECK(value.shown() == "{\"a\":[1,-2.5e+3,true,null],\"b\\n\xC3\xA9\xF0\x9F\x98\x80\":{}}");
}

TEST_CASE("json names what is wrong") {
    CHECK(parsed("") == "no value at byte 0");
    CHECK(parsed("{\"a\":1") == "an object has no end at byte 6");
    CHECK(parsed("[1,]") == "no value at byte 3");
    CHECK(parsed("{\"a\":1,\"a\":2}") == "names 'a' twice");
    CHECK(parsed("{\"a\":1} x") == "something follows the value at byte 8");
    CHECK(parsed("\"a\nb\"") == "a control character in a string at byte 2");
    CHECK(parsed("\"\\ud800\"") == "half a surrogate pair at byte 7");
    CHECK(parsed(std::string(100000, '[')).starts_with("nested too deeply"));
    for (const char* bad : {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\xFF", "\x80"})
        CHECK(parsed('"' + std::string(bad) + '"').starts_with("invalid UTF-8"));
    for (const char* bad :
         {"01", "1.", ".5", "+1", "1e", "--1", "nul", "\"\\x\"", "\"\\u12g4\"", "\"\\u+123\"", "{1:2}"})
        CHECK_MESSAGE(parsed(bad) != "", bad);
}

TEST_CASE("sizes are whole numbers of 63 bits") {
    const auto size_of = [](const std::string& text) {
        Json value;
        int64_t size = -1;
        REQUIRE(parse_json(text, value) == "");
        return demi::to_size(value, size) ? size : -1;
    };
    CHECK(size_of("0") == 0);
    CHECK(size_of("9223372036854775807") == INT64_MAX);
    for (const char* bad : {"9223372036854775808", "-0", "-1", "1.0", "1e3", "\"1\"", "true", "null", "[1]"})
        CHECK_MESSAGE(size_of(bad) == -1, bad);
}

TEST_CASE("damaged documents are judged as another library judges them") {
    const std::string whole = "{\"__metadata__\":{\"k\\u00e9\\\\\":\"\xC3\xA9\\ud83d\\ude00 "
                              "x\"},\"a.b\":{\"dtype\":\"F32\",\"shape\":[2,30],"
                              "\"data_offsets\":[0,240]},\"c\":{\"dtype\":\"U8\",\"shape\":[],\"data_"
                              "offsets\":[240,241]} , \"d\":[-1.5e-7,true,null]}";
    const std::string bytes = "{}[]\",:\\u0e9dD8.-+ \n\x80\xC3\xE2\xF0\x1F";
    demi::Generator generator{11};
    int accepted = 0;
    for (int round = 0; round < (demi::test::quick() ? 3000 : 40000); ++round) {
        std::string text = whole;
        for (uint32_t edits = generator.next_below(3) + 1; edits > 0; --edits) {
            const uint32_t at = generator.next_below(static_cast<uint32_t>(text.size()));
            const char byte = bytes[generator.next_below(static_cast<uint32_t>(bytes.size()))];
            switch (generator.next_below(4)) {
            case 0: text[at] = byte; break;
            case 1: text.insert(at, 1, byte); break;
            case 2: text.erase(at, 1 + generator.next_below(3)); break;
            default:
                text.insert(at, text.substr(generator.next_below(static_cast<uint32_t>(text.size())), 6));
                break;
            }
        }
        Json ours;
        nlohmann::json other;
        const std::string error = parse_json(text, ours);
        const bool reads = other_reads(text, other);
        accepted += reads;
        REQUIRE_MESSAGE((error == "") == reads, text << "   " << error);
        if (reads) REQUIRE_MESSAGE(same(ours, other), text);
    }
    CHECK(accepted > 100);
}

TEST_CASE("quoted text is read back by both") {
    for (const std::string& text : {std::string("a\"b\\c/\b\f\n\r\t\x01\x1f\x7f"), std::string("\0nul", 4),
                                    std::string("\xC3\xA9\xF0\x9F\x98\x80")}) {
        std::string quoted;
        REQUIRE(demi::append_quoted(quoted, text));
        Json value;
        CHECK(parse_json(quoted, value) == "");
        CHECK(value.text == text);
        CHECK(nlohmann::json::parse(quoted).get<std::string>() == text);
        CHECK(nlohmann::json(text).dump() == quoted);
    }
    std::string quoted;
    CHECK_FALSE(demi::append_quoted(quoted, "\xC3"));
}
