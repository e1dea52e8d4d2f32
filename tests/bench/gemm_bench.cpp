// The product on the shapes of a vision transformer's layers, in turns with a loop of multiply-adds that uses
// only registers: medians of the rates, and the product's share of that peak.
//   build/tests/bench_gemm [SECONDS for each shape] [f32 or f16]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "ops/matmul/gemm.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"
#include "runtime/random.h"
#include "runtime/tensor.h"
#include "tests/bench/peaks.h"

namespace demi {
namespace {

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> x) {
    std::nth_element(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2), x.end());
    return x[x.size() / 2];
}

Tensor filled(int64_t count, DType dtype) {
    Generator generator{static_cast<uint64_t>(count)};
    Tensor t = Tensor::empty({count});
    normal(t, generator, 0, 0.1);
    return t.to(dtype);
}

enum class Kind { forward, gelu, input_gradient, weight_gradient };

// Layer x [m, k] -> y [m, n].
GemmCall call_of(Kind kind, int64_t m, int64_t k, int64_t n, const Tensor& x, const Tensor& w,
                 const Tensor& dy, Tensor& out, Tensor& pre) {
    GemmCall g;
    const ConstMem layer{w.raw(), DType::f32}, rows{x.raw(), x.dtype()}, grad{dy.raw(), x.dtype()};
    g.c = {out.mutable_raw(), x.dtype()};
    if (kind == Kind::weight_gradient) {
        g.m = n, g.n = k, g.k = m;
        g.a = {grad, 1, n};
        g.b = {rows, k, 1};
        g.c.dtype = DType::f32;
    } else if (kind == Kind::input_gradient) {
        g.m = m, g.n = k, g.k = n;
        g.a = {grad, n, 1};
        g.b = {layer, k, 1};
    } else {
        g.m = m, g.n = n, g.k = k;
        g.a = {rows, k, 1};
        g.b = {layer, 1, k};
        if (kind == Kind::gelu) {
            g.gelu = true;
            g.save_pre = {pre.mutable_raw(), x.dtype()};
        }
    }
    g.ldc = g.n;
    return g;
}

void measure(const char* name, Kind kind, int64_t m, int64_t k, int64_t n, DType dtype, double seconds) {
    const Tensor x = filled(m * k, dtype), dy = filled(m * n, dtype), w = filled(n * k, DType::f32);
    Tensor out = Tensor::empty({std::max({m * n, m * k, n * k})}), pre = Tensor::empty({m * n});
    const GemmCall call = call_of(kind, m, k, n, x, w, dy, out, pre);
    const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    std::vector<double> peak, rate;
    gemm_on(Device::cpu()).multiply(call, {});
    for (const double start = now(); now() - start < seconds;) {
        peak.push_back(measured_flops());
        for (int i = 0; i < 2; ++i) {
            const double begin = now();
            gemm_on(Device::cpu()).multiply(call, {});
            rate.push_back(flops / (now() - begin));
        }
    }
    std::printf("%-8s %5ld x %4ld -> %4ld  %-4s %8.1f GFLOP/s  %5.1f %% of %.1f\n", name,
                static_cast<long>(m), static_cast<long>(k), static_cast<long>(n),
                dtype == DType::f32 ? "f32" : "f16", median(rate) * 1e-9, 100 * median(rate) / median(peak),
                median(peak) * 1e-9);
    std::fflush(stdout);
}

}  // namespace
}  // namespace demi

int main(int argc, char** argv) {
    using namespace demi;
    const double seconds = argc > 1 ? std::atof(argv[1]) : 0.5;
    std::printf("instruction set %s, %d threads\n", isa_name(cpu_isa()), num_threads());
    const int64_t shapes[][3] = {{4160, 192, 576},  {4160, 192, 192},  {4160, 192, 768},  {4160, 768, 192},
                                 {1576, 384, 1152}, {1576, 384, 1536}, {1576, 1536, 384}, {65, 192, 768}};
    for (const auto& [m, k, n] : shapes)
        for (const DType dtype : {DType::f32, DType::f16}) {
            if (argc > 2 && name(dtype) != std::string_view(argv[2])) continue;
            measure("y", Kind::forward, m, k, n, dtype, seconds);
            measure("gelu(y)", Kind::gelu, m, k, n, dtype, seconds);
            measure("dx", Kind::input_gradient, m, k, n, dtype, seconds);
            measure("dw", Kind::weight_gradient, m, k, n, dtype, seconds);
        }
}
