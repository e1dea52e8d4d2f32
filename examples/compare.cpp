// One page about several runs: curves over each other, results, and the settings that differ.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "examples/common/compare.h"
#include "examples/common/files.h"
#include "examples/common/program.h"
#include "examples/train/help.h"

int main(int argc, char** argv) {
    using namespace demi::examples;
    std::vector<std::string> paths;
    std::string out = "compare.html";
    CLI::App app("Writes one page about several runs: their curves over each other, results, and the "
                 "settings that differ.",
                 "compare");
    app.add_option("RUN", paths, "Folders of runs")->required();
    app.add_option("--out", out, "The page");
    set_help(app, "demi " DEMI_VERSION);
    if (const int status = parse_program(app, argc, argv, "compare"); status >= 0) return status;
    return run_program("compare", [&] {
        std::vector<RunSummary> runs;
        for (const std::string& path : paths) runs.push_back(read_run(path));
        make_parent_folders(out);
        write_report(out, compare_runs(std::move(runs)));
        std::printf("%s: %zu runs\n", out.c_str(), paths.size());
        return 0;
    });
}
