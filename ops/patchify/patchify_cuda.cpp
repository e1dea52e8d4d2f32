#include "ops/patchify/patchify_cuda.h"

#include "ops/common/gpu_tensor.h"
#include "ops/patchify/patchify_kernels.h"

namespace demi {
namespace {

void move(const Tensor& from, Tensor& to, const Shape& image, int64_t patch, bool to_patches) {
    gpu_kernels::patchify_move({from.raw(), to.mutable_raw(), image[0], image[1], image[2], image[3], patch,
                                static_cast<int>(size_of(from.dtype())), to_patches},
                               gpu_stream(from));
}

void forward(const Tensor& image, int64_t patch, Tensor& patches) {
    move(image, patches, image.shape(), patch, true);
}
void backward(const Tensor& patches, int64_t patch, Tensor& image) {
    move(patches, image, image.shape(), patch, false);
}

}  // namespace

const PatchifyKernels patchify_cuda{.forward = forward, .backward = backward};

}  // namespace demi
