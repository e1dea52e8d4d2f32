#pragma once
// Internal: Hugging Face's and timm's config.json.
#include "models/pretrained/config.h"

namespace demi {

// Takes heads, norm eps, names of classes and normalisation; throws where it contradicts the tensors, or asks for what
// the model does not do.
void read_config_json(const std::string& path, const std::string& text, WeightsConfig& config);
// Takes the normalisation and the size of the pictures from a preprocessor_config.json.
void read_preprocessor_json(const std::string& path, const std::string& text, WeightsConfig& config);

}  // namespace demi
