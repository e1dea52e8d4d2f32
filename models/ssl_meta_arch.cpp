#include "models/ssl_meta_arch.h"

#include <cmath>

#include "autograd/grad_mode.h"
#include "models/dino_loss.h"
#include "models/ema.h"
#include "models/mask_generator.h"
#include "ops/elementwise/cast.h"
#include "ops/elementwise/functions.h"
#include "ops/index/index_select.h"
#include "ops/index/row_index.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "ops/views/concat.h"
#include "ops/views/views.h"

namespace demi {

void SSLMetaArch::Branch::visit(const std::string& prefix, const ParameterVisitor& fn) {
    backbone.visit(prefix + "backbone.", fn);
    if (feature_head.weight.defined()) return feature_head.visit(prefix + "feature_head.", fn);
    dino_head.visit(prefix + "dino_head.", fn);
    if (separate) ibot_head.visit(prefix + "ibot_head.", fn);
}

SSLMetaArch::SSLMetaArch(const SslConfig& config, Generator& generator) : config_(config) {
    check(config.centering == "sinkhorn_knopp" || config.centering == "centering", "ssl",
          "centering must be sinkhorn_knopp or centering: got '", config.centering, "'");
    check(config.student_temp > 0 && config.sinkhorn_iterations >= 1, "ssl",
          "student_temp and sinkhorn_iterations must be positive: got ", config.student_temp, " and ",
          config.sinkhorn_iterations);
    check(config.center_momentum >= 0 && config.center_momentum <= 1, "ssl",
          "center_momentum must be in [0, 1]: got ", config.center_momentum);
    for (double weight : {config.dino_weight, config.koleo_weight, config.ibot_weight})
        check(weight >= 0 && std::isfinite(weight), "ssl",
              "weights of losses must be finite, not negative: got ", weight);
    check(config.feature_dim >= 0 && config.feature_dim <= INT32_MAX, "ssl", "feature_dim must lie in [0, ",
          INT32_MAX, "]: got ", config.feature_dim);
    config_.head.in_dim = config.backbone.embed_dim;
    const auto make = [&](Branch& branch, const ViTConfig& backbone) {
        branch.backbone = DinoVisionTransformer(backbone, generator);
        if (config_.feature_dim > 0) {
            branch.feature_head = Linear(backbone.embed_dim, config_.feature_dim, true, generator);
            return;
        }
        branch.dino_head = DINOHead(config_.head, generator);
        branch.separate = config_.separate_ibot_head;
        if (branch.separate) branch.ibot_head = DINOHead(config_.head, generator);
    };
    make(student_, config_.backbone);
    if (config_.xavier) {
        student_.backbone.init_xavier(generator);
        if (config_.feature_dim == 0) student_.dino_head.init_xavier(generator);
        if (student_.separate) student_.ibot_head.init_xavier(generator);
    }
    ViTConfig still = config_.backbone;  // the teacher never drops paths
    still.drop_path_rate = 0;
    make(teacher_, still);
    teacher_.visit("", [](const std::string&, Variable& p) { p = Variable(p.value()); });
    copy_parameters(teacher_parameters(), student_parameters());
    dino_center_ = Tensor::zeros({1, config_.head.out_dim});
    ibot_center_ = Tensor::zeros({1, config_.head.out_dim});
}

NamedParameters SSLMetaArch::student_parameters() { return parameters_of(student_); }
NamedParameters SSLMetaArch::teacher_parameters() { return parameters_of(teacher_); }

NamedTensors SSLMetaArch::centers() const {
    return {{"dino_center", dino_center_}, {"ibot_center", ibot_center_}};
}

void SSLMetaArch::set_centers(const Tensor& dino, const Tensor& ibot) {
    for (const Tensor& center : {dino, ibot})
        check(center.defined() && center.shape() == dino_center_.shape() && is_float(center.dtype()), "ssl",
              "centers must be floats ", dino_center_.shape(), ": got ", center);
    dino_center_ = dino.to(dino_center_.device()).to(DType::f32).clone();
    ibot_center_ = ibot.to(ibot_center_.device()).to(DType::f32).clone();
}

void SSLMetaArch::to_device(Device device) {
    demi::to_device(student_, device);
    demi::to_device(teacher_, device);
    if (frozen_) demi::to_device(*frozen_, device);
    for (Tensor* center : {&dino_center_, &ibot_center_, &next_dino_center_, &next_ibot_center_})
        if (center->defined()) *center = center->to(device);
}

Tensor SSLMetaArch::center_or_sinkhorn(const Tensor& logits, Tensor& center, Tensor& next,
                                       const LiveNumber& temp) {
    if (config_.centering == "sinkhorn_knopp")
        return sinkhorn_knopp(logits, temp, config_.sinkhorn_iterations);
    check(!capturing(), "ssl", "a captured step takes sinkhorn_knopp: centers move to new memory");
    next = center.clone();
    update_center(next, logits, config_.center_momentum);
    return softmax_center(logits, center, temp);
}

static Variable rows_at(const Variable& tokens, const Tensor& positions) {
    const Variable rows = reshape(tokens, {-1, tokens.size(2)});
    if (capturing()) trust_rows(positions, rows.size(0));  // others come with each replay
    return index_select(rows, 0, positions);
}

SslLogits SSLMetaArch::teacher_logits(const SslBatch& batch, const ForwardContext& context) const {
    const NoGrad no_grad;
    ForwardContext quiet = context;
    quiet.training = false;
    if (!quiet.boundary.site.empty()) quiet.boundary.site = "teacher";
    const Tensor images =
        frozen_ ? frozen_->images(batch.global_crops, config_.backbone.patch_size) : batch.global_crops;
    const DinoVisionTransformer& backbone = frozen_ ? frozen_->backbone : teacher_.backbone;
    const ViTOutput out = backbone.forward_features(Variable(images), quiet);
    if (config_.feature_dim > 0) {
        check(frozen_ != nullptr, "ssl", "feature_dim needs a frozen teacher: call distil()");
        return {out.x_norm_clstoken.value(),
                reshape(out.x_norm_patchtokens, {-1, out.x_norm_patchtokens.size(2)}).value()};
    }
    const DINOHead& dino_head = frozen_ ? frozen_->dino_head : teacher_.dino_head;
    const DINOHead& patch_head = frozen_ ? frozen_->patch_head() : teacher_.patch_head();
    const int64_t half = batch.global_crops.size(0) / 2;
    // Each view learns from the other one's target.
    const Variable cls =
        concat({slice(out.x_norm_clstoken, 0, half, 2 * half), slice(out.x_norm_clstoken, 0, 0, half)}, 0);
    SslLogits logits;
    logits.cls = dino_head.forward(cls, context.precision).value();
    const Tensor positions = positions_of(batch);
    if (positions.defined() && positions.numel() > 0)
        logits.patches =
            patch_head.forward(rows_at(out.x_norm_patchtokens, positions), context.precision).value();
    return logits;
}

std::vector<SslTargets> SSLMetaArch::targets(const std::vector<SslLogits>& logits, double teacher_temp,
                                             const std::function<Tensor(const Tensor&)>& over_shards) {
    next_dino_center_ = next_ibot_center_ = Tensor();
    if (config_.feature_dim > 0) return logits;
    std::vector<Tensor> cls, patches;
    for (const SslLogits& l : logits) {
        cls.push_back(l.cls);
        patches.push_back(
            l.patches.defined() ? l.patches : Tensor::zeros({0, l.cls.size(1)}, DType::f32, l.cls.device()));
    }
    const auto targets_of = [&](const std::vector<Tensor>& all, Tensor& center, Tensor& next) {
        if (config_.centering == "sinkhorn_knopp")
            return sinkhorn_knopp(all, teacher_temp, config_.sinkhorn_iterations, over_shards);
        next = center.clone();
        update_center(next, all, config_.center_momentum, over_shards);
        std::vector<Tensor> result;
        for (const Tensor& t : all) result.push_back(softmax_center(t, center, teacher_temp));
        return result;
    };
    const std::vector<Tensor> cls_targets = targets_of(cls, dino_center_, next_dino_center_);
    std::vector<Tensor> patch_targets(logits.size());
    if (config_.ibot_weight > 0) patch_targets = targets_of(patches, ibot_center_, next_ibot_center_);
    std::vector<SslTargets> result;
    for (size_t i = 0; i < logits.size(); ++i)
        result.push_back({cls_targets[i], logits[i].patches.defined() ? patch_targets[i] : Tensor()});
    return result;
}

Tensor SSLMetaArch::positions_of(const SslBatch& batch) const {
    if (!batch.masks.defined() || config_.ibot_weight == 0 || config_.feature_dim > 0) return {};
    return batch.positions.defined() ? batch.positions : masked_positions(batch.masks);
}

SSLMetaArch::Places SSLMetaArch::places_of(Branch& branch) {
    Places places;
    branch.visit("", [&](const std::string& name, Variable& p) { places.emplace_back(name, &p); });
    return places;
}

static Tensor mean_entropy(const Tensor& p) {
    const NoGrad no_grad;
    const Variable q(p);
    return (cast(sum(q * log(q + 1e-30)), DType::f64) / -static_cast<double>(p.size(0))).value();
}

static void check_batch(const SslBatch& batch) {
    const Tensor& global = batch.global_crops;
    check(global.defined() && global.rank() == 4 && global.size(0) >= 2 && global.size(0) % 2 == 0, "ssl",
          "global_crops must be [2 B, C, H, W]: got ", global);
    const int64_t images = global.size(0) / 2;
    check(!batch.local_crops.defined() || batch.local_crops.rank() == 4, "ssl",
          "local_crops must be [n B, C, L, L]: got ", batch.local_crops);
    check(!batch.local_crops.defined() || batch.local_crops.size(0) % images == 0, "ssl",
          "local_crops must hold a multiple of ", images, " pictures: got ", batch.local_crops);
}

SslLosses SSLMetaArch::losses(const SslBatch& batch, const LiveNumber& teacher_temp,
                              const ForwardContext& context) {
    check_batch(batch);
    next_dino_center_ = next_ibot_center_ = Tensor();
    const SslLogits logits = teacher_logits(batch, context);
    if (config_.feature_dim > 0) return feature_losses(batch, logits, context);
    SslTargets target;
    target.cls = center_or_sinkhorn(logits.cls, dino_center_, next_dino_center_, teacher_temp);
    if (logits.patches.defined())
        target.patches = center_or_sinkhorn(logits.patches, ibot_center_, next_ibot_center_, teacher_temp);
    return student_losses(batch, target, context);
}

SslLosses SSLMetaArch::student_losses(const SslBatch& batch, const SslTargets& target,
                                      const ForwardContext& context) const {
    check_batch(batch);
    if (config_.feature_dim > 0) return feature_losses(batch, target, context);
    const Tensor& global = batch.global_crops;
    const int64_t images = global.size(0) / 2;
    const bool has_local = batch.local_crops.defined() && batch.local_crops.size(0) > 0;
    const Tensor positions = positions_of(batch);
    std::vector<Variable> crops{Variable(global)};
    std::vector<Tensor> masks{batch.masks};
    if (has_local) {
        crops.emplace_back(batch.local_crops);
        masks.emplace_back();
    }
    const std::vector<ViTOutput> out = student_.backbone.forward_features(
        crops, context, batch.masks.defined() ? masks : std::vector<Tensor>());
    const Variable& global_cls = out[0].x_norm_clstoken;

    const int64_t local_views = has_local ? batch.local_crops.size(0) / images : 0;
    const double terms = 2 + static_cast<double>(std::max<int64_t>(local_views * 2, 1));
    SslLosses result;
    result.target_entropy = mean_entropy(target.cls);
    result.total = dino_loss({student_.dino_head.forward(global_cls, context.precision)}, {target.cls},
                             config_.student_temp) *
                   (2 / terms);
    result.dino_global = result.total.value();
    if (has_local) {
        const Variable logits = student_.dino_head.forward(out[1].x_norm_clstoken, context.precision);
        std::vector<Variable> views;
        for (int64_t v = 0; v < local_views; ++v)
            views.push_back(slice(logits, 0, v * images, (v + 1) * images));
        const Variable local =
            dino_loss(views, {target.cls.slice(0, 0, images), target.cls.slice(0, images, 2 * images)},
                      config_.student_temp) *
            (1 / terms);
        result.dino_local = local.value();
        result.total = result.total + local;
    }
    result.total = result.total * config_.dino_weight;
    if (config_.koleo_weight > 0 && images >= 2) add_koleo(result, global_cls, images);
    if (target.patches.defined()) {
        const Variable logits =
            student_.patch_head().forward(rows_at(out[0].x_norm_patchtokens, positions), context.precision);
        const Tensor weights = batch.weights.defined() ? batch.weights : mask_weights(batch.masks);
        const Variable ibot =
            ibot_loss(logits, target.patches, weights, batch.masks.size(0), config_.student_temp);
        result.ibot = ibot.value();
        result.total = result.total + ibot * config_.ibot_weight;
    }
    return result;
}

void SSLMetaArch::add_koleo(SslLosses& losses, const Variable& global_cls, int64_t images) const {
    const Variable koleo =
        koleo_loss(slice(global_cls, 0, 0, images)) + koleo_loss(slice(global_cls, 0, images, 2 * images));
    losses.koleo = koleo.value();
    losses.total = losses.total + koleo * config_.koleo_weight;
}

void SSLMetaArch::commit(double momentum) {
    ema_update(teacher_parameters(), student_parameters(), momentum);
    commit_centers();
}

void SSLMetaArch::commit_centers() {
    if (next_dino_center_.defined()) dino_center_ = next_dino_center_;
    if (next_ibot_center_.defined()) ibot_center_ = next_ibot_center_;
    next_dino_center_ = next_ibot_center_ = Tensor();
}

}  // namespace demi
