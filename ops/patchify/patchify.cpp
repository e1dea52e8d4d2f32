#include "ops/patchify/patchify.h"

#include "autograd/record.h"
#include "ops/patchify/patchify_kernels.h"
#include "runtime/profile.h"

namespace demi {

namespace {

struct Sizes {
    Shape image, patches;
};

Sizes sizes(std::string_view op, int64_t batch, int64_t channels, int64_t height, int64_t width,
            int64_t patch) {
    check(patch >= 1, op, "the patch size must be at least 1: got ", patch);
    check(channels >= 0 && height >= 0 && width >= 0 && height % patch == 0 && width % patch == 0, op,
          "height and width must be multiples of the patch size ", patch, ": got ", channels, " x ", height,
          " x ", width);
    const int64_t line = checked_mul(checked_mul(channels, patch, op), patch, op);
    return {{batch, channels, height, width}, {batch, checked_mul(height / patch, width / patch, op), line}};
}

Tensor to_patches(const Tensor& image, const Sizes& s, int64_t patch) {
    const Tensor in = image.contiguous();
    Tensor out = Tensor::empty(s.patches, in.dtype(), in.device());
    if (out.numel() > 0) DEMI_SELECT(patchify, in.device(), forward)(in, patch, out);
    return out;
}

Tensor to_image(const Tensor& patches, const Sizes& s, int64_t patch) {
    const Tensor in = patches.contiguous();
    Tensor out = Tensor::empty(s.image, in.dtype(), in.device());
    if (out.numel() > 0) DEMI_SELECT(patchify, in.device(), backward)(in, patch, out);
    return out;
}

}  // namespace

Variable patchify(const Variable& image, int64_t patch) {
    const ProfileScope scope("patchify");
    check(image.defined() && image.rank() == 4, "patchify", "image must be [B, C, H, W]: got ",
          image.value());
    const Sizes s = sizes("patchify", image.size(0), image.size(1), image.size(2), image.size(3), patch);
    return record("patchify", {image}, to_patches(image.value(), s, patch),
                  [s, patch](const Tensor& dy, const Needs&) -> Tensors { return {to_image(dy, s, patch)}; });
}

Variable unpatchify(const Variable& patches, int64_t channels, int64_t height, int64_t width, int64_t patch) {
    const ProfileScope scope("unpatchify");
    check(patches.defined() && patches.rank() == 3, "unpatchify", "patches must be [B, N, C p p]: got ",
          patches.value());
    const Sizes s = sizes("unpatchify", patches.size(0), channels, height, width, patch);
    check(patches.shape() == s.patches, "unpatchify", "patches must have shape ", s.patches, " for images ",
          s.image, " and patch size ", patch, ": got ", patches.value());
    return record(
        "unpatchify", {patches}, to_image(patches.value(), s, patch),
        [s, patch](const Tensor& dy, const Needs&) -> Tensors { return {to_patches(dy, s, patch)}; });
}

}  // namespace demi
