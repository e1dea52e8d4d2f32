#pragma once
// Everything that a run needs to go on bit for bit, in one safetensors file: parameters under DINOv2's names,
// optimizer moments, averages, and in the metadata the step, random state and scaler.
#include "models/grad_scaler.h"
#include "models/optimizer.h"

namespace demi::examples {

struct SnapshotParts {
    NamedParameters parameters;
    std::vector<std::pair<std::string, NamedParameters>> extra;  // prefix ("ema.") and parameters
    Optimizer* optimizer = nullptr;
    GradScaler* scaler = nullptr;
    Generator* generator = nullptr;
};

struct SnapshotHead {
    std::string program;
    int64_t step = 0;
    int64_t fingerprint = 0;  // of the data
    Metadata more;            // of the program
};

// Throws Error where the file is no checkpoint, or of another program or other data.
void check_snapshot(const SafetensorsFile& file, const SnapshotHead& expected);
void save_snapshot(const std::string& path, const SnapshotHead& head, const SnapshotParts& parts);
// Throws Error for a damaged file, one of another program or model, or other data.
SnapshotHead load_snapshot(const std::string& path, const SnapshotHead& expected, const SnapshotParts& parts);

}  // namespace demi::examples
