// Features of a folder of pictures from any checkpoint, as safetensors or .npy.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "examples/common/program.h"
#include "examples/train/extract.h"
#include "examples/train/help.h"
#include "examples/train/usage.h"

int main(int argc, char** argv) {
    using namespace demi;
    examples::ExtractOptions options;
    CLI::App app(
        "Writes one feature vector per picture of a folder, from a checkpoint of a vision transformer.",
        "extract_features");
    app.add_option("--checkpoint", options.checkpoint,
                   ".safetensors, .pth, .pt or .ckpt, or a Hugging Face folder: DINOv2 or DINOv3 by Meta, "
                   "Hugging Face or timm")
        ->required();
    app.add_option("--data", options.data, "Folder of pictures, CIFAR-10 binary or IDX files")->required();
    app.add_option("--out", options.out, "Result: .safetensors (features, labels) or .npy (features)")
        ->required();
    app.add_option("--heads", options.heads,
                   "Attention heads (default: what the checkpoint says, else width / 64)")
        ->check(CLI::Range(1, 256));
    app.add_option("--key", options.key,
                   "Where a checkpoint holds several networks: what its names begin with");
    app.add_flag("--partial", options.partial,
                 "Go on where names of the checkpoint have no place, or parameters stay as initialised");
    app.add_flag("--ignore-crc", options.ignore_crc, "Read a .pth that was written without checksums");
    app.add_option("--image-size", options.image_size,
                   "Side that pictures are resized to (default: the training size)")
        ->check(CLI::Range(8, 4096));
    app.add_option("--layers", options.layers, "Concatenate the class tokens of the last N blocks")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    app.add_flag("--patch-mean", options.patch_mean, "Append the mean of the patch tokens");
    app.add_option(
           "--split", options.split,
           "train or test (default: the test part where the data has one of its own, else every picture, "
           "in the order of class and file names)")
        ->check(CLI::IsMember({"train", "test"}));
    app.add_option("--batch", options.batch, "Pictures at a time")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    app.add_option("--precision", options.precision, "f32, bf16 or f16")
        ->check(CLI::IsMember({"f32", "bf16", "f16"}))
        ->capture_default_str();
    app.add_option("--boundary", options.boundary,
                   "off, or what fp16-only operators would do: strict or wide")
        ->check(CLI::IsMember({"off", "strict", "wide"}))
        ->capture_default_str();
    app.add_option("--device", options.device, "auto, cpu, cuda or cuda:N")->capture_default_str();
    app.add_flag(
        "--skip-broken", options.skip_broken,
        "Leave out pictures that cannot be decoded, and name them (default: an error that names all)");
    app.add_flag("--exif-orientation,!--no-exif-orientation", options.exif_orientation,
                 "Turn pictures as their EXIF block says (default: on)");
    examples::set_help(app, "demi " DEMI_VERSION);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& asked) {  // --help, --version
        return app.exit(asked);
    } catch (const CLI::ExtrasError&) {
        std::vector<std::string> names;
        for (const CLI::Option* option : app.get_options()) names.push_back("--" + option->get_single_name());
        const std::string text = examples::unknown_arguments(app.remaining(), names);
        std::fprintf(stderr, "extract_features: %s (see --help)\n", text.c_str());
        return 2;
    } catch (const CLI::ParseError& error) {
        std::fprintf(stderr, "extract_features: %s (see --help)\n",
                     examples::plain_range(error.what()).c_str());
        return 2;
    }
    return examples::run_program("extract_features", [&] {
        examples::extract_features(options);
        return 0;
    });
}
