#include "examples/train/config_file.h"

#include <algorithm>
#include <stdexcept>

#include "examples/common/files.h"
#include "runtime/check.h"
#include "runtime/json.h"

namespace demi::examples {
namespace {

std::string trimmed(std::string text) {
    const char* blank = " \t\r";
    text.erase(0, std::min(text.find_first_not_of(blank), text.size()));
    text.erase(text.find_last_not_of(blank) + 1);
    return text;
}

std::string with_dashes(std::string name) {
    std::replace(name.begin(), name.end(), '_', '-');
    return name;
}

// "'text' # note" to "text".
std::string plain_value(std::string text, const std::string& where) {
    if (text.empty() || (text[0] != '"' && text[0] != '\'')) {
        for (const char mark : {'#', ';'})
            if (const size_t at = text.find(mark); at != std::string::npos && at > 0 && text[at - 1] == ' ')
                text = trimmed(text.substr(0, at));
        return text;
    }
    std::string out;
    size_t at = 1;
    for (; at < text.size() && text[at] != text[0]; ++at) {
        if (text[at] == '\\' && text[0] == '"' && at + 1 < text.size()) ++at;
        out += text[at];
    }
    check(at < text.size(), "config", where, ": a closing ", text.substr(0, 1), " is missing");
    const std::string rest = trimmed(text.substr(at + 1));
    check(rest.empty() || rest[0] == '#' || rest[0] == ';', "config", where, ": '", rest,
          "' behind the value");
    return out;
}

ConfigFile of_lines(const std::string& text, const std::string& path) {
    ConfigFile file;
    int64_t number = 0;
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find('\n', begin), text.size());
        const std::string line = trimmed(text.substr(begin, end - begin));
        const std::string where = path + " line " + std::to_string(++number);
        begin = end + 1;
        if (line.empty() || line[0] == '#' || line[0] == ';') continue;
        check(line[0] != '[', "config", where, ": sections are not known, leave out ", line);
        const size_t equals = line.find('=');
        check(equals != std::string::npos && equals > 0, "config", where, ": '", line,
              "' is not \"name = value\"; TOML or INI without sections and a run's config.json are read");
        const std::string name = plain_value(trimmed(line.substr(0, equals)), where);
        const std::string value = trimmed(line.substr(equals + 1));
        check(!value.empty(), "config", where, ": ", name, " has no value");
        check(value[0] != '[' && value[0] != '{', "config", where, ": ", name, " must have one value, got ",
              value);
        file.entries.push_back({with_dashes(name), plain_value(value, where), where});
    }
    return file;
}

ConfigFile of_json(const std::string& text, const std::string& path) {
    Json object;
    try {
        object = parse_json(text, 16);
    } catch (const std::runtime_error& error) {
        fail("config", path, ": begins like JSON, but ", error.what());
    }
    ConfigFile file;
    const Json *program = object.find("program"), *options = object.find("options");
    if (program && options && options->is(Json::Kind::object)) {
        file.program = program->text;
        object = Json(*options);
    }
    for (const auto& [name, value] : object.members) {
        check(!value.is(Json::Kind::object) && !value.is(Json::Kind::list), "config", path, ": ", name,
              " must have one value, got ", value.dump());
        if (value.is(Json::Kind::null)) continue;
        const bool text_value = value.is(Json::Kind::text);
        file.entries.push_back({with_dashes(name), text_value ? value.text : value.dump(), path});
    }
    return file;
}

}  // namespace

ConfigFile read_config(const std::string& path) {
    std::string text = read_text(path);
    if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);  // an editor's mark of UTF-8
    const size_t first = text.find_first_not_of(" \t\r\n");
    const bool json = first != std::string::npos && text[first] == '{';
    ConfigFile file = json ? of_json(text, path) : of_lines(text, path);
    std::vector<std::string> names;
    for (const ConfigEntry& entry : file.entries) {
        check(std::find(names.begin(), names.end(), entry.name) == names.end(), "config", entry.where, ": ",
              entry.name, " is given twice");
        names.push_back(entry.name);
    }
    return file;
}

std::vector<ConfigEntry> of_run(const ConfigFile& file, const Record& defaults) {
    const auto of = [&](const char* name) {
        const auto at = std::find_if(file.entries.begin(), file.entries.end(),
                                     [&](const ConfigEntry& entry) { return entry.name == name; });
        return at == file.entries.end() ? std::string() : at->value;
    };
    const bool sized = !of("model").empty();
    std::vector<ConfigEntry> kept;
    for (const ConfigEntry& entry : file.entries) {
        const bool size = entry.name == "dim" || entry.name == "depth" || entry.name == "heads" ||
                          entry.name == "mlp-ratio";
        if (entry.name == "out" || (size && sized)) continue;
        std::string key = entry.name;
        std::replace(key.begin(), key.end(), '-', '_');
        const Value* usual = defaults.find(key);
        if (usual && to_text(*usual) == entry.value) continue;
        kept.push_back(entry);
    }
    return kept;
}

}  // namespace demi::examples
