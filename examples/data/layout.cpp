#include "examples/data/layout.h"

#include <algorithm>
#include <array>

#include "examples/data/folder.h"
#include "runtime/check.h"

namespace demi::data {
namespace fs = std::filesystem;
namespace {

enum Role { kTrain, kVal, kTest, kNone };

struct Part {
    fs::path path;
    bool flat = false;                 // pictures in the folder itself
    std::vector<std::string> classes;  // subfolders with pictures
};

std::string lower_name(const fs::path& path) {
    std::string name = path.filename().string();
    for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return name;
}

Role role_of(const fs::path& path) {
    const std::string name = lower_name(path);
    if (name == "train" || name == "training") return kTrain;
    if (name == "val" || name == "valid" || name == "validation" || name == "dev") return kVal;
    return name == "test" || name == "testing" ? kTest : kNone;
}

// The usual spelling first: "train" before "Train" and "training", "val" before "dev".
bool more_usual(const Part& a, const Part& b) {
    constexpr std::array kOrder = {"train",      "training", "val",  "valid",
                                   "validation", "dev",      "test", "testing"};
    const auto rank = [&](const Part& part) {
        const std::string exact = part.path.filename().string(), lower = lower_name(part.path);
        const auto at = std::find(kOrder.begin(), kOrder.end(), lower) - kOrder.begin();
        return 2 * at + (exact == lower ? 0 : 1);
    };
    return rank(a) < rank(b);
}

Part look(const fs::path& path) {
    Part part{path, holds_pictures_itself(path), {}};
    for (const fs::path& inside : subfolders(path))
        if (holds_pictures(inside)) part.classes.push_back(inside.filename().string());
    return part;
}

bool share_a_class(const Part& a, const Part& b) {
    return std::any_of(a.classes.begin(), a.classes.end(), [&](const std::string& name) {
        return std::find(b.classes.begin(), b.classes.end(), name) != b.classes.end();
    });
}

Layout classes_in(const fs::path& folder) { return {folder, {}, {}, {}}; }

}  // namespace

Layout find_layout(const fs::path& folder) {
    std::array<std::vector<Part>, 4> roles;
    for (const fs::path& path : subfolders(folder)) {
        Part part = look(path);
        if (part.flat || !part.classes.empty()) roles[role_of(path)].push_back(std::move(part));
    }
    for (auto& list : roles) std::stable_sort(list.begin(), list.end(), more_usual);
    const auto& [train, val, test, others] = roles;
    const bool flat_here = holds_pictures_itself(folder);

    if (train.empty()) {
        const bool has_classes = std::any_of(val.begin(), val.end(), [](const Part& p) { return !p.flat; }) ||
                                 std::any_of(test.begin(), test.end(), [](const Part& p) { return !p.flat; });
        if (others.empty() && !flat_here && has_classes) {
            check(val.size() + test.size() == 1, "data", folder.string(), ": ",
                  (val.empty() ? test : val)[0].path.filename().string(), " and ",
                  (test.empty() ? val[1] : test[0]).path.filename().string(),
                  " lie there, but no train; --data of one of them uses it alone");
            return classes_in((val.empty() ? test : val)[0].path);
        }
        if (others.size() == 1 && val.empty() && test.empty() && !flat_here && !others[0].flat) {
            Layout inside = find_layout(others[0].path);
            if (inside.train != others[0].path) return inside;
        }
        return classes_in(folder);
    }

    const Part& main = train[0];
    std::vector<const Part*> partners;
    for (const auto* list : {&val, &test})
        for (const Part& part : *list) partners.push_back(&part);
    const bool alone = others.empty() && !flat_here;
    const bool agree = std::any_of(partners.begin(), partners.end(),
                                   [&](const Part* part) { return share_a_class(main, *part); });
    // "train" with classes in it beside folders without any: those are no classes of the same set.
    const bool deeper =
        !main.flat && main.classes.size() > 1 &&
        std::all_of(others.begin(), others.end(), [](const Part& p) { return p.classes.empty(); }) &&
        std::none_of(partners.begin(), partners.end(), [](const Part* p) { return p->classes.empty(); });
    if (!alone && !agree && !(deeper && (flat_here || !others.empty()))) return classes_in(folder);

    Layout layout{main.path, {}, {}, {}};
    const auto leave_out = [&](const Part& part, const char* why) {
        layout.left_out.push_back(part.path.filename().string() + "/ (" + why + ")");
    };
    const auto take = [&](const std::vector<Part>& list, fs::path& place) {
        for (const Part& part : list) {
            if (!main.flat && part.classes.empty())
                leave_out(part, "its pictures have no classes");
            else if (place.empty())
                place = part.path;
            else
                leave_out(part, "there is another of its kind");
        }
    };
    take(val, layout.val);
    take(test, layout.test);
    for (size_t i = 1; i < train.size(); ++i) leave_out(train[i], "there is another of its kind");
    for (const Part& part : others) leave_out(part, "neither train, val nor test");
    if (flat_here) layout.left_out.emplace_back("the pictures in the folder itself");
    return layout;
}

}  // namespace demi::data
