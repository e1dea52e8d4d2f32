#pragma once
// Internal: names of pickle's opcodes for messages, and of functions that no file may name.
#include <cstdint>
#include <string>
#include <string_view>

namespace demi {

std::string opcode_name(uint8_t opcode);  // "REDUCE", or "opcode 0xff"

// Whether Python would run code of the file's choice by calling it. Nothing is ever called here; the file is
// refused so that its owner hears of it.
bool is_harmful(std::string_view module, std::string_view name);

}  // namespace demi
