// Forward passes of a vision transformer on command, for tests/bench/inference.py, which runs others beside it.
//   bench_inference MODEL SIZE BATCH PRECISION DATA WEIGHTS
// MODEL small or base (patch size 14, LayerScale, as DINOv2), SIZE the side of an image, PRECISION f32, bf16 or f16. DATA: the
// images as raw f32; WEIGHTS: the weights are written there (safetensors). Then a line of JSON for each of standard input's:
//   class N     {"ms": [...], "features": the first numbers of the first image's class token}
//   all N       the same, with all tokens computed
//   memory      {"peak_rss_kb"}
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>

#include "models/checkpoint.h"
#include "models/vision_transformer.h"
#include "ops/linear/inference_mode.h"

namespace demi {
namespace {

int run(char** argv) {
    const std::string kind = argv[1];
    const int64_t size = std::stoll(argv[2]), batch = std::stoll(argv[3]);
    ViTConfig config = vit_config("vit_" + kind, 14);
    config.img_size = 518;
    config.init_values = 1.0;
    config.interpolate_offset = 0.1;
    Generator generator{1};
    DinoVisionTransformer model(config, generator);
    Tensor images = Tensor::empty({batch, 3, size, size});
    std::ifstream in(argv[5], std::ios::binary);
    in.read(static_cast<char*>(images.mutable_raw()), images.numel() * 4);
    check(in.good(), "bench_inference", "'", argv[5], "' must hold images ", images.shape());
    if (argv[6][0] != '\0') write_safetensors(argv[6], state_dict(parameters_of(model)));
    ForwardContext context;
    context.precision = parse_precision(argv[4]);
    context.boundary.mode = BoundaryMode::off;

    const InferenceMode inference;
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string word;
        int64_t count = 0;
        words >> word >> count;
        if (word == "memory") {
            rusage usage{};
            getrusage(RUSAGE_SELF, &usage);
            std::printf("{\"peak_rss_kb\": %ld}\n", usage.ru_maxrss);
        } else {
            std::string times;
            Tensor features;
            for (int64_t i = 0; i < count; ++i) {
                const auto start = std::chrono::steady_clock::now();
                features = word == "class" ? model.forward(images, context).value()
                                           : model.forward_features(images, context).x_norm_clstoken.value();
                const std::chrono::duration<double, std::milli> took =
                    std::chrono::steady_clock::now() - start;
                times += (i == 0 ? "" : ", ") + std::to_string(took.count());
            }
            const std::vector<double> values = features.to_vector<double>();
            std::printf("{\"ms\": [%s], \"features\": [%.7g, %.7g, %.7g, %.7g]}\n", times.c_str(), values[0],
                        values[1], values[2], values[3]);
        }
        std::fflush(stdout);
    }
    return 0;
}

}  // namespace
}  // namespace demi

int main(int argc, char** argv) {
    if (argc != 7) {
        std::fprintf(stderr, "usage: bench_inference MODEL SIZE BATCH PRECISION DATA WEIGHTS (see "
                             "tests/bench/inference.py)\n");
        return 2;
    }
    return demi::run(argv);
}
