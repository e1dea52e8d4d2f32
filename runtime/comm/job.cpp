#include "runtime/comm/job.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <set>

#include "runtime/check.h"
#include "runtime/comm/mpi_engine.h"
#if defined(DEMI_NCCL)
#include "runtime/cuda/nccl_engine.h"
#endif

namespace demi {

// The first of these that is set to a number.
static int from_environment(std::initializer_list<const char*> names, int otherwise) {
    for (const char* name : names) {
        const char* text = std::getenv(name);
        char* end = nullptr;
        const long value = text != nullptr ? std::strtol(text, &end, 10) : -1;
        if (text != nullptr && end != text && *end == '\0' && value >= 0) return static_cast<int>(value);
    }
    return otherwise;
}

int launched_rank() { return from_environment({"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"}, 0); }

// srun says PMIX_RANK and SLURM_NTASKS; SLURM_NTASKS alone may be a batch script's.
int launched_size() {
    const int ntasks = std::getenv("PMIX_RANK") != nullptr ? from_environment({"SLURM_NTASKS"}, 1) : 1;
    return from_environment({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}, ntasks);
}

Job::Job(const JobOptions& options) : exceptions_(std::uncaught_exceptions()) {
    check(options.timeout > 0, "job", "the timeout must be positive: got ", options.timeout);
    const bool launched = std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr ||
                          std::getenv("PMI_SIZE") != nullptr || std::getenv("PMIX_RANK") != nullptr;
    if (!launched || (launched_size() == 1 && !built_with_mpi())) return;
    start_mpi();
    mpi_ = true;
    engine_ = mpi_engine(options.timeout);
    world_ = Communicator(engine_);
}

Job::~Job() {
    if (!mpi_) return;
    if (std::uncaught_exceptions() > exceptions_) {
        engine_->say_failed();
        abort_mpi(1);
    }
    world_ = Communicator();
    engine_.reset();
    finish_mpi();
}

Communicator Job::world_on([[maybe_unused]] Device device) const {
#if defined(DEMI_NCCL)
    // NCCL takes one rank a GPU.
    const std::string own = world_.host(world_.rank()) + " " + demi::name(device);
    const std::vector<std::string> all = world_.all_gather_text(own);
    const bool apart = std::set<std::string>(all.begin(), all.end()).size() == all.size();
    bool gpus = true;
    for (const std::string& text : all) gpus = gpus && text.find(" cuda") != std::string::npos;
    if (mpi_ && apart && gpus) return Communicator(nccl_engine(engine_, device));
#endif
    return world_;
}

void Job::abort(int status) const {
    std::fflush(nullptr);
    if (mpi_) {
        engine_->say_failed();
        abort_mpi(status);
    }
    std::_Exit(status);
}

bool Job::other_failed() const { return engine_ && engine_->heard_failed() >= 0; }

}  // namespace demi
