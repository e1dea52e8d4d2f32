#include "runtime/upload.h"

#include "runtime/capture.h"
#include "runtime/capture_state.h"
#include "runtime/check.h"

#ifdef DEMI_CUDA
#include "runtime/cuda/pinned.h"
#endif

namespace demi {

Tensor upload(const Tensor& host, Device device) {
    check(host.defined() && host.device().is_cpu(), "upload", "needs a tensor of the CPU: got ", host);
    refuse_in_capture(device, "send values to");
#ifdef DEMI_CUDA
    if (device.is_cuda() && host.numel() > 0) {
        const Tensor from = host.contiguous();
        const std::lock_guard lock(record_mutex());
        Tensor there = Tensor::empty(from.shape(), from.dtype(), device);
        gpu::upload_beside(there.mutable_raw(), from.raw(),
                           static_cast<size_t>(from.numel()) * size_of(from.dtype()), device);
        return there;
    }
#endif
    return host.to(device);
}

}  // namespace demi
