#include "ops/patchify/patchify.h"

#include "ops/op.h"
#include "ops/patchify/patchify_kernels.h"

namespace demi {

namespace {

struct Sizes {
    Shape image, patches;
};

Sizes sizes(const Op& op, int64_t batch, int64_t channels, int64_t height, int64_t width, int64_t patch) {
    op.check(patch >= 1, "the patch size must be at least 1: got ", patch);
    op.check(channels >= 0 && height >= 0 && width >= 0 && height % patch == 0 && width % patch == 0,
             "height and width must be multiples of the patch size ", patch, ": got ", channels, " x ",
             height, " x ", width);
    const int64_t line = checked_mul(checked_mul(channels, patch, op.name()), patch, op.name());
    return {{batch, channels, height, width},
            {batch, checked_mul(height / patch, width / patch, op.name()), line}};
}

Tensor move(const Tensor& from, const Sizes& s, int64_t patch, bool to_patches) {
    const Tensor in = from.contiguous();
    Tensor out = Tensor::empty(to_patches ? s.patches : s.image, in.dtype(), in.device());
    if (out.numel() > 0)
        patchify_on(in.device())
            .move({reads(in), writes(out), s.image[0], s.image[1], s.image[2], s.image[3], patch, to_patches},
                  queue_of(in));
    return out;
}

Variable moved(const Op& op, const Variable& x, const Sizes& s, int64_t patch, bool to_patches) {
    return op.record(x, move(x.value(), s, patch, to_patches),
                     [=](const Tensor& dy) { return move(dy, s, patch, !to_patches); });
}

}  // namespace

Variable patchify(const Variable& image, int64_t patch) {
    const Op op("patchify");
    op.check(image.defined() && image.rank() == 4, "image must be [B, C, H, W]: got ", image.value());
    const Sizes s = sizes(op, image.size(0), image.size(1), image.size(2), image.size(3), patch);
    return moved(op, image, s, patch, true);
}

Variable unpatchify(const Variable& patches, int64_t channels, int64_t height, int64_t width, int64_t patch) {
    const Op op("unpatchify");
    op.check(patches.defined() && patches.rank() == 3, "patches must be [B, N, C p p]: got ",
             patches.value());
    const Sizes s = sizes(op, patches.size(0), channels, height, width, patch);
    op.check(patches.shape() == s.patches, "patches must have shape ", s.patches, " for images ", s.image,
             " and patch size ", patch, ": got ", patches.value());
    return moved(op, patches, s, patch, false);
}

}  // namespace demi
