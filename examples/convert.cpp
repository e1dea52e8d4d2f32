// Weights of a vision transformer from any checkpoint to one safetensors file, under the names that are asked for.
#include <CLI/CLI.hpp>

#include "examples/common/program.h"
#include "examples/train/help.h"
#include "examples/train/model_file.h"

int main(int argc, char** argv) {
    using namespace demi;
    examples::ConvertOptions options;
    CLI::App app("Writes the network of a checkpoint as one .safetensors file.", "convert");
    app.add_option("in", options.in, ".safetensors, .pth, .pt or .ckpt, or a Hugging Face folder")
        ->required();
    app.add_option("out", options.out, "The .safetensors file to write")->required();
    app.add_option("--to", options.to, "Whose names: meta (ours), hf or timm")
        ->check(CLI::IsMember({"meta", "hf", "timm"}))
        ->capture_default_str();
    app.add_option("--heads", options.heads,
                   "Attention heads (default: what the checkpoint says, else width / 64)")
        ->check(CLI::Range(1, 256));
    app.add_option("--key", options.key,
                   "Where a checkpoint holds several networks: what its names begin with");
    app.add_flag("--partial", options.partial, "Leave out what has no place in a vision transformer");
    app.add_flag("--ignore-crc", options.ignore_crc, "Read a .pth that was written without checksums");
    examples::set_help(app, "demi " DEMI_VERSION);
    if (const int status = examples::parse_program(app, argc, argv, "convert"); status >= 0) return status;
    return examples::run_program("convert", [&] {
        examples::convert(options);
        return 0;
    });
}
