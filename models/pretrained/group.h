#pragma once
// Internal: which of a file's tensors are the network. A training checkpoint holds a student, a teacher, averages and
// moments of optimizers, each under a prefix of its own.
#include <map>

#include "models/pretrained/names.h"
#include "runtime/checkpoint/checkpoint.h"

namespace demi {

struct TensorGroup {
    std::string prefix;                          // "teacher.backbone."
    std::map<std::string, std::string> members;  // name without the prefix -> name in the file
    std::map<std::string, std::string>
        beside;  // the same for what belongs to its heads: "dino_head.mlp.0.weight"
    std::vector<std::string> other_networks;  // their prefixes
    size_t elsewhere = 0;                     // tensors of other networks, optimizers, ...
};

// The teacher before a network without such a name, that before a student; of the rest `key` must name one: what the
// prefix begins with. Wrappers of PyTorch inside names (_orig_mod., _fsdp_wrapped_module., ...) are taken away.
TensorGroup find_network(const CheckpointFile& file, const std::string& key);

// The group's tensors under our names.
NameMap map_names(const CheckpointFile& file, const TensorGroup& group);

}  // namespace demi
