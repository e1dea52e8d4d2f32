#pragma once
// Internal: the ranks that MPI knows.
#include <memory>

#include "runtime/comm/engine.h"

namespace demi {

void start_mpi();
void finish_mpi();
[[noreturn]] void abort_mpi(int status);
std::shared_ptr<CommEngine> mpi_engine(double timeout);

}  // namespace demi
