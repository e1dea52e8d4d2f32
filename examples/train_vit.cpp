// Trains a small vision transformer on labelled pictures: drawn by the program, or named by --data.
#include <cstdio>
#include <exception>

#include "examples/train/supervised.h"

int main(int argc, char** argv) {
    demi::examples::TrainOptions options;
    options.dim = 96;
    options.depth = 4;
    options.heads = 3;
    options.batch = 64;
    options.lr = 2e-3;
    options.out = "runs/train_vit";
    try {
        const int status = demi::examples::parse_options(
            argc, argv,
            "Trains a vision transformer on labelled pictures and writes checkpoint, metrics and report.",
            options);
        return status >= 0 ? status : demi::examples::train_supervised(options);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "train_vit: %s\n", error.what());
        return 1;
    }
}
