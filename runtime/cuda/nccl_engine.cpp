#include "runtime/cuda/nccl_engine.h"

#include <nccl.h>  // and with it CUDA's types

#include <cstring>

#include "runtime/check.h"
#include "runtime/cuda/stream.h"

namespace demi {
namespace {

void check_nccl(ncclResult_t status, const char* what) {
    check(status == ncclSuccess, "comm", what, ": ", ncclGetErrorString(status));
}

// Work of the stream: what reads the memory on the same stream comes later.
class InOrder final : public Transfer {
  public:
    void wait() override {}
};

class NcclEngine final : public CommEngine {
  public:
    NcclEngine(std::shared_ptr<CommEngine> host, Device device) : host_(std::move(host)), device_(device) {
        ncclUniqueId id;
        std::memset(&id, 0, sizeof id);
        if (host_->rank() == 0) check_nccl(ncclGetUniqueId(&id), "ncclGetUniqueId");
        std::vector<Piece> sends(static_cast<size_t>(host_->size())), receives(sends);
        for (Piece& piece : sends)
            if (host_->rank() == 0) piece = {&id, sizeof id};
        if (host_->rank() != 0) receives[0] = {&id, sizeof id};
        host_->exchange(sends, receives, Device::cpu())->wait();
        check(cudaSetDevice(device.index) == cudaSuccess, "comm", "cannot use ", device);
        check_nccl(ncclCommInitRank(&comm_, host_->size(), id, host_->rank()), "ncclCommInitRank");
    }
    ~NcclEngine() override { ncclCommDestroy(comm_); }

    const char* name() const override { return "nccl"; }
    int rank() const override { return host_->rank(); }
    int size() const override { return host_->size(); }
    int local_size() const override { return host_->local_size(); }
    const std::string& host(int rank) const override { return host_->host(rank); }
    bool reaches(Device device) const override { return device.is_cpu() || device == device_; }

    std::unique_ptr<Transfer> exchange(const std::vector<Piece>& sends, const std::vector<Piece>& receives,
                                       Device device) override {
        if (device.is_cpu()) return host_->exchange(sends, receives, device);
        const auto stream = static_cast<cudaStream_t>(gpu::current_stream(device));
        check_nccl(ncclGroupStart(), "ncclGroupStart");
        for (int r = 0; r < size(); ++r) {
            if (r == rank()) continue;
            const Piece &out = sends[static_cast<size_t>(r)], &in = receives[static_cast<size_t>(r)];
            if (out.bytes > 0)
                check_nccl(ncclSend(out.data, out.bytes, ncclChar, r, comm_, stream), "ncclSend");
            if (in.bytes > 0) check_nccl(ncclRecv(in.data, in.bytes, ncclChar, r, comm_, stream), "ncclRecv");
        }
        check_nccl(ncclGroupEnd(), "ncclGroupEnd");
        return std::make_unique<InOrder>();
    }

  private:
    std::shared_ptr<CommEngine> host_;
    Device device_;
    ncclComm_t comm_ = nullptr;
};

}  // namespace

std::shared_ptr<CommEngine> nccl_engine(std::shared_ptr<CommEngine> host, Device device) {
    return std::make_shared<NcclEngine>(std::move(host), device);
}

}  // namespace demi
