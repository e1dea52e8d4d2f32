// memory_efficient_attention, forward and backward, at the shapes of vision transformers: the casts fused and
// explicit, and no casts. Prints medians of interleaved rounds (processor time with DEMI_THREADS=1, else wall
// clock) and the highest memory.
//   build/tests/bench_attention [ROUNDS] [SHAPE]     with tests/bench/attention_torch.py: beside PyTorch
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include "ops/memory_efficient_attention/memory_efficient_attention.h"
#include "ops/views/split.h"
#include "runtime/allocator.h"
#include "runtime/parallel.h"

namespace demi {
namespace {

struct Size {
    const char* name;
    int64_t batch, tokens, heads, size;
};
const Size kSizes[] = {
    {"N65xB64xH3", 64, 65, 3, 64},      {"N197xB8xH6", 8, 197, 6, 64}, {"N197xB64xH6", 64, 197, 6, 64},
    {"N257xB8xH6", 8, 257, 6, 64},      {"N785xB8xH6", 8, 785, 6, 64}, {"N1024xB2xH6xcausal", 2, 1024, 6, 64},
    {"8x257+32x50xH6", 1, 3656, 6, 64},
};

struct Path {
    const char* name;
    DType dtype;
    Boundary boundary;
};
const Path kPaths[] = {
    {"f32-off", DType::f32, {.mode = BoundaryMode::off}},
    {"f32-strict", DType::f32, {}},
    {"f32-strict-uncounted", DType::f32, {.count = false}},
    {"f32-explicit", DType::f32, {.explicit_casts = true}},
    {"bf16-strict", DType::bf16, {}},
    {"f16", DType::f16, {}},
};

// Milliseconds: processor time of one thread, because the machine may be shared; with
// more threads the clock's.
double now() {
    if (num_threads() == 1) return static_cast<double>(std::clock()) * 1e3 / CLOCKS_PER_SEC;
    const auto time = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double, std::milli>(time).count();
}

struct Samples {
    std::vector<double> forward, backward;
    int64_t peak = 0;
};

AttentionBias mask_of(const Size& s) {
    const std::string name = s.name;
    if (name.find("causal") != std::string::npos) return LowerTriangularMask{};
    if (s.batch > 1) return {};
    std::vector<int64_t> lengths(8, 257);
    lengths.insert(lengths.end(), 32, 50);
    return BlockDiagonalMask::from_seqlens(lengths);
}

void measure(const Size& s, const Path& path, const Tensor& qkv, const Tensor& grad, Samples& samples) {
    const Variable leaf(qkv, true);
    AttentionOptions options;
    options.boundary = path.boundary;
    const AttentionBias mask = mask_of(s);
    const int64_t before = allocator_stats().live_bytes;
    reset_peak();
    const double start = now();
    const std::vector<Variable> x = unbind(leaf, 2);
    const Variable out = memory_efficient_attention(x[0], x[1], x[2], mask, options);
    const double middle = now();
    out.backward(grad);
    samples.backward.push_back(now() - middle);
    samples.forward.push_back(middle - start);
    samples.peak = allocator_stats().peak_bytes - before;
}

double median(std::vector<double> x) {
    std::sort(x.begin(), x.end());
    return x[x.size() / 2];
}

void run(const Size& s, int rounds) {
    const Shape packed{s.batch, s.tokens, 3, s.heads, s.size};
    Generator generator{1};
    const Tensor qkv = Tensor::empty(packed), grad = Tensor::empty({s.batch, s.tokens, s.heads, s.size});
    normal(qkv, generator);
    normal(grad, generator);
    constexpr size_t kCount = std::size(kPaths);
    std::vector<Tensor> inputs, grads;
    for (const Path& path : kPaths) {
        inputs.push_back(qkv.to(path.dtype));
        grads.push_back(grad.to(path.dtype));
    }
    Samples warm, samples[kCount];
    for (size_t i = 0; i < kCount; ++i) measure(s, kPaths[i], inputs[i], grads[i], warm);
    for (int r = 0; r < rounds; ++r)
        for (size_t i = 0; i < kCount; ++i) measure(s, kPaths[i], inputs[i], grads[i], samples[i]);
    for (size_t i = 0; i < kCount; ++i)
        std::printf("%-20s %-22s %9.3f %9.3f %9.1f\n", s.name, kPaths[i].name, median(samples[i].forward),
                    median(samples[i].backward), static_cast<double>(samples[i].peak) * 1e-6);
    std::fflush(stdout);
}

}  // namespace
}  // namespace demi

int main(int argc, char** argv) {
    const int rounds = argc > 1 ? std::atoi(argv[1]) : 9;
    std::printf("# threads %d\n%-20s %-22s %9s %9s %9s\n", demi::num_threads(), "shape", "path", "fwd ms",
                "bwd ms", "peak MB");
    for (const demi::Size& s : demi::kSizes)
        if (argc < 3 || std::string(s.name) == argv[2]) demi::run(s, rounds);
    return 0;
}
