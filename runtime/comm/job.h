#pragma once
// The job that a launcher (mpirun, srun) started this process in. Programs that use it link demi_mpi beside demi
// (pkg-config demi-mpi); demi itself knows no MPI.
//
//   demi::Job job;                                // one rank and no MPI call without a launcher
//   const demi::Communicator& world = job.world();
//   ... world.rank(), world.all_reduce(x) ...
//
// A rank that ends by an exception, or leaves while others work, ends the job: Job's destructor aborts it where an
// exception is on its way, so that no other rank waits for this one.
#include "runtime/comm/communicator.h"
#include "runtime/non_copyable.h"

namespace demi {

struct JobOptions {
    double timeout = 300;  // seconds that a rank waits for another one; then it throws Error
};

class Job : NonCopyable {
  public:
    // Throws Error where a launcher started several ranks and this build has no MPI, or MPI does not start.
    explicit Job(const JobOptions& options = {});
    ~Job();

    const Communicator& world() const { return world_; }
    // The same for tensors on this rank's GPU: by NCCL where this build has it and each rank has a GPU of its own, else
    // through the host. All ranks must ask.
    Communicator world_on(Device device) const;
    // Ends all ranks at once, with this exit status.
    [[noreturn]] void abort(int status) const;
    // Whether another rank is ending the job by abort(): then it is the one that says why.
    bool other_failed() const;

  private:
    Communicator world_;
    std::shared_ptr<CommEngine> engine_;
    bool mpi_ = false;
    int exceptions_;
};

// What the launcher's environment says, before there is a job: 0 and 1 without a launcher.
int launched_rank();
int launched_size();
bool built_with_mpi();

}  // namespace demi
