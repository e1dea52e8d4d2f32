// What a trained classifier sees in pictures.
#include <CLI/CLI.hpp>

#include "examples/common/program.h"
#include "examples/train/classify.h"
#include "examples/train/help.h"

int main(int argc, char** argv) {
    using namespace demi::examples;
    PredictOptions options;
    CLI::App app("Says what a trained classifier sees in pictures: the label, how sure it is, and what else "
                 "it might be.",
                 "predict");
    app.add_option("MODEL", options.model,
                   "model.safetensors of a run, or another file of weights with a classifier")
        ->required();
    app.add_option("PICTURES", options.pictures, "Files, or folders of them")->required();
    app.add_option("--top", options.top, "Classes to name")->check(CLI::Range(1, 1000));
    app.add_flag("--json", options.json, "One JSON object a line and picture (default: text)");
    add_classify_options(app, options);
    set_help(app, "demi " DEMI_VERSION);
    if (const int status = parse_program(app, argc, argv, "predict"); status >= 0) return status;
    return run_program("predict", [&] { return predict(options); });
}
