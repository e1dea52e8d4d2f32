#include "runtime/json.h"

#include <algorithm>
#include <charconv>

namespace demi {
namespace {

constexpr int kMaxDepth = 8;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Bytes of the well-formed UTF-8 sequence (RFC 3629) that text begins with, or 0.
size_t utf8_length(std::string_view text) {
    const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const unsigned first = byte(0), second = byte(1);
    if (first < 0x80) return 1;
    const size_t length = first >= 0xC2 && first <= 0xDF   ? 2
                          : (first & 0xF0) == 0xE0         ? 3
                          : first >= 0xF0 && first <= 0xF4 ? 4
                                                           : 0;
    if (length == 0 || text.size() < length) return 0;
    for (size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xC0) != 0x80) return 0;
    const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
    const bool outside =
        (first == 0xED && second > 0x9F) || (first == 0xF4 && second > 0x8F);  // surrogates, > 10FFFF
    return overlong || outside ? 0 : length;
}

void append_utf8(std::string& out, uint32_t code) {
    const auto add = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (code < 0x80) {
        add(code);
    } else if (code < 0x800) {
        add(0xC0 | code >> 6);
        add(0x80 | (code & 0x3F));
    } else {
        if (code < 0x10000) {
            add(0xE0 | code >> 12);
        } else {
            add(0xF0 | code >> 18);
            add(0x80 | (code >> 12 & 0x3F));
        }
        add(0x80 | (code >> 6 & 0x3F));
        add(0x80 | (code & 0x3F));
    }
}

// Every method returns whether it succeeded; the first failure sets the error.
class Parser {
  public:
    explicit Parser(std::string_view text) : text_(text) {}

    std::string document(Json& value) {
        if (parse(value, 0)) {
            skip_space();
            if (at_ < text_.size()) wrong("something follows the value");
        }
        return error_;
    }

  private:
    bool wrong(std::string_view what) {
        if (error_.empty()) error_ = std::string(what) + " at byte " + std::to_string(at_);
        return false;
    }

    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

