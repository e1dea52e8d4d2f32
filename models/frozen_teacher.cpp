#include "models/frozen_teacher.h"

#include "autograd/grad_mode.h"
#include "models/ssl_meta_arch.h"
#include "ops/interpolate_bicubic/interpolate_bicubic.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "ops/views/views.h"

namespace demi {

void FrozenTeacher::visit(const std::string& prefix, const ParameterVisitor& fn) {
    backbone.visit(prefix + "backbone.", fn);
    if (dino_head.weight_v.defined()) dino_head.visit(prefix + "dino_head.", fn);
    if (ibot_head.weight_v.defined()) ibot_head.visit(prefix + "ibot_head.", fn);
}

Tensor FrozenTeacher::images(const Tensor& crops, int64_t student_patch) const {
    const NoGrad no_grad;
    check(crops.defined() && crops.rank() == 4 && crops.dtype() == DType::f32, "frozen_teacher",
          "crops must be f32 [B, C, H, W]: got ", crops);
    checked_size("frozen_teacher", "student_patch", student_patch);
    const int64_t channels = backbone.config().in_chans, patch = backbone.config().patch_size;
    check(crops.size(1) == channels, "frozen_teacher", "the teacher takes pictures of ", channels,
          " channels: got ", crops.shape());
    Variable x(crops);
    if (!scale.empty() || !shift.empty()) {
        check(std::ssize(scale) == channels && std::ssize(shift) == channels, "frozen_teacher",
              "scale and shift must have ", channels, " numbers: got ", scale.size(), " and ", shift.size());
        const auto row = [&](const std::vector<float>& v) {
            return Variable(Tensor::from(v, {1, channels, 1, 1}).to(crops.device()));
        };
        x = x * row(scale) + row(shift);
    }
    if (patch == student_patch) return x.value();
    const int64_t rows = crops.size(2) / student_patch, columns = crops.size(3) / student_patch;
    check(rows > 0 && columns > 0, "frozen_teacher", "crops ", crops.shape(), " are smaller than a patch of ",
          student_patch);
    return interpolate_bicubic(x, rows * patch, columns * patch, {.antialias = true}).value();
}

// Sum of squared differences over that of the targets.
static Variable mismatch(const Variable& found, const Tensor& target) {
    const Variable difference = found - Variable(target);
    const Variable size = sum(Variable(target) * Variable(target)) + 1e-12;
    return sum(difference * difference) / size;
}

SslLosses SSLMetaArch::feature_losses(const SslBatch& batch, const SslTargets& target,
                                      const ForwardContext& context) const {
    const int64_t images = batch.global_crops.size(0) / 2;
    check(target.cls.defined() && target.cls.shape() == Shape({2 * images, config_.feature_dim}), "ssl",
          "features of the class tokens must be (", 2 * images, ", ", config_.feature_dim, "): got ",
          target.cls);
    const bool has_local = batch.local_crops.defined() && batch.local_crops.size(0) > 0;
    std::vector<Variable> crops{Variable(batch.global_crops)};
    if (has_local) crops.emplace_back(batch.local_crops);
    const std::vector<ViTOutput> out = student_.backbone.forward_features(crops, context);
    const int64_t views = has_local ? batch.local_crops.size(0) / images : 0;
    const double terms = 2 + static_cast<double>(2 * views);
    SslLosses result;
    const Variable global =
        mismatch(student_.feature_head.forward(out[0].x_norm_clstoken), target.cls) * (2 / terms);
    result.dino_global = global.value();
    result.total = global;
    if (has_local) {
        const Variable all = student_.feature_head.forward(out[1].x_norm_clstoken);
        Variable local;
        for (int64_t v = 0; v < views; ++v)
            for (int64_t g = 0; g < 2; ++g) {
                const Variable part = mismatch(slice(all, 0, v * images, (v + 1) * images),
                                               target.cls.slice(0, g * images, (g + 1) * images));
                local = local.defined() ? local + part : part;
            }
        local = local * (1 / terms);
        result.dino_local = local.value();
        result.total = result.total + local;
    }
    result.total = result.total * config_.dino_weight;
    if (config_.koleo_weight > 0 && images >= 2) add_koleo(result, out[0].x_norm_clstoken, images);
    if (config_.ibot_weight > 0) {
        const Variable patches = out[0].x_norm_patchtokens;
        const Shape wanted{patches.size(0) * patches.size(1), config_.feature_dim};
        check(target.patches.defined() && target.patches.shape() == wanted, "ssl",
              "features of the patches must be ", wanted, ": got ", target.patches);
        const Variable loss =
            mismatch(student_.feature_head.forward(reshape(patches, {-1, patches.size(2)})), target.patches);
        result.ibot = loss.value();
        result.total = result.total + loss * config_.ibot_weight;
    }
    return result;
}

void SSLMetaArch::distil(FrozenTeacher teacher) {
    const int64_t width = teacher.backbone.config().embed_dim;
    check(config_.feature_dim > 0 || teacher.has_heads(), "ssl",
          "a frozen teacher without heads needs feature_dim, its width of ", width);
    check(config_.feature_dim == 0 || config_.feature_dim == width, "ssl",
          "feature_dim must be the width of the teacher, ", width, ": got ", config_.feature_dim);
    check(config_.feature_dim > 0 || (teacher.prototypes() == config_.head.out_dim &&
                                      teacher.patch_head().weight_v.size(0) == config_.head.out_dim),
          "ssl", "the frozen teacher's heads have ", teacher.prototypes(), " prototypes, the student's ",
          config_.head.out_dim);
    check(teacher.backbone.config().in_chans == config_.backbone.in_chans, "ssl",
          "the frozen teacher takes pictures of ", teacher.backbone.config().in_chans,
          " channels, the student of ", config_.backbone.in_chans);
    frozen_ = std::make_shared<FrozenTeacher>(std::move(teacher));
    frozen_->visit("", [](const std::string&, Variable& p) { p = Variable(p.value()); });
}

}  // namespace demi
