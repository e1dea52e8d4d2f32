// index_select_cat and scaled_index_add at DINOv2's shapes: fused casts against explicit ones (cast, fp16
// kernel, cast back), and against memcpy of as many bytes in the same run. Prints processor times (the
// machine may be shared), useful GB/s and the ratios.
//   DEMI_THREADS=1 build/tests/bench_index_ops --benchmark_repetitions=9
//   --benchmark_enable_random_interleaving=true
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>

#include "ops/index_select_cat/index_select_cat.h"
#include "ops/scaled_index_add/scaled_index_add.h"
#include "runtime/allocator.h"
#include "runtime/random.h"

namespace demi {
namespace {

struct Size {
    const char* name;
    int64_t B, M, D;
    double keep;
};
constexpr Size kSizes[] = {{"tiny [64,65,192]", 64, 65, 192, 0.6},
                           {"ViT-S [64,257,384]", 64, 257, 384, 0.6},
                           {"ViT-L [64,257,1024]", 64, 257, 1024, 0.6},
                           {"ViT-g local [96,50,1536]", 96, 50, 1536, 0.6}};

struct Work {
    Tensor x, source, scaling, index, dy_flat, dy;
    int64_t taken;

    Work(const Size& s, DType dtype) {
        Generator generator{1};
        const int64_t kept = static_cast<int64_t>(static_cast<double>(s.B) * s.keep);
        const auto draw = [&](const Shape& shape) {
            Tensor t = Tensor::empty(shape);
            normal(t, generator);
            return t.to(dtype);
        };
        x = draw({s.B, s.M, s.D});
        source = draw({kept, s.M, s.D});
        scaling = draw({s.D});
        dy = draw({s.B, s.M, s.D});
        taken = kept * s.M * s.D;
        dy_flat = draw({taken});
        const std::vector<int64_t> order = generator.permutation(s.B);
        index = Tensor::from(std::vector<int64_t>(order.begin(), order.begin() + kept), {kept});
    }
};

using Run = std::function<void(const Work&, const Boundary&)>;

void select(const Work& w, const Boundary& b) {
    benchmark::DoNotOptimize(index_select_cat({w.x.view({w.x.size(0), -1})}, {w.index}, b));
}
void select_backward(const Work& w, const Boundary& b) {
    const Variable x(w.x.view({w.x.size(0), -1}), true);
    // the forward pass goes along; its time is in select
    const Variable y = index_select_cat({x}, {w.index}, b);
    y.backward(w.dy_flat);
}
void add(const Work& w, const Boundary& b) {
    benchmark::DoNotOptimize(scaled_index_add(w.x, w.index, w.source, w.scaling, 1 / 0.6f, b));
}
void add_backward(const Work& w, const Boundary& b) {
    const Variable x(w.x, true), s(w.source, true), c(w.scaling, true);
    scaled_index_add(x, w.index, s, c, 1 / 0.6f, b).backward(w.dy);
}

// Everything that must be read and written once, in elements.
struct Op {
    const char* name;
    Run run;
    int64_t (*elements)(const Work&);
};
const Op kOps[] = {
    {"select", select, [](const Work& w) { return 2 * w.taken; }},
    {"select fwd+bwd", select_backward, [](const Work& w) { return 3 * w.taken + w.x.numel(); }},
    {"add", add, [](const Work& w) { return 2 * w.x.numel() + w.taken; }},
    {"add fwd+bwd", add_backward, [](const Work& w) { return 4 * w.x.numel() + 4 * w.taken; }},
};

const std::map<std::string, Boundary> kPaths = {
    {"explicit", {.explicit_casts = true, .count = false}},
    {"strict", {.count = false}},
    {"strict, counted", {}},
    {"strict, automatic scale", {.grad_scale = GradScale::automatic()}},
    {"wide", {.mode = BoundaryMode::wide}},
    {"off", {.mode = BoundaryMode::off}},
};

std::string key(const Size& s, DType dtype, const Op& op, const std::string& path) {
    return std::string(s.name) + " " + std::string(name(dtype)) + "/" + op.name + "/" + path;
}

void measure(benchmark::State& state, const Size& s, DType dtype, const Op& op, const std::string& path) {
    static std::map<std::pair<const Size*, DType>, Work> drawn;
    const Work& w = drawn.try_emplace({&s, dtype}, s, dtype).first->second;
    const int64_t bytes = op.elements(w) * static_cast<int64_t>(size_of(dtype));
    if (path == "memcpy") {
        const Tensor from = Tensor::zeros({bytes / 2}, DType::u8);
        Tensor to = Tensor::zeros({bytes / 2}, DType::u8);
        for (auto _ : state) {
            std::memcpy(to.mutable_raw(), from.raw(), static_cast<size_t>(bytes / 2));
            benchmark::ClobberMemory();
        }
    } else {
        const Boundary boundary = kPaths.at(path);
        op.run(w, boundary);
        reset_peak();
        const int64_t before = allocator_stats().live_bytes;
        op.run(w, boundary);
        state.counters["peak_MB"] = static_cast<double>(allocator_stats().peak_bytes - before) * 1e-6;
        for (auto _ : state) op.run(w, boundary);
    }
    state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * bytes);
}

// Keeps the best time of every benchmark: the machine may be shared.
class Table : public benchmark::ConsoleReporter {
  public:
    void ReportRuns(const std::vector<Run>& runs) override {
        for (const Run& run : runs) {
            if (run.run_type != Run::RT_Iteration) continue;
            Line& line = lines_[run.run_name.function_name];
            const double time = run.GetAdjustedCPUTime();
            if (line.best == 0 || time < line.best) line.best = time;
            const auto bytes = run.counters.find("bytes_per_second");
            if (bytes != run.counters.end()) line.speed = std::max(line.speed, bytes->second.value);
            const auto peak = run.counters.find("peak_MB");
            if (peak != run.counters.end()) line.peak = peak->second.value;
        }
    }
    void Finalize() override {
        std::printf("%-32s %-16s %-24s %9s %8s %9s %10s %10s\n", "shape", "op", "path", "ms", "GB/s",
                    "peak MB", "x explicit", "x memcpy");
        for (const Size& s : kSizes)
            for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
                for (const Op& op : kOps) print(s, dtype, op);
    }

