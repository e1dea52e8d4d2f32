// Training steps of a vision transformer on command, for tests/bench/train_step.py,
// which runs PyTorch beside it.
//   bench_train_step MODEL BATCH BOUNDARY DATA [WEIGHTS]
// MODEL tiny, small or nested (2 large and 8 small crops of each image); BOUNDARY off, strict or wide; DATA:
// the images as raw f32, batch after batch; WEIGHTS: the first weights are written there (safetensors). Then
// from standard input, a line of JSON in answer to each:
//   steps N         {"ms": [...], "loss": last}
//   memory          {"peak_rss_kb", "system_allocations" so far, "live_peak_bytes"}
//   profile FILE N  a trace of N steps to FILE, its table to standard error
// With "peaks" for its only argument it answers every line with {"flops", "bandwidth"} per second, without
// any it makes one tensor and ends: the time to start.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>

#include "models/optimizer.h"
#include "models/vision_transformer.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/operators.h"
#include "runtime/allocator.h"
#include "runtime/profile.h"
#include "tests/bench/peaks.h"

namespace demi {
namespace {

struct Setup {
    ViTConfig config;
    int64_t classes = 0;
    std::vector<Shape> images;
};

Setup setup_of(const std::string& model, int64_t batch) {
    Setup s;
    if (model == "tiny") {
        s.config.img_size = 32;
        s.config.patch_size = 4;
        s.config.embed_dim = 192;
        s.config.num_heads = 3;
        s.classes = 10;
        s.images = {{batch, 3, 32, 32}};
    } else if (model == "small" || model == "nested") {
        s.config = vit_config("vit_small");
        s.classes = 1000;
        s.images = {{batch, 3, 224, 224}};
        if (model == "nested") {
            s.config.drop_path_rate = 0.3;
            s.config.drop_path_uniform = true;
            s.config.init_values = 1e-5;
            s.images = {{2 * batch, 3, 224, 224}, {8 * batch, 3, 96, 96}};
        }
    } else {
        fail("bench_train_step", "the model is tiny, small or nested: got '", model, "'");
    }
    return s;
}

struct Network {
    DinoVisionTransformer backbone;
    Linear head;
    void visit(const std::string& prefix, const ParameterVisitor& fn) {
        backbone.visit(prefix, fn);
        head.visit(prefix + "head.", fn);
    }
};

class Trainer {
  public:
    Trainer(const Setup& setup, BoundaryMode mode, const std::string& data, const std::string& weights)
        : network_{DinoVisionTransformer(setup.config, generator_),
                   Linear(setup.config.embed_dim, setup.classes, true, generator_)},
          parameters_(parameters_of(network_)), optimizer_(parameters_, parameter_options(parameters_, {})) {
        std::ifstream in(data, std::ios::binary);
        for (const Shape& shape : setup.images) {
            Tensor t = Tensor::empty(shape);
            in.read(static_cast<char*>(t.mutable_raw()), t.numel() * 4);
            check(in.good(), "bench_train_step", "'", data, "' must hold images ", shape);
            images_.emplace_back(t);
            std::vector<int64_t> labels;
            for (int64_t i = 0; i < shape[0]; ++i) labels.push_back(i * 7 % setup.classes);
            labels_.push_back(Tensor::from(labels, {shape[0]}));
        }
        if (!weights.empty()) {
            NamedTensors named;
            for (const auto& [name, p] : parameters_) named.emplace_back(name, p.value());
            write_safetensors(weights, named);
        }
        context_.training = true;
        context_.generator = &generator_;
        context_.boundary.mode = mode;
    }

    double step() {
        const ProfileScope scope("step");
        Variable loss;
        if (images_.size() == 1) {
            const ViTOutput out = network_.backbone.forward_features(images_[0], context_);
            loss = loss_of(out, 0);
        } else {
            const std::vector<ViTOutput> outs = network_.backbone.forward_features(images_, context_);
            loss = loss_of(outs[0], 0) + loss_of(outs[1], 1);
        }
        const double value = loss.item();
        {
            const ProfileScope backward("backward");
            loss.backward();
        }
        const ProfileScope update("optimizer");
        StepRates rates;
        rates.lr = 1e-4;
        rates.weight_decay = 0.05;
        optimizer_.step(rates);
        optimizer_.zero_grad();
        return value;
    }

  private:
    Variable loss_of(const ViTOutput& out, size_t i) const {
        return cross_entropy(network_.head.forward(out.x_norm_clstoken), labels_[i]);
    }

    Generator generator_{7};
    Network network_;
    NamedParameters parameters_;
    Optimizer optimizer_;
    ForwardContext context_;
    std::vector<Variable> images_;
    std::vector<Tensor> labels_;
};

int64_t peak_rss_kb() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6));
    return 0;
}

void steps(Trainer& trainer, int count) {
    double loss = 0;
    std::printf("{\"ms\": [");
    for (int i = 0; i < count; ++i) {
        const auto start = std::chrono::steady_clock::now();
        loss = trainer.step();
        const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
        std::printf("%s%.3f", i == 0 ? "" : ", ", taken.count());
    }
    std::printf("], \"loss\": %.7f}\n", loss);
}

void answer(Trainer& trainer, const std::string& line) {
    std::istringstream words(line);
    std::string command, file;
    int count = 1;
    words >> command;
    if (command == "steps") {
        words >> count;
        steps(trainer, count);
    } else if (command == "memory") {
        const AllocatorStats stats = allocator_stats();
        std::printf("{\"peak_rss_kb\": %ld, \"system_allocations\": %ld, \"live_peak_bytes\": %ld}\n",
                    static_cast<long>(peak_rss_kb()), static_cast<long>(stats.system_allocations),
                    static_cast<long>(stats.peak_bytes));
    } else if (command == "profile") {
        words >> file >> count;
        start_profile();
        for (int i = 0; i < count; ++i) trainer.step();
        const Profile profile = stop_profile();
        profile.write_trace(file);
        std::cerr << profile.table();
        std::printf("{}\n");
    } else {
        std::printf("{\"error\": \"unknown command\"}\n");
    }
    std::fflush(stdout);
}

void peaks() {
    for (std::string line; std::getline(std::cin, line);) {
        const double flops = measured_flops();
        std::printf("{\"flops\": %.6g, \"bandwidth\": %.6g}\n", flops, measured_bandwidth());
        std::fflush(stdout);
    }
}

int run(int argc, char** argv) {
    if (argc == 2 && std::string_view(argv[1]) == "peaks") return peaks(), 0;
    if (argc < 5) {
        const Variable x(Tensor::full({8}, 1), true);
        return (x + x).value().numel() == 8 ? 0 : 1;
    }
    Trainer trainer(setup_of(argv[1], std::stoll(argv[2])), parse_boundary_mode(argv[3]), argv[4],
                    argc > 5 ? argv[5] : "");
    for (std::string line; std::getline(std::cin, line);) answer(trainer, line);
    return 0;
}

}  // namespace
}  // namespace demi

int main(int argc, char** argv) {
    try {
        return demi::run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
