// Shows, with numbers and pictures, what the fp16 boundary does to a residual stream and to its gradients in
// strict, wide and off mode. Writes one self-contained page.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "examples/study/page.h"

int main(int argc, char** argv) {
    std::string out = "boundary_study.html";
    uint64_t seed = 1;
    CLI::App app(
        "Shows what a cast to fp16 at an operator's boundary does to a residual stream and its gradients.");
    app.add_option("--out", out, "The page that is written")->capture_default_str();
    app.add_option("--seed", seed, "Of the numbers that cross")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        std::fputs(demi::examples::study::write_page(out, seed).c_str(), stdout);
        std::printf("\nwrote %s\n", out.c_str());
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "boundary_study: %s\n", error.what());
        return 1;
    }
}
