// NCCL for the emulated GPU. It takes what NCCL takes: memory of the device, calls inside a group, an id that all ranks
// have from the first one; and it moves nothing before the group ends.
#include "tests/support/gpu/nccl/nccl.h"

#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <cstring>
#include <vector>

#include "tests/support/gpu/arena.h"

struct EmulatedComm {
    MPI_Comm comm;
};

namespace {

constexpr char kId[] = "the id of rank 0";

struct Call {
    void* data;
    size_t bytes;
    int peer;
    MPI_Comm comm;
    bool sends;
};
std::vector<Call> group;
bool grouped = false;

ncclResult_t note(void* data, size_t count, int peer, ncclComm_t comm, bool sends) {
    if (!grouped || !demi::gpu::emulation::in_arena(data)) return ncclInvalidUsage;
    group.push_back({data, count, peer, comm->comm, sends});
    return ncclSuccess;
}

}  // namespace

const char* ncclGetErrorString(ncclResult_t) { return "invalid usage (emulated)"; }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
    std::memcpy(id->internal, kId, sizeof kId);
    return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
    int size = 0, own = 0;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_rank(MPI_COMM_WORLD, &own);
    if (ranks != size || rank != own || std::memcmp(id.internal, kId, sizeof kId) != 0)
        return ncclInvalidUsage;
    *comm = new EmulatedComm;
    MPI_Comm_dup(MPI_COMM_WORLD, &(*comm)->comm);
    return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
    MPI_Comm_free(&comm->comm);
    delete comm;
    return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
    grouped = true;
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
    const demi::gpu::emulation::DeviceAccess access;
    std::vector<MPI_Request> requests;
    for (const Call& c : group) {
        const auto bytes = static_cast<int>(c.bytes);
        requests.emplace_back();
        if (c.sends)
            MPI_Isend(c.data, bytes, MPI_BYTE, c.peer, 0, c.comm, &requests.back());
        else
            MPI_Irecv(c.data, bytes, MPI_BYTE, c.peer, 0, c.comm, &requests.back());
    }
    MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE);
    group.clear();
    grouped = false;
    return ncclSuccess;
}

ncclResult_t ncclSend(const void* data, size_t count, ncclDataType_t, int peer, ncclComm_t comm,
                      cudaStream_t) {
    return note(const_cast<void*>(data), count, peer, comm, true);
}

ncclResult_t ncclRecv(void* data, size_t count, ncclDataType_t, int peer, ncclComm_t comm, cudaStream_t) {
    return note(data, count, peer, comm, false);
}
