#include "runtime/json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "runtime/utf8.h"

namespace demi {
namespace {

// nlohmann's parser calls one of these for each piece; a false return stops it.
class Builder : public nlohmann::json_sax<nlohmann::json> {
  public:
    Builder(Json& root, int max_depth) : root_(root), max_depth_(max_depth) {}

    std::string error;

    bool null() override { return put({}); }
    bool boolean(bool value) override { return put({.kind = Json::Kind::boolean, .boolean = value}); }
    bool number_integer(int64_t value) override {
        return put({.kind = Json::Kind::integer, .integer = value});
    }
    bool number_unsigned(uint64_t value) override {
        return put({.kind = Json::Kind::natural, .natural = value});
    }
    bool number_float(double value, const std::string& digits) override {
        return put({.kind = Json::Kind::real, .real = value, .text = digits});
    }
    bool string(std::string& value) override {
        return put({.kind = Json::Kind::text, .text = std::move(value)});
    }
    bool binary(nlohmann::json::binary_t&) override { return stop("binary data"); }
    bool start_object(size_t) override { return open(Json::Kind::object); }
    bool end_object() override { return close(); }
    bool start_array(size_t) override { return open(Json::Kind::list); }
    bool end_array() override { return close(); }
    bool key(std::string& value) override {
        if (!open_.back().keys.insert(value).second) return stop("names '" + value + "' twice");
        open_.back().value->members.emplace_back(std::move(value), Json());
        return true;
    }
    bool parse_error(size_t, const std::string&, const nlohmann::json::exception& e) override {
        return stop(std::string("is not valid JSON: ") + e.what());
    }

  private:
    struct Open {
        Json* value;
        std::set<std::string> keys;
    };

    bool stop(std::string text) {
        error = std::move(text);
        return false;
    }
    Json& place() {
        if (open_.empty()) return root_;
        Json& parent = *open_.back().value;
        return parent.is(Json::Kind::list) ? parent.items.emplace_back() : parent.members.back().second;
    }
    bool put(Json value) {
        place() = std::move(value);
        return true;
    }
    // The container stays where it is until it is closed: nothing is added to its parent meanwhile.
    bool open(Json::Kind kind) {
        if (static_cast<int>(open_.size()) >= max_depth_) return stop("is nested too deeply");
        Json& value = place();
        value.kind = kind;
        open_.push_back({&value, {}});
        return true;
    }
    bool close() {
        open_.pop_back();
        return true;
    }

    Json& root_;
    int max_depth_;
    std::vector<Open> open_;
};

void dump_to(std::string& out, const Json& value) {
    const auto join = [&](const auto& all, char first, char last, const auto& one) {
        out += first;
        for (size_t i = 0; i < all.size(); ++i) {
            if (i > 0) out += ',';
            one(all[i]);
        }
        out += last;
    };
    const auto quote = [&](const std::string& text) {
        if (!append_json(out, text)) out += "null";  // the parser lets nothing else than UTF-8 in
    };
    switch (value.kind) {
    case Json::Kind::null: out += "null"; break;
    case Json::Kind::boolean: out += value.boolean ? "true" : "false"; break;
    case Json::Kind::integer: out += std::to_string(value.integer); break;
    case Json::Kind::natural: out += std::to_string(value.natural); break;
    case Json::Kind::real: out += value.text; break;
    case Json::Kind::text: quote(value.text); break;
    case Json::Kind::list: join(value.items, '[', ']', [&](const Json& item) { dump_to(out, item); }); break;
    case Json::Kind::object:
        join(value.members, '{', '}', [&](const auto& member) {
            quote(member.first);
            out += ':';
            dump_to(out, member.second);
        });
        break;
    }
}

}  // namespace

const Json* Json::find(std::string_view key) const {
    for (const auto& [name, value] : members)
        if (name == key) return &value;
    return nullptr;
}

std::string Json::dump() const {
    std::string out;
    dump_to(out, *this);
    return out;
}

Json parse_json(std::string_view text, int max_depth) {
    if (text.find('\0') != std::string_view::npos)  // nlohmann takes it for the end of the text
        throw std::runtime_error("is not valid JSON: it holds a NUL byte");
    Json root;
    Builder builder(root, max_depth);
    if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder))
        throw std::runtime_error(builder.error);
    return root;
}

bool append_json(std::string& out, std::string_view text) {
    constexpr const char* kHex = "0123456789abcdef";
    out += '"';
    while (!text.empty()) {
        const CodePoint c = decode_utf8(text);
        if (!c.valid) return false;
        const size_t escape =
            c.bytes == 1 ? std::string_view("\"\\\b\f\n\r\t").find(text[0]) : std::string_view::npos;
        if (escape != std::string_view::npos)
            (out += '\\') += "\"\\bfnrt"[escape];
        else if (c.value < 0x20)
            ((out += "\\u00") += kHex[c.value >> 4]) += kHex[c.value & 15];
        else
            out += text.substr(0, c.bytes);
        text.remove_prefix(c.bytes);
    }
    out += '"';
    return true;
}

}  // namespace demi