    bool take(char c) {
        if (at_ >= text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }

    void skip_space() {
        while (at_ < text_.size() && std::string_view(" \t\n\r").find(text_[at_]) != std::string_view::npos)
            ++at_;
    }

    bool parse(Json& value, int depth) {
        if (depth > kMaxDepth) return wrong("nested too deeply");
        skip_space();
        switch (peek()) {
        case '{': return object(value, depth);
        case '[': return array(value, depth);
        case '"': value.kind = Json::Kind::string; return string(value.text);
        case 't': return word("true", Json::Kind::boolean, value);
        case 'f': return word("false", Json::Kind::boolean, value);
        case 'n': return word("null", Json::Kind::null, value);
        default: return number(value);
        }
    }

    bool word(std::string_view wanted, Json::Kind kind, Json& value) {
        if (text_.substr(at_, wanted.size()) != wanted) return wrong("no value");
        at_ += wanted.size();
        value.kind = kind;
        value.text = wanted;
        return true;
    }

    bool digits() {
        const size_t begin = at_;
        while (is_digit(peek())) ++at_;
        return at_ > begin;
    }

    bool number(Json& value) {
        const size_t begin = at_;
        take('-');
        if (!take('0') && !digits()) return wrong("no value");
        if (take('.') && !digits()) return wrong("a number ends in its point");
        if (take('e') || take('E')) {
            if (!take('+')) take('-');
            if (!digits()) return wrong("a number has an empty exponent");
        }
        value.kind = Json::Kind::number;
        value.text = text_.substr(begin, at_ - begin);
        return true;
    }

    bool array(Json& value, int depth) {
        value.kind = Json::Kind::array;
        take('[');
        skip_space();
        if (take(']')) return true;
        do {
            if (!parse(value.items.emplace_back(), depth + 1)) return false;
            skip_space();
        } while (take(','));
        return take(']') || wrong("a list has no end");
    }

    bool object(Json& value, int depth) {
        value.kind = Json::Kind::object;
        take('{');
        skip_space();
        if (take('}')) return true;
        do {
            auto& [key, member] = value.members.emplace_back();
            skip_space();
            if (peek() != '"') return wrong("a key must be a string");
            if (!string(key)) return false;
            skip_space();
            if (!take(':')) return wrong("no ':' after a key");
            if (!parse(member, depth + 1)) return false;
            skip_space();
        } while (take(','));
        return take('}') ? unique(value) : wrong("an object has no end");
    }

    bool unique(const Json& value) {
        std::vector<std::string_view> keys;
        for (const auto& member : value.members) keys.push_back(member.first);
        std::sort(keys.begin(), keys.end());
        const auto twice = std::adjacent_find(keys.begin(), keys.end());
        if (twice == keys.end()) return true;
        error_ = "names '" + std::string(*twice) + "' twice";
        return false;
    }

    bool string(std::string& out) {
        take('"');
        while (!take('"')) {
            if (at_ >= text_.size()) return wrong("a string has no end");
            if (static_cast<unsigned char>(text_[at_]) < 0x20)
                return wrong("a control character in a string");
            if (take('\\')) {
                if (!escape(out)) return false;
                continue;
            }
            const size_t length = utf8_length(text_.substr(at_));
            if (length == 0) return wrong("invalid UTF-8");
            out.append(text_.substr(at_, length));
            at_ += length;
        }
        return true;
    }

    bool escape(std::string& out) {
        const char c = peek();
        const size_t known = std::string_view("\"\\/bfnrt").find(c);
        if (c == '\0' || (known == std::string_view::npos && c != 'u')) return wrong("an unknown escape");
        ++at_;
        if (c != 'u') {
            out.push_back("\"\\/\b\f\n\r\t"[known]);
            return true;
        }
        uint32_t code = 0, low = 0;
        if (!hex4(code)) return false;
        if (code >= 0xD800 && code < 0xDC00) {
            if (!take('\\') || !take('u') || !hex4(low) || low < 0xDC00 || low > 0xDFFF)
                return wrong("half a surrogate pair");
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        } else if (code >= 0xDC00 && code < 0xE000) {
            return wrong("half a surrogate pair");
        }
        append_utf8(out, code);
        return true;
    }

    bool hex4(uint32_t& code) {
        const std::string_view hex = text_.substr(at_, 4);
        const auto [end, status] = std::from_chars(hex.data(), hex.data() + hex.size(), code, 16);
        if (hex.size() != 4 || status != std::errc() || end != hex.data() + 4)
            return wrong("\\u needs four hex digits");
        at_ += 4;
        return true;
    }

    std::string_view text_;
    size_t at_ = 0;
    std::string error_;
};

}  // namespace

const Json* Json::find(std::string_view key) const {
    for (const auto& [name, value] : members)
        if (name == key) return &value;
    return nullptr;
}

std::string Json::shown() const {
    std::string out;
    if (is(Kind::string)) {
        append_quoted(out, text);
    } else if (is(Kind::array)) {
        for (const Json& item : items) out += (out.empty() ? "[" : ",") + item.shown();
        out += out.empty() ? "[]" : "]";
    } else if (is(Kind::object)) {
        for (const auto& [key, value] : members) {
            out += out.empty() ? "{" : ",";
            append_quoted(out, key);
            out += ":" + value.shown();
        }
        out += out.empty() ? "{}" : "}";
    } else {
        out = text;
    }
    return out;
}

bool to_size(const Json& value, int64_t& size) {
    if (!value.is(Json::Kind::number) || !is_digit(value.text[0])) return false;
    const char* end = value.text.data() + value.text.size();
    const auto [stop, status] = std::from_chars(value.text.data(), end, size);
    return status == std::errc() && stop == end;
}

std::string parse_json(std::string_view text, Json& value) { return Parser(text).document(value); }

bool append_quoted(std::string& out, std::string_view text) {
    constexpr std::string_view escaped = "\"\\\b\f\n\r\t", letters = "\"\\bfnrt";
    out.push_back('"');
    while (!text.empty()) {
        const size_t length = utf8_length(text);
        if (length == 0) return false;
        const unsigned char c = static_cast<unsigned char>(text[0]);
        if (const size_t known = escaped.find(text[0]); known != std::string_view::npos) {
            out.push_back('\\');
            out.push_back(letters[known]);
        } else if (c < 0x20) {
            out += "\\u00";
            out.push_back("01"[c >> 4]);
            out.push_back("0123456789abcdef"[c & 15]);
        } else {
            out.append(text.substr(0, length));
        }
        text.remove_prefix(length);
    }
    out.push_back('"');
    return true;
}

}  // namespace demi
