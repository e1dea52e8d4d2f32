// Trains a small vision transformer without labels, as DINOv2 does, and measures its
// features by nearest neighbours.
#include "examples/train/ranks.h"
#include "examples/train/selfsupervised.h"
#include "examples/train/ssl_options.h"

int main(int argc, char** argv) {
    demi::examples::TrainOptions options;
    options.more = &demi::examples::self_supervised_options;
    options.dim = 96;
    options.depth = 4;
    options.heads = 3;
    options.batch = 64;
    options.lr = -1;  // by the data set
    options.weight_decay = 0.04;
    options.clip_grad = 3;
    options.drop_path = 0;
    options.layer_scale = 0;
    options.out = "runs/train_dinov2";
    return demi::examples::run_trainer(
        argc, argv, "train_dinov2",
        "Trains a vision transformer without labels (DINOv2) and measures its features.", options,
        demi::examples::train_selfsupervised);
}
