#pragma once
// The checkpoint of a run on several ranks: one file, the same bytes for every number of ranks, written by rank 0 tensor
// by tensor, and read by it for all. No rank ever holds the whole state.
#include "examples/train/snapshot.h"
#include "models/data_parallel.h"

namespace demi::examples {

struct ShardParts {
    DataParallel* parallel = nullptr;
    std::string model_prefix, average_prefix;  // "" and "ema."; "student." and ""
    NamedTensors more;                         // on all ranks alike
    Optimizer* optimizer = nullptr;
    GradScaler* scaler = nullptr;
    Generator* generator = nullptr;
};

// `path` of rank 0; all ranks must call both.
void save_shards(const std::string& path, const SnapshotHead& head, const ShardParts& parts);
SnapshotHead load_shards(const std::string& path, const SnapshotHead& expected, const ShardParts& parts);

// A model alone, as write_safetensors() would.
void load_model(const std::string& path, FlatModel& model, const Communicator& world);

}  // namespace demi::examples
