// What tests/gpu/run.sh measures on a GPU:
//   gpu_bench train STEPS     a small vision transformer in f16 with drop path and loss scaling, on drawn data; prints
//                             the losses and a checksum of all parameters, which must not differ from run to run;
//                             with a third word each step is replayed as a CUDA graph, to the same bits
//   gpu_bench bench FILE      times at DINOv2's shapes, one line of JSON each; tests/gpu/torch_bench.py has the same
//                             names. A word behind FILE: only names that contain it
//   gpu_bench steps COUNT     COUNT training steps of ViT-S/16 in f16, batch 64, for a profiler to look at
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>

#include "models/grad_scaler.h"
#include "models/optimizer.h"
#include "models/vision_transformer.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/index_select_cat/index_select_cat.h"
#include "ops/layernorm/layernorm.h"
#include "ops/memory_efficient_attention/memory_efficient_attention.h"
#include "ops/scaled_index_add/scaled_index_add.h"
#include "runtime/captured_step.h"
#include "runtime/copy.h"
#include "runtime/cuda/stream.h"
#include "tests/support/tiny_vit.h"

namespace demi {
namespace {

const Device kDevice = Device::cuda();

Tensor drawn(const Shape& shape, DType dtype = DType::f16, uint64_t seed = 1) {
    Generator generator{seed};
    Tensor x = Tensor::empty(shape, DType::f32);
    normal(x, generator);
    return x.to(dtype).to(kDevice);
}

struct Network {
    DinoVisionTransformer backbone;
    Linear head;
    void visit(const std::string& prefix, const ParameterVisitor& fn) {
        backbone.visit(prefix, fn);
        head.visit(prefix + "head.", fn);
    }
};

// A training step in f16 with f32 parameters: loss scaling, clipping, AdamW.
class Trainer {
  public:
    Trainer(const ViTConfig& config, int64_t batch, int64_t classes)
        : network_{DinoVisionTransformer(config, generator_),
                   Linear(config.embed_dim, classes, true, generator_)},
          images_(drawn({batch, 3, config.img_size, config.img_size}, DType::f32, 3)) {
        to_device(network_, kDevice);
        parameters_ = parameters_of(network_);
        optimizer_.emplace(parameters_, parameter_options(parameters_, {}));
        std::vector<int64_t> labels;
        for (int64_t i = 0; i < batch; ++i) labels.push_back(i * 7 % classes);
        labels_ = Tensor::from(labels, {batch}).to(kDevice);
        context_.training = true;
        context_.precision = Precision::f16;
        context_.generator = &generator_;
    }

    // From now on the body is one CUDA graph.
    void capture() {
        captured_.emplace(kDevice, [this] { body(); });
    }

    double step() {
        captured_ ? (*captured_)() : body();
        const double norm = rates_.factors.values.to_vector<double>()[0];
        if (scaler_.update(!(norm < HUGE_VAL))) optimizer_->take_back();
        return loss_.item();
    }

    uint64_t checksum() const {
        uint64_t sum = 14695981039346656037u;
        for (const auto& [name, p] : parameters_) {
            const Tensor host = p.value().to(Device::cpu());
            const auto* bytes = static_cast<const unsigned char*>(host.raw());
            for (size_t i = 0; i < static_cast<size_t>(host.numel()) * size_of(host.dtype()); ++i)
                sum = (sum ^ bytes[i]) * 1099511628211u;
        }
        return sum;
    }

  private:
    void body() {
        const ViTOutput out = network_.backbone.forward_features(images_, context_);
        loss_ = cross_entropy(network_.head.forward(out.x_norm_clstoken), labels_);
        scaler_.backward(loss_);
        rates_.lr = 1e-4;
        rates_.weight_decay = 0.05;
        rates_.factors = gradient_factors(parameters_, {parameters_.size()}, scaler_.live_inverse(), 1);
        optimizer_->step(rates_);
        optimizer_->zero_grad();
    }

