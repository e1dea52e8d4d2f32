#include "examples/common/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "examples/common/files.h"
#include "runtime/check.h"

namespace demi::examples {
namespace {

namespace fs = std::filesystem;

// config.json is an object of objects, one field per line; read and written through flat records.
std::string config_text(const RunConfig& config) {
    const auto section = [](const char* name, const Record& record) {
        std::string out = std::string("  \"") + name + "\": {";
        const char* separator = "\n    ";
        for (const auto& [key, value] : record.fields()) {
            const std::string field = to_json(Record().add(key, value));
            out += separator + field.substr(1, field.size() - 2);
            separator = ",\n    ";
        }
        return out + (record.empty() ? "}" : "\n  }");
    };
    const std::string program = to_json(Record().add("program", config.program));
    return "{\n  " + program.substr(1, program.size() - 2) + ",\n" + section("options", config.options) +
           ",\n" + section("environment", config.environment) + "\n}\n";
}

bool holds_run(const fs::path& folder) {
    if (exists(folder / "config.json") || exists(folder / "metrics.jsonl")) return true;
    std::error_code code;
    for (const auto& entry : fs::directory_iterator(folder, code))
        if (entry.path().extension() == ".safetensors") return true;
    return false;
}

void remove_run(const fs::path& folder) {
    std::error_code code;
    std::vector<fs::path> old;
    for (const auto& entry : fs::directory_iterator(folder, code)) {
        const std::string name = entry.path().filename().string();
        const bool ours = name == "config.json" || name == "metrics.jsonl" || name == "report.html" ||
                          name == "status.json" || name.starts_with("events.out.tfevents.") ||
                          entry.path().extension() == ".safetensors";
        if (ours && entry.is_regular_file(code)) old.push_back(entry.path());
    }
    for (const fs::path& file : old) {
        fs::remove(file, code);
        check(!code, "run", "cannot remove ", file.string(), ": ", code.message());
    }
}

// "model.safetensors.tmp.1234.0", "config.json.tmp1234": of a process that was killed while it wrote.
void remove_leftovers(const fs::path& folder) {
    std::error_code code;
    std::vector<fs::path> left;
    for (const auto& entry : fs::directory_iterator(folder, code)) {
        const std::string name = entry.path().filename().string();
        const size_t at = name.rfind(".tmp");
        if (at == std::string::npos || at == 0 || at + 4 == name.size()) continue;
        const bool ours = name.find_first_not_of(".0123456789", at + 4) == std::string::npos;
        if (ours && entry.is_regular_file(code)) left.push_back(entry.path());
    }
    for (const fs::path& file : left) fs::remove(file, code);
}

// A run that was killed before its first checkpoint: the same command may start it again.
bool may_start_again(const fs::path& folder, const RunConfig& config) {
    std::error_code code;
    for (const auto& entry : fs::directory_iterator(folder, code))
        if (entry.path().extension() == ".safetensors" || entry.path().filename() == "report.html")
            return false;
    if (!exists(folder / "config.json")) return false;
    const auto there = parse_record(read_text(folder / "config.json"));
    const auto options = there ? parse_record(there->text("options")) : std::nullopt;
    return options && there->text("program") == config.program &&
           differences(*options, config.options, {"out"}, config.defaults).empty();
}

void check_same_run(const std::string& path, const RunConfig& config) {
    const std::string file = path + "/config.json";
    check(exists(file), "run", "nothing to resume: there is no ", file);
    const auto there = parse_record(read_text(file));
    check(there.has_value(), "run", file, " is not a run's configuration");
    const std::string program = there->text("program");
    check(program == config.program, "run", path, " holds a run of ", program, ", not of ", config.program);
    const auto options = parse_record(there->text("options"));
    check(options.has_value(), "run", file, " has no options");
    std::string list;
    for (const std::string& line :
         differences(*options, config.options, config.may_change, config.defaults, config.may_rise))
        list += (list.empty() ? "" : "; ") + line;
    const auto joined = [](const std::vector<std::string>& names) {
        std::string text;
        for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
        return text;
    };
    check(list.empty(), "run", "cannot resume ", path, " with other options: ", list,
          "; what may change: ", joined(config.may_change),
          config.may_rise.empty() ? "" : "; what may be raised: ", joined(config.may_rise));
}

}  // namespace

std::string default_run(const std::string& path, bool resume) {
    std::string last = path, next = path;
    for (int n = 2; holds_run(next); ++n) {
        last = next;
        next = path + "-" + std::to_string(n);
    }
    return resume ? last : next;
}

std::vector<std::string> differences(const Record& there, const Record& here,
                                     const std::vector<std::string>& may_change, const Record& defaults,
                                     const std::vector<std::string>& may_rise) {
    std::vector<std::string> out;
    const auto among = [](const std::vector<std::string>& names, const std::string& key) {
        return std::find(names.begin(), names.end(), key) != names.end();
    };
    const auto skip = [&](const std::string& key) { return among(may_change, key); };
    const auto shown = [](const Value* value) {
        return value == nullptr ? std::string("unset") : to_text(*value);
    };
    for (const auto& [key, value] : here.fields()) {
        const Value* old = there.find(key);
        if (old == nullptr) old = defaults.find(key);
        const bool same = old != nullptr && to_text(*old) == to_text(value);
        const bool rises = among(may_rise, key);
        const double before = rises && old != nullptr ? std::strtod(to_text(*old).c_str(), nullptr) : 0;
        if (before > 0 && here.number(key) >= before) continue;
        if (!same && !skip(key))
            out.push_back(key + " is " + shown(old) + " there, " + to_text(value) + " here" +
                          (before > 0 ? " (it may only be raised)" : ""));
    }
    for (const auto& [key, value] : there.fields())
        if (here.find(key) == nullptr && !skip(key))
            out.push_back(key + " is " + to_text(value) + " there, unset here");
    return out;
}

RunFolder::RunFolder(std::string path, RunStart start, const RunConfig& config) : path_(std::move(path)) {
    while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
    if (start == RunStart::resume) check_same_run(path_, config);
    make_folders(path_);
    if (start == RunStart::fresh)
        check(!holds_run(path_) || may_start_again(path_, config), "run", path_,
              " already holds a run: continue it with --resume, replace it with --overwrite, or choose "
              "another --out");
    lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool busy = lock_ >= 0 && ::flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    try {
        check(!busy, "run", path_, " is in use by another process");
        remove_leftovers(path_);
        if (start != RunStart::resume) remove_run(path_);
        config_ = config_text(config);
        if (start != RunStart::resume) accept();
    } catch (...) {
        if (lock_ >= 0) ::close(lock_);
        throw;
    }
}

void RunFolder::accept() const { write_atomically(file("config.json"), config_); }

RunFolder::~RunFolder() {
    if (lock_ >= 0) ::close(lock_);
}

}  // namespace demi::examples
