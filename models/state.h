#pragma once
// Numbers in checkpoint metadata (string to string): written so that reading gives the same bits.
#include <cstdint>
#include <string>

#include "runtime/random.h"
#include "runtime/safetensors.h"

namespace demi {

std::string exact_text(double value);
// Throw Error naming the key when it is missing or not a number.
double state_double(const Metadata& state, const std::string& key);
int64_t state_int(const Metadata& state, const std::string& key);
void save_generator(Metadata& state, const std::string& key, const Generator& generator);
Generator load_generator(const Metadata& state, const std::string& key);

}  // namespace demi
