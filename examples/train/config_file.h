#pragma once
// Options from a file: lines "name = value" (TOML, INI), or a run's config.json.
#include <string>
#include <vector>

#include "examples/common/record.h"

namespace demi::examples {

struct ConfigEntry {
    std::string name;   // "label-smoothing"; underscores in the file are fine
    std::string value;  // without quotes
    std::string where;  // "recipe.toml line 3", for messages
};

struct ConfigFile {
    std::vector<ConfigEntry> entries;
    std::string program;  // of a run's config.json, else ""
};

// Throws for sections, lists, other formats and names that come twice.
ConfigFile read_config(const std::string& path);

// What a run's config.json says and its program would not do anyway: without `out`, values that are the
// program's defaults, and the sizes that --model implies.
std::vector<ConfigEntry> of_run(const ConfigFile& file, const Record& defaults);

}  // namespace demi::examples
