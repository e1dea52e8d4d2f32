#pragma once
// Parameters by name to a safetensors file and back.
#include "models/parameter.h"

namespace demi {

NamedTensors state_dict(const NamedParameters& parameters, const std::string& prefix = "");

struct LoadOptions {
    std::string prefix;  // only names that begin with it, which is then removed
    bool strict = true;  // every parameter must be in the file and every name of the file in the model
};
struct LoadReport {
    std::vector<std::string> missing, unexpected;
};

// Copies values from the file into the parameters (converted to their dtype). Names of DINOv2 checkpoints are
// understood with or without "teacher.", "module.", "backbone." and block chunks. Everything is checked
// before anything is changed; an Error names file, tensor and both shapes.
LoadReport load_state_dict(const NamedParameters& parameters, const SafetensorsFile& file,
                           const LoadOptions& options = {});

}  // namespace demi
