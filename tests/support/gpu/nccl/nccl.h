#pragma once
// The few calls of NCCL that runtime/cuda/nccl_engine.cpp makes, for the emulated GPU: on top of MPI.
#include <cstddef>

using cudaStream_t = void*;
constexpr int cudaSuccess = 0;
inline int cudaSetDevice(int) { return cudaSuccess; }

enum ncclResult_t { ncclSuccess, ncclInvalidUsage };
enum ncclDataType_t { ncclChar };
struct ncclUniqueId {
    char internal[128];
};
using ncclComm_t = struct EmulatedComm*;

const char* ncclGetErrorString(ncclResult_t result);
ncclResult_t ncclGetUniqueId(ncclUniqueId* id);
ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank);
ncclResult_t ncclCommDestroy(ncclComm_t comm);
ncclResult_t ncclGroupStart();
ncclResult_t ncclGroupEnd();
ncclResult_t ncclSend(const void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream);
ncclResult_t ncclRecv(void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream);
