// Trains a small vision transformer on labelled pictures: drawn by the program, or named by --data.
#include "examples/train/ranks.h"
#include "examples/train/supervised.h"
#include "examples/train/supervised_options.h"

int main(int argc, char** argv) {
    demi::examples::TrainOptions options;
    options.more = &demi::examples::supervised_options;
    options.dim = 96;
    options.depth = 4;
    options.heads = 3;
    options.batch = 64;
    options.lr = 2e-3;
    options.out = "runs/train_vit";
    return demi::examples::run_trainer(
        argc, argv, "train_vit",
        "Trains a vision transformer on labelled pictures and writes checkpoint, metrics and report.",
        options, demi::examples::train_supervised);
}
