#pragma once
// Internal: GPU memory by NCCL, everything else by another engine, which also passes NCCL's id on.
#include <memory>

#include "runtime/comm/engine.h"

namespace demi {

// Null where this build has no NCCL. `device`: this rank's GPU.
std::shared_ptr<CommEngine> nccl_engine(std::shared_ptr<CommEngine> host, Device device);

}  // namespace demi
