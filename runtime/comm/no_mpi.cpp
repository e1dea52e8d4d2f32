// In place of mpi_engine.cpp in a build without MPI.
#include "runtime/check.h"
#include "runtime/comm/job.h"
#include "runtime/comm/mpi_engine.h"

namespace demi {

bool built_with_mpi() { return false; }

void start_mpi() {
    fail("job", "a launcher started ", launched_size(),
         " ranks, but this build has no MPI (Debian: apt-get install libopenmpi-dev openmpi-bin; configure "
         "with "
         "-Dmpi=enabled)");
}
void finish_mpi() {}
void abort_mpi(int) { fail("job", "this build has no MPI"); }
std::shared_ptr<CommEngine> mpi_engine(double) { return nullptr; }

}  // namespace demi