    Generator generator_{7};
    Network network_;
    NamedParameters parameters_;
    std::optional<Optimizer> optimizer_;
    GradScaler scaler_;
    ForwardContext context_;
    Variable images_, loss_;
    Tensor labels_;
    StepRates rates_;
    std::optional<CapturedStep> captured_;
};

int train(int steps, bool captured) {
    ViTConfig config = test::tiny_vit(32, 192, 4, 3);
    config.drop_path_rate = 0.3;
    config.drop_path_uniform = true;
    config.init_values = 1e-2;
    Trainer trainer(config, 32, 10);
    if (captured) trainer.capture();
    for (int i = 0; i < steps; ++i) std::printf("step %d loss %.9g\n", i + 1, trainer.step());
    std::printf("parameters %016llx\n", static_cast<unsigned long long>(trainer.checksum()));
    return 0;
}

class Report {
  public:
    Report(const std::string& path, std::string only) : out_(path), only_(std::move(only)) {}

    // The median over rounds of `inner` calls each, between events of the device.
    void time(const std::string& name, double bytes, double flops, const std::function<void()>& fn,
              int rounds = 20, int inner = 10) {
        if (name.find(only_) == name.npos) return;
        for (int i = 0; i < 3; ++i) fn();
        std::vector<double> times;
        for (int r = 0; r < rounds; ++r) {
            gpu::Event begin(kDevice), end(kDevice);
            begin.record();
            for (int i = 0; i < inner; ++i) fn();
            end.record();
            times.push_back(end.milliseconds_since(begin) / inner);
        }
        std::sort(times.begin(), times.end());
        const double ms = times[times.size() / 2];
        out_ << "{\"name\": \"" << name << "\", \"ms\": " << ms << ", \"bytes\": " << bytes
             << ", \"flops\": " << flops << "}" << std::endl;
        std::printf("%-44s %9.3f ms\n", name.c_str(), ms);
        std::fflush(stdout);
    }

