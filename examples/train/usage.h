#pragma once
// What a wrong command line is answered with.
#include <string>
#include <vector>

namespace demi::examples {

// "unknown argument '--epohcs' (did you mean --epochs?)". `rest` is what no flag took, `names`
// the flags with their dashes.
std::string unknown_arguments(const std::vector<std::string>& rest, const std::vector<std::string>& names);

// The name most like `word`, written any way (labelSmoothing, Label_Smoothing); "" where none is near.
std::string nearest_name(const std::string& word, const std::vector<std::string>& names);

// CLI11's messages ("not in range 1 to 9223372036854775807", "1 required INT missing")
// as a person would say them.
std::string plain_range(std::string text);

}  // namespace demi::examples
