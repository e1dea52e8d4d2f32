// A frozen teacher, and what a student learns from it.
#include "models/ssl_meta_arch.h"
#include "tests/misuse/model_support.h"
#include "tests/misuse/walk.h"

namespace demi::test {

static DinoHeadConfig head_of(int64_t in_dim) { return {in_dim, 6, 5, 3, 2}; }

void distillation_walks(Walks& walks) {
    walks.add(
        "SSLMetaArch::distil FrozenTeacher::images FrozenTeacher::has_heads FrozenTeacher::patch_head "
        "FrozenTeacher::prototypes FrozenTeacher::visit",
        [](Tensor crops, Tensor cls, Tensor patches, int64_t student_patch, int64_t feature_dim,
           int64_t in_dim, bool heads, float scale) {
            Generator g{1};
            SslConfig c;
            c.backbone = small_vit();
            c.head = head_of(4);
            c.feature_dim = feature_dim;
            FrozenTeacher teacher;
            teacher.backbone = DinoVisionTransformer(small_vit(), g);
            if (heads) teacher.dino_head = DINOHead(head_of(in_dim), g);
            teacher.scale = teacher.shift = {scale};
            (void)(teacher.has_heads(), teacher.patch_head(), teacher.prototypes(),
                   teacher.images(crops, student_patch));
            SSLMetaArch arch(c, g);
            arch.distil(teacher);
            const ForwardContext context = context_of(true, Precision::f32, &g);
            use(arch.losses({crops, {}, {}}, 0.1, context).total);
            use(arch.student_losses({crops, {}, {}}, {cls, patches}, context).total);
        },
        tensor({4, 1, 4, 4}), tensor({4, 4}), tensor({16, 4}), 2, 4, 4, false, 1.5f);
}

}  // namespace demi::test
