// How good saved features are: nearest neighbours, a linear probe; and patch tokens as pictures.
#include <CLI/CLI.hpp>

#include "examples/common/program.h"
#include "examples/features/probe.h"
#include "examples/train/help.h"

int main(int argc, char** argv) {
    using namespace demi;
    examples::ProbeOptions options;
    bool no_knn = false;
    CLI::App app(
        "Says how good features are that extract_features wrote: by nearest neighbours and a linear probe.",
        "probe_features");
    app.add_option("features", options.features, "Features with labels: .safetensors, or .npy with its .json")
        ->required();
    app.add_option(
        "--test", options.test,
        "Features to test with (default: the part of the file that its split calls so, else a tenth of "
        "each class)");
    app.add_option("--knn", options.ks, "Numbers of neighbours, as 10,20,100 (default 10)")
        ->delimiter(',')
        ->check(CLI::Range(1, 100000));
    app.add_flag("--no-knn", no_knn, "No nearest neighbours");
    app.add_flag("--linear", options.linear, "A linear probe too");
    app.add_option("--pca", options.pca,
                   "Folder for pictures of the patch tokens: their three principal components as colours");
    app.add_option("--pictures", options.pictures, "How many pictures --pca draws, the first of the file")
        ->check(CLI::Range(1, 100000))
        ->capture_default_str();
    app.add_option("--seed", options.seed, "Of what is set apart, and of the linear probe")
        ->capture_default_str();
    app.add_flag("--json", options.json, "One line of JSON in place of the table");
    examples::set_help(app, "demi " DEMI_VERSION);
    if (const int status = examples::parse_program(app, argc, argv, "probe_features"); status >= 0)
        return status;
    if (no_knn) options.ks.clear();
    return examples::run_program("probe_features", [&] {
        examples::probe_features(options);
        return 0;
    });
}