  private:
    std::ofstream out_;
    std::string only_;
};

Tensor rows_of(int64_t count, uint64_t seed) {
    Generator generator{seed};
    std::vector<int64_t> order = generator.permutation(count);
    order.resize(static_cast<size_t>(static_cast<double>(count) * 0.7));
    return Tensor::from(order, {static_cast<int64_t>(order.size())}).to(kDevice);
}

void index_ops(Report& report, const std::string& name, int64_t dim) {
    const Tensor large = drawn({128, 257 * dim}), small = drawn({512, 50 * dim});
    const Tensor at = rows_of(128, 1), more = rows_of(512, 2);
    const Boundary off{.mode = BoundaryMode::off};
    const int64_t taken = at.numel() * large.size(1) + more.numel() * small.size(1);
    report.time("index_select_cat " + name, 4.0 * static_cast<double>(taken), 0, [&] {
        index_select_cat({large, small}, {at, more}, off);
    });
    const int64_t all = large.numel() + small.numel();
    const Tensor taken_dy = drawn({taken}, DType::f16, 4);
    report.time("index_select_cat both " + name, 2.0 * static_cast<double>(3 * taken + all), 0, [&] {
        const Variable a(large, true), b(small, true);
        index_select_cat({a, b}, {at, more}, off).backward(taken_dy);
    });
    const Tensor large32 = large.to(DType::f32), small32 = small.to(DType::f32);
    // f32 through fp16 and back; counting asks the device for its counters after every call
    const Boundary strict{}, uncounted{.count = false};
    report.time("index_select_cat f32 strict " + name, 8.0 * static_cast<double>(taken), 0, [&] {
        index_select_cat({large32, small32}, {at, more}, strict);
    });
    report.time("index_select_cat f32 strict " + name + ", uncounted", 8.0 * static_cast<double>(taken), 0,
                [&] {
                    index_select_cat({large32, small32}, {at, more}, uncounted);
                });
    const Tensor x = drawn({128, 257, dim}), source = drawn({at.numel(), 257, dim}), scaling = drawn({dim});
    report.time("scaled_index_add " + name, 2.0 * static_cast<double>(2 * x.numel() + source.numel()), 0,
                [&] { scaled_index_add(x, at, source, scaling, 1 / 0.7f, off); });
    const Tensor dy = drawn({128, 257, dim}, DType::f16, 5);
    report.time("scaled_index_add both " + name,
                2.0 * static_cast<double>(2 * x.numel() + 4 * source.numel()), 0, [&] {
                    const Variable a(x, true), b(source, true), c(scaling, true);
                    scaled_index_add(a, at, b, c, 1 / 0.7f, off).backward(dy);
                });
    const Tensor x32 = x.to(DType::f32), source32 = source.to(DType::f32), scaling32 = scaling.to(DType::f32);
    report.time("scaled_index_add f32 strict " + name,
                4.0 * static_cast<double>(2 * x.numel() + source.numel()), 0,
                [&] { scaled_index_add(x32, at, source32, scaling32, 1 / 0.7f, strict); });
    report.time("scaled_index_add f32 strict " + name + ", uncounted",
                4.0 * static_cast<double>(2 * x.numel() + source.numel()), 0,
                [&] { scaled_index_add(x32, at, source32, scaling32, 1 / 0.7f, uncounted); });
}

void attention_case(Report& report, const std::string& what, const Shape& shape, const AttentionBias& bias,
                    double pairs) {
    const double flops = 4 * pairs * static_cast<double>(shape[2] * shape[3]);
    const Tensor q = drawn(shape, DType::f16, 1), k = drawn(shape, DType::f16, 2),
                 v = drawn(shape, DType::f16, 3);
    report.time("attention forward " + what, 0, flops, [&] { memory_efficient_attention(q, k, v, bias); });
    const Tensor dy = drawn(shape, DType::f16, 4);
    report.time("attention both " + what, 0, 3.5 * flops, [&] {
        const Variable a(q, true), b(k, true), c(v, true);
        memory_efficient_attention(a, b, c, bias).backward(dy);
    });
}

void attention(Report& report, const std::string& name, int64_t heads) {
    attention_case(report, name + " dense 257", {64, 257, heads, 64}, {}, 64.0 * 257 * 257);
    attention_case(report, name + " dense 1024", {16, 1024, heads, 64}, {}, 16.0 * 1024 * 1024);
    std::vector<int64_t> lengths(16, 257);
    lengths.insert(lengths.end(), 64, 50);
    attention_case(report, name + " packed", {1, 16 * 257 + 64 * 50, heads, 64},
                   BlockDiagonalMask::from_seqlens(lengths), 16.0 * 257 * 257 + 64.0 * 50 * 50);
}

int bench(const std::string& path, const std::string& only) {
    Report report(path, only);
    const Tensor block = drawn({int64_t{1} << 27}), other = Tensor::like(block);
    report.time("copy", 4.0 * static_cast<double>(block.numel()), 0, [&] { copy(other, block); });
    struct Model {
        const char* name;
        int64_t dim;
    };
    for (const Model& m : {Model{"S", 384}, Model{"B", 768}, Model{"L", 1024}}) {
        index_ops(report, m.name, m.dim);
        attention(report, m.name, m.dim / 64);
        const Tensor x = drawn({16448, m.dim}), w = drawn({m.dim}, DType::f32),
                     b = drawn({m.dim}, DType::f32);
        report.time(std::string("layernorm ") + m.name, 4.0 * static_cast<double>(x.numel()), 0,
                    [&] { layernorm(x, w, b); });
    }
    Trainer trainer(vit_config("vit_small"), 64, 1000);
    report.time(
        "training step ViT-S/16 f16, batch 64", 0, 0, [&] { trainer.step(); }, 10, 1);
    trainer.capture();
    report.time(
        "training step ViT-S/16 f16, batch 64, CUDA graph", 0, 0, [&] { trainer.step(); }, 10, 1);
    return 0;
}

int steps(int count) {
    Trainer trainer(vit_config("vit_small"), 64, 1000);
    for (int i = 0; i < count; ++i) std::printf("step %d loss %.9g\n", i + 1, trainer.step());
    return 0;
}

int run(int argc, char** argv) {
    const std::string_view mode = argc > 2 ? argv[1] : "";
    if (mode == "train") return train(std::atoi(argv[2]), argc > 3);
    if (mode == "bench") return bench(argv[2], argc > 3 ? argv[3] : "");
    if (mode == "steps") return steps(std::atoi(argv[2]));
    std::fprintf(stderr, "usage: gpu_bench train STEPS [graph] | bench FILE [NAME] | steps COUNT\n");
    return 2;
}

}  // namespace
}  // namespace demi

int main(int argc, char** argv) {
    try {
        return demi::run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "gpu_bench: %s\n", error.what());
        return 1;
    }
}
