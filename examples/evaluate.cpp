// How good a trained network is on a data set.
#include <CLI/CLI.hpp>

#include "examples/common/program.h"
#include "examples/train/classify.h"
#include "examples/train/help.h"

int main(int argc, char** argv) {
    using namespace demi::examples;
    EvaluateOptions options;
    CLI::App app("Measures a trained network on a data set: its classifier, and its features by nearest "
                 "neighbours or a linear probe.",
                 "evaluate");
    app.add_option("MODEL", options.model, "model.safetensors of a run, or another file of weights")
        ->required();
    app.add_option("--data", options.data,
                   "Folder of pictures in a folder per class, CIFAR-10 binary or IDX files; or drawn")
        ->required();
    app.add_option("--split", options.split,
                   "train, or test: of data without parts the tenth of each class that train_vit sets apart "
                   "(default: the test part where the data has one, else all pictures)")
        ->check(CLI::IsMember({"train", "test"}));
    app.add_flag("--classes", options.classes, "Accuracy of every class (default: off)");
    app.add_flag("--knn", options.knn, "Nearest neighbours by class tokens (default: off)");
    app.add_flag("--linear", options.linear, "A linear probe on class tokens (default: off)");
    app.add_flag(
        "--skip-broken", options.skip_broken,
        "Leave out pictures that cannot be decoded, and name them (default: an error that names all)");
    add_classify_options(app, options);
    set_help(app, "demi " DEMI_VERSION);
    if (const int status = parse_program(app, argc, argv, "evaluate"); status >= 0) return status;
    return run_program("evaluate", [&] { return evaluate(options); });
}
