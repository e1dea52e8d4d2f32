// GFLOP/s of linear and mlp, forward and backward, on the shapes of ViT-Tiny (batch
// 64) and ViT-Small (batch 8).
#include <benchmark/benchmark.h>

#include "ops/linear/linear.h"
#include "ops/mlp/mlp.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"
#include "runtime/random.h"

namespace demi {
namespace {

Tensor random_tensor(const Shape& shape, DType dtype) {
    Generator generator{static_cast<uint64_t>(shape.numel())};
    Tensor t = Tensor::empty(shape, dtype);
    normal(t, generator, 0, 0.1);
    return t;
}

void report(benchmark::State& state, double flops) {
    using benchmark::Counter;
    state.counters["FLOP/s"] = Counter(flops, Counter::kIsIterationInvariantRate, Counter::kIs1000);
}

constexpr DType kTypes[] = {DType::f32, DType::f16, DType::bf16};

// Arguments: rows, in, out, dtype (0 f32, 1 f16, 2 bf16).
void linear_forward(benchmark::State& state, Activation activation) {
    const int64_t m = state.range(0), k = state.range(1), n = state.range(2);
    const DType dtype = kTypes[state.range(3)];
    const Tensor x = random_tensor({m, k}, dtype), w = random_tensor({n, k}, DType::f32),
                 b = random_tensor({n}, DType::f32);
    for (auto _ : state) benchmark::DoNotOptimize(linear(x, w, b, activation));
    report(state, 2.0 * static_cast<double>(m * n * k));
}

void linear_backward(benchmark::State& state) {
    const int64_t m = state.range(0), k = state.range(1), n = state.range(2);
    const DType dtype = kTypes[state.range(3)];
    Variable x(random_tensor({m, k}, dtype), true), w(random_tensor({n, k}, DType::f32), true),
        b(random_tensor({n}, DType::f32), true);
    const Tensor dy = random_tensor({m, n}, dtype);
    const Variable y = linear(x, w, b);
    for (auto _ : state) {
        x.zero_grad();
        w.zero_grad();
        b.zero_grad();
        y.backward(dy, {.retain_graph = true});
    }
    report(state, 4.0 * static_cast<double>(m * n * k));
}

void mlp_step(benchmark::State& state) {
    const int64_t m = state.range(0), k = state.range(1), n = state.range(2);
    const DType dtype = kTypes[state.range(3)];
    Variable x(random_tensor({m, k}, dtype), true), w1(random_tensor({n, k}, DType::f32), true),
        b1(random_tensor({n}, DType::f32), true), w2(random_tensor({k, n}, DType::f32), true),
        b2(random_tensor({k}, DType::f32), true);
    const Tensor dy = random_tensor({m, k}, dtype);
    for (auto _ : state) {
        for (Variable* v : {&x, &w1, &b1, &w2, &b2}) v->zero_grad();
        mlp(x, w1, b1, w2, b2).backward(dy);
    }
    report(state, 12.0 * static_cast<double>(m * n * k));
}

void vit_shapes(benchmark::internal::Benchmark* b) {
    for (int dtype = 0; dtype < 3; ++dtype)
        for (auto [m, k, n] : {std::array{4160, 192, 576},
                               {4160, 192, 192},
                               {4160, 192, 768},
                               {4160, 768, 192},
                               {1576, 384, 1152},
                               {1576, 384, 1536},
                               {1576, 1536, 384}})
            b->Args({m, k, n, dtype});
    b->UseRealTime();
}

void mlp_shapes(benchmark::internal::Benchmark* b) {
    for (int dtype = 0; dtype < 3; ++dtype) b->Args({4160, 192, 768, dtype})->Args({1576, 384, 1536, dtype});
    b->UseRealTime();
}

BENCHMARK_CAPTURE(linear_forward, plain, Activation::none)->Apply(vit_shapes);
BENCHMARK_CAPTURE(linear_forward, gelu, Activation::gelu)->Apply(vit_shapes);
BENCHMARK(linear_backward)->Apply(vit_shapes);
BENCHMARK(mlp_step)->Apply(mlp_shapes);

}  // namespace
}  // namespace demi

int main(int argc, char** argv) {
    benchmark::AddCustomContext("instruction set", demi::isa_name(demi::cpu_isa()));
    benchmark::AddCustomContext("threads", std::to_string(demi::num_threads()));
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
