#include "examples/train/usage.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <numeric>

namespace demi::examples {
namespace {

// Letters to add, drop, change or swap with their neighbour.
size_t distance(const std::string& a, const std::string& b) {
    std::vector<size_t> older, old(b.size() + 1), row(b.size() + 1);
    std::iota(old.begin(), old.end(), size_t{0});
    for (size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            row[j] = std::min({old[j] + 1, row[j - 1] + 1, old[j - 1] + (a[i - 1] != b[j - 1])});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = std::min(row[j], older[j - 2] + 1);
        }
        older = old;
        old = row;
    }
    return old.back();
}

void replace(std::string& text, const std::string& from, const std::string& to) {
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
        text.replace(at, from.size(), to);
}

// "labelSmoothing" and "Label_Smoothing" as "label-smoothing".
std::string usual_spelling(const std::string& word) {
    std::string out;
    for (size_t i = 0; i < word.size(); ++i) {
        const bool capital = word[i] >= 'A' && word[i] <= 'Z';
        if (capital && i > 0 && word[i - 1] >= 'a' && word[i - 1] <= 'z') out += '-';
        out += capital ? static_cast<char>(word[i] + 32) : word[i] == '_' ? '-' : word[i];
    }
    return out;
}

}  // namespace

std::string nearest_name(const std::string& word, const std::vector<std::string>& names) {
    const std::string usual = usual_spelling(word);
    const auto best = std::min_element(names.begin(), names.end(), [&](const auto& a, const auto& b) {
        return distance(usual, a) < distance(usual, b);
    });
    return best != names.end() && distance(usual, *best) <= 2 + usual.size() / 8 ? *best : "";
}

std::string unknown_arguments(const std::vector<std::string>& rest, const std::vector<std::string>& names) {
    // A flag says more than the value behind it.
    const auto flag =
        std::find_if(rest.begin(), rest.end(), [](const auto& r) { return r.starts_with("-"); });
    if (rest.empty()) return "unknown arguments";
    const std::string word = flag == rest.end() ? rest.front() : flag->substr(0, flag->find('='));
    std::string text = "unknown argument '" + word + "'";
    const std::string near = flag == rest.end() ? "" : nearest_name(word, names);
    return near.empty() ? text : text + ", did you mean " + near + "?";
}

std::string plain_range(std::string text) {
    const std::string name = text.substr(0, text.find(':'));
    if (text.find(" required ") != std::string::npos && text.ends_with("missing"))
        return name + " needs a value";
    if (text.find("At Most 1 required") != std::string::npos) return name + " is given more than once";
    if (const size_t at = text.find("Value "), end = text.find(" not in range"); end != std::string::npos) {
        const std::string value = text.substr(at + 6, end - at - 6);
        char* rest = nullptr;
        std::strtod(value.c_str(), &rest);
        if (*rest != '\0' || value.empty()) return name + ": '" + value + "' is not a number";
    }
    const std::string most = " to " + std::to_string(INT64_MAX);
    if (const size_t at = text.find(most); at != std::string::npos) {
        text.erase(at, most.size());
        replace(text, "not in range ", "is not a whole number of at least ");
    }
    for (size_t at = text.find('.'); at != std::string::npos; at = text.find('.', at + 1)) {
        size_t end = at + 1;
        while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
        if (end - at != 7) continue;  // std::to_string writes six digits
        size_t keep = end;
        while (text[keep - 1] == '0') --keep;
        if (keep - 1 == at) keep = at;
        text.erase(keep, end - keep);
    }
    return text;
}

}  // namespace demi::examples
