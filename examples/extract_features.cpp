// Features of pictures from any checkpoint, as safetensors or .npy.
#include <CLI/CLI.hpp>
#include <charconv>

#include "examples/common/program.h"
#include "examples/features/extract.h"
#include "examples/train/help.h"

namespace demi::examples {
namespace {

// "224" or "224x320", height first.
void read_size(const std::string& text, ExtractOptions& o) {
    const char* const end = text.data() + text.size();
    auto [at, error] = std::from_chars(text.data(), end, o.image_size);
    o.image_width = 0;
    if (error == std::errc() && at != end && (*at == 'x' || *at == 'X'))
        std::tie(at, error) = [&] {
            const auto found = std::from_chars(at + 1, end, o.image_width);
            return std::pair(found.ptr, found.ec);
        }();
    const auto fine = [](int64_t side) { return side >= 8 && side <= 4096; };
    if (error != std::errc() || at != end || !fine(o.image_size) ||
        (o.image_width != 0 && !fine(o.image_width)))
        throw CLI::ValidationError("--image-size", "N or HxW, 8 to 4096, is needed: got '" + text + "'");
}

void add_input(CLI::App& app, ExtractOptions& o) {
    app.add_option("--checkpoint", o.checkpoint,
                   ".safetensors, .pth, .pt or .ckpt, or a Hugging Face folder: DINOv2 or DINOv3 by Meta, "
                   "Hugging Face or timm")
        ->required();
    app.add_option(
           "--data", o.data,
           "Folder of pictures, CIFAR-10 binary or IDX files; one picture; a text file with a path a line "
           "(and, behind a tab, a class), or - for such lines on standard input")
        ->required();
    app.add_option("--heads", o.heads, "Attention heads (default: what the checkpoint says, else width / 64)")
        ->check(CLI::Range(1, 256));
    app.add_option("--key", o.key, "Where a checkpoint holds several networks: what its names begin with");
    app.add_flag("--partial", o.partial,
                 "Go on where names of the checkpoint have no place, or parameters stay as initialised");
    app.add_flag("--ignore-crc", o.ignore_crc, "Read a .pth that was written without checksums");
    app.add_option(
           "--split", o.split,
           "train, val, test or all (default: the test part where the data has one of its own, else every "
           "picture, in the order of class and file names)")
        ->check(CLI::IsMember({"train", "val", "test", "all"}));
    app.add_flag("--skip-broken", o.skip_broken,
                 "Leave out pictures that cannot be decoded, and count them (default: an error)");
}

void add_framing(CLI::App& app, ExtractOptions& o) {
    app.add_option_function<std::string>(
           "--image-size", [&](const std::string& text) { read_size(text, o); },
           "Size that pictures are brought to, N or HxW (default: the training size, at most 224)")
        ->type_name("SIZE");
    app.add_option(
           "--framing", o.framing,
           "square: the largest centred part; crop: the shorter side to --resize, then the middle (DINOv2's "
           "evaluation); stretch: the whole picture, squeezed (DINOv3's); fit: the whole picture in its own "
           "shape, the shorter side --image-size, both a multiple of the patch")
        ->check(CLI::IsMember({"square", "crop", "stretch", "fit"}))
        ->capture_default_str();
    app.add_option("--resize", o.resize,
                   "The shorter side before the middle is cut out (default: the size times 256 / 224)")
        ->check(CLI::Range(8, 8192));
    app.add_option("--filter", o.filter, "bicubic or bilinear, with antialiasing")
        ->check(CLI::IsMember({"bicubic", "bilinear"}))
        ->capture_default_str();
    app.add_flag("--exif-orientation,!--no-exif-orientation", o.exif_orientation,
                 "Turn pictures as their EXIF block says (default: on)");
}

void add_output(CLI::App& app, ExtractOptions& o) {
    app.add_option(
           "--out", o.out,
           "Result: .safetensors, or .npy with a .json beside it; both hold features, labels, names of "
           "files and the preprocessing")
        ->required();
    app.add_option(
           "--layers", o.layers,
           "Class tokens of the last N blocks behind each other; or of a list of blocks as 2,5,-1 (from 0, "
           "negative from the end; 5, is block 5)")
        ->capture_default_str();
    app.add_flag("--patch-mean", o.patch_mean, "Append the mean of the patch tokens");
    app.add_flag("--patch-tokens", o.patch_tokens,
                 "Patch tokens of these blocks too: [pictures, rows, columns, D]");
    app.add_flag("--registers,--storage-tokens", o.registers,
                 "Register (storage) tokens of these blocks too");
    app.add_flag("--attention", o.attention,
                 "The class token's attention to the patches in the last block too: [pictures, heads, rows, "
                 "columns]; costs a second pass");
    app.add_flag("--resume,!--no-resume", o.resume, "Go on from what an interrupted run left (default: on)");
}

void add_computing(CLI::App& app, ExtractOptions& o) {
    app.add_option("--batch", o.batch, "Pictures at a time (default: 2048 patches, at most 64 pictures)")
        ->check(CLI::Range(1, 4096));
    app.add_option("--workers", o.workers, "Threads that read and decode ahead")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    app.add_option("--precision", o.precision, "f32, bf16 or f16")
        ->check(CLI::IsMember({"f32", "bf16", "f16"}))
        ->capture_default_str();
    app.add_option("--boundary", o.boundary, "off, or what fp16-only operators would do: strict or wide")
        ->check(CLI::IsMember({"off", "strict", "wide"}))
        ->capture_default_str();
    app.add_option("--device", o.device, "auto, cpu, cuda or cuda:N")->capture_default_str();
}

}  // namespace
}  // namespace demi::examples

int main(int argc, char** argv) {
    using namespace demi;
    examples::ExtractOptions options;
    CLI::App app(
        "Writes a feature vector for each picture, from a checkpoint of a vision transformer. Stopped by "
        "Ctrl-C or SIGTERM, the same command goes on.",
        "extract_features");
    examples::add_input(app, options);
    examples::add_framing(app, options);
    examples::add_output(app, options);
    examples::add_computing(app, options);
    examples::set_help(app, "demi " DEMI_VERSION);
    if (const int status = examples::parse_program(app, argc, argv, "extract_features"); status >= 0)
        return status;
    return examples::run_program("extract_features", [&] { return examples::extract_features(options); });
}
