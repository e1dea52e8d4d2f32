#include <CLI/CLI.hpp>

#include "examples/train/classify.h"

namespace demi::examples {

void add_classify_options(CLI::App& app, ClassifyOptions& o) {
    app.add_option("--image-size", o.image_size,
                   "Side that pictures are resized to (default: that of the training)")
        ->check(CLI::Range(8, 4096));
    app.add_option("--heads", o.heads, "Attention heads (default: what the file says, else width / 64)")
        ->check(CLI::Range(1, 256));
    app.add_option("--key", o.key, "Where a file holds several networks: what its names begin with");
    app.add_option("--batch", o.batch, "Pictures at a time")->check(CLI::Range(1, 4096));
    app.add_option("--precision", o.precision, "f32, bf16 or f16")
        ->check(CLI::IsMember({"f32", "bf16", "f16"}));
    app.add_option("--boundary", o.boundary, "off, or what fp16-only operators would do: strict or wide")
        ->check(CLI::IsMember({"off", "strict", "wide"}));
    app.add_option("--device", o.device, "auto, cpu, cuda or cuda:N");
    app.add_flag("--ignore-crc", o.ignore_crc, "Read a .pth that was written without checksums");
}

}  // namespace demi::examples