  private:
    struct Line {
        double best = 0, speed = 0, peak = 0;
    };
    void print(const Size& s, DType dtype, const Op& op) {
        const Line reference = lines_[key(s, dtype, op, "explicit")],
                   copy = lines_[key(s, dtype, op, "memcpy")];
        const auto one = [&](const std::string& path) {
            const Line line = lines_[key(s, dtype, op, path)];
            if (line.best == 0) return;
            std::printf("%-32s %-16s %-24s %9.3f %8.1f %9.1f %10.2f %10.2f\n",
                        (std::string(s.name) + " " + std::string(name(dtype))).c_str(), op.name, path.c_str(),
                        line.best, line.speed * 1e-9, line.peak, reference.best / line.best,
                        copy.best / line.best);
        };
        one("memcpy");
        for (const auto& path : kPaths) one(path.first);
    }
    std::map<std::string, Line> lines_;
};

}  // namespace
}  // namespace demi

int main(int argc, char** argv) {
    using namespace demi;
    benchmark::Initialize(&argc, argv);
    for (const Size& s : kSizes)
        for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
            for (const Op& op : kOps) {
                std::vector<std::string> paths{"memcpy"};
                for (const auto& path : kPaths) paths.push_back(path.first);
                for (const std::string& path : paths)
                    benchmark::RegisterBenchmark(key(s, dtype, op, path).c_str(), measure, s, dtype, op, path)
                        ->Unit(benchmark::kMillisecond)
                        ->MeasureProcessCPUTime();
            }
    Table table;
    benchmark::RunSpecifiedBenchmarks(&table);
}
