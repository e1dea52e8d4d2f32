#pragma once
// Student and teacher of DINOv2 (dinov2/train/ssl_meta_arch.py): DINO loss on class tokens, iBOT
// loss on masked patches, KoLeo on the student's class tokens. The teacher is an average of the
// student and gets no gradient. After distil() a frozen teacher makes the targets, and the average is only what remains
// of the run.
#include <memory>

#include "models/frozen_teacher.h"
#include "runtime/capture.h"

namespace demi {

struct SslConfig {
    ViTConfig backbone;
    DinoHeadConfig head;  // in_dim is the backbone's width
    bool separate_ibot_head = false;
    std::string centering = "sinkhorn_knopp";  // or "centering"
    double student_temp = 0.1;
    int sinkhorn_iterations = 3;
    double center_momentum = 0.9;
    double dino_weight = 1, koleo_weight = 0.1, ibot_weight = 1;
    bool xavier = false;  // initialisation for narrow models
    // Above 0: no heads. A linear layer makes features of this width, that of a frozen teacher, of the student's tokens;
    // the losses are sum (student - teacher)^2 / sum teacher^2: of the class tokens of global crops and of the same
    // crops, of those of local crops and of both global ones, and (iBOT's weight) of all patches of global crops.
    int64_t feature_dim = 0;
};

struct SslBatch {
    Tensor global_crops;  // [2 B, C, G, G]: all first views, then all second
    Tensor local_crops;   // [n B, C, L, L], view by view; undefined for none
    Tensor masks;         // bool [2 B, patches]; undefined for no iBOT
    // masked_positions() and mask_weights() of them, or undefined: then the device is asked for the masks.
    Tensor positions{}, weights{};
};

struct SslLosses {
    Variable total;
    // Each one number, on the device; undefined: there is no such part.
    Tensor dino_local, dino_global, koleo, ibot;  // as they enter the total, before weights
    Tensor target_entropy;  // f64: mean entropy of the class-token targets: ln K when they say nothing
};

struct SslLogits {
    Tensor cls;      // of the teacher, [2 B, K], rows already swapped between the views
    Tensor patches;  // [masked, K]; undefined without masks
    // Of features: cls [2 B, D] in the order of the crops, patches [2 B N, D].
};
using SslTargets = SslLogits;  // what centering or Sinkhorn-Knopp makes of them

class SSLMetaArch {
  public:
    SSLMetaArch(const SslConfig& config, Generator& generator);

    // From now on targets are this teacher's, which never moves. Its heads need as many prototypes as the student's, or
    // its width must be feature_dim. Before to_device().
    void distil(FrozenTeacher teacher);

    // Losses of one batch. Also computes where the centers will move; commit() moves them. A captured step
    // (runtime/captured_step.h) takes sinkhorn_knopp, and masks with positions and weights.
    SslLosses losses(const SslBatch& batch, const LiveNumber& teacher_temp, const ForwardContext& context);
    // The same in three parts, for a batch that is cut into shards, of which a rank of a job has some: the teacher's
    // logits of each own shard, the targets of all of them, the losses of each.
    SslLogits teacher_logits(const SslBatch& batch, const ForwardContext& context) const;
    std::vector<SslTargets> targets(const std::vector<SslLogits>& logits, double teacher_temp,
                                    const std::function<Tensor(const Tensor&)>& over_shards);
    SslLosses student_losses(const SslBatch& batch, const SslTargets& target,
                             const ForwardContext& context) const;
    // After a step that was taken: teacher = momentum * teacher + (1 - momentum) * student, centers to their
    // new place. After a skipped step, do not call it: nothing moves.
    void commit(double momentum);
    void commit_centers();  // the centers alone

    // Names "backbone.*", "dino_head.*", "ibot_head.*".
    NamedParameters student_parameters();
    NamedParameters teacher_parameters();
    using Places = std::vector<std::pair<std::string, Variable*>>;  // the same, where they lie in the model
    Places student_places() { return places_of(student_); }
    Places teacher_places() { return places_of(teacher_); }
    NamedTensors centers() const;  // "dino_center", "ibot_center": part of a checkpoint
    void set_centers(const Tensor& dino, const Tensor& ibot);
    void to_device(Device device);

    const DinoVisionTransformer& student_backbone() const { return student_.backbone; }
    const DinoVisionTransformer& teacher_backbone() const { return teacher_.backbone; }
    const SslConfig& config() const { return config_; }

  private:
    struct Branch {
        DinoVisionTransformer backbone;
        DINOHead dino_head, ibot_head;
        Linear feature_head;
        bool separate = false;
        const DINOHead& patch_head() const { return separate ? ibot_head : dino_head; }
        void visit(const std::string& prefix, const ParameterVisitor& fn);
    };
    static Places places_of(Branch& branch);
    Tensor positions_of(const SslBatch& batch) const;  // of masked patches; undefined without
    SslLosses feature_losses(const SslBatch& batch, const SslTargets& target,
                             const ForwardContext& context) const;
    void add_koleo(SslLosses& losses, const Variable& global_cls, int64_t images) const;
    Tensor center_or_sinkhorn(const Tensor& logits, Tensor& center, Tensor& next, const LiveNumber& temp);

    SslConfig config_;
    Branch student_, teacher_;
    std::shared_ptr<FrozenTeacher> frozen_;
    Tensor dino_center_, ibot_center_;            // [1, K]
    Tensor next_dino_center_, next_ibot_center_;  // undefined: no move pending
};

}  // namespace demi
