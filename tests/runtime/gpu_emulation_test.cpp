// What the emulated GPU must turn into a failure: these are the planted defects of every kind.
#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "runtime/copy.h"
#include "runtime/cuda/stream.h"
#include "tests/runtime/gpu_kernels.h"
#include "tests/support/check_error.h"
#include "tests/support/skip.h"

using namespace demi;
using namespace demi::test;
namespace kernels = demi::test_kernels;

namespace {

const Device kGpu = Device::cuda();

// Does fn end the process (the address sanitizer, or a signal)?
template <class F> bool dies(F fn) {
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
        const bool quiet = std::freopen("/dev/null", "w", stderr) && std::freopen("/dev/null", "w", stdout);
        for (int signal : {SIGSEGV, SIGBUS, SIGABRT})
            std::signal(signal, SIG_DFL);  // not the test program's own
        if (quiet) fn();
        std::_Exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

template <class T> T* at(Tensor& t) { return static_cast<T*>(t.mutable_raw()); }
int nans(const Tensor& t) {
    int count = 0;
    for (float v : t.to_vector<float>()) count += std::isnan(v) ? 1 : 0;
    return count;
}

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSeesBounds = true;
#else
constexpr bool kSeesBounds = false;
#endif

}  // namespace

TEST_CASE("gpu emulation: an access out of bounds ends the program") {
    if (!kSeesBounds) DEMI_SKIP("needs the address sanitizer");
    Tensor x = Tensor::zeros({100}, DType::f32, kGpu), y = Tensor::zeros({101}, DType::f32, kGpu);
    Tensor words = Tensor::zeros({100}, DType::i32, kGpu);
    CHECK(dies([&] { kernels::copy_some(at<float>(x), at<float>(y), 100, 1, 0, nullptr); }));  // reads x[100]
    CHECK(
        dies([&] { kernels::copy_some(at<float>(y), at<float>(x), 100, 1, 0, nullptr); }));  // writes x[100]
    CHECK(dies([&] { kernels::touch_shared(at<uint32_t>(words), 100, 1, nullptr); }));
    kernels::copy_some(at<float>(x), at<float>(y), 100, 0, 0, nullptr);
    kernels::touch_shared(at<uint32_t>(words), 100, 0, nullptr);
}

TEST_CASE("gpu emulation: memory that was given back ends the program") {
    if (!kSeesBounds) DEMI_SKIP("needs the address sanitizer");
    Tensor y = Tensor::zeros({100}, DType::f32, kGpu);
    float* gone = nullptr;
    {
        Tensor x = Tensor::zeros({100}, DType::f32, kGpu);
        gone = at<float>(x);
    }
    CHECK(dies([&] { kernels::copy_some(gone, at<float>(y), 100, 0, 0, nullptr); }));
}

TEST_CASE("gpu emulation: the host cannot read device memory, a kernel is given no host memory") {
    Tensor x = Tensor::zeros({100}, DType::f32, kGpu), y = Tensor::zeros({100});
    const volatile float* p = at<float>(x);
    CHECK(dies([&] { std::printf("%f", static_cast<double>(*p)); }));
    const std::string error =
        error_of([&] { kernels::copy_some(at<float>(y), at<float>(x), 100, 0, 0, nullptr); });
    CAPTURE(error);
    CHECK(has(error, "CopySomeKernel: byte 0 of the parameters holds an address of host memory"));
}

TEST_CASE("gpu emulation: what was never written is NaN") {
    Tensor x = Tensor::zeros({100}, DType::f32, kGpu), y = Tensor::empty({100}, DType::f32, kGpu);
    kernels::copy_some(at<float>(x), at<float>(y), 100, 0, 3, nullptr);
    CHECK(nans(y) == 3);
    Tensor half = Tensor::empty({8}, DType::bf16, kGpu);
    CHECK(nans(half) == 8);
}

TEST_CASE("gpu emulation: a missing barrier and a missing wait show in the result") {
    Tensor x = Tensor::zeros({96}, DType::f32, kGpu);
    for (int turn = 0; turn < 2; ++turn) {  // threads in ascending, then in descending order
        Tensor y = Tensor::empty({96}, DType::f32, kGpu);
        kernels::reverse(at<float>(x), at<float>(y), 96, true, nullptr);
        CHECK(nans(y) > 0);
        Tensor z = Tensor::zeros({64, 4}, DType::f32, kGpu);
        Tensor out = Tensor::empty({64, 4}, DType::f32, kGpu);
        kernels::copy_async(at<uint32_t>(z), at<uint32_t>(out), 64, true, nullptr);
        CHECK(nans(out) == 256);
    }
}

TEST_CASE("gpu emulation: threads that miss each other, and misaligned addresses, are errors") {
    Tensor x = Tensor::zeros({64}, DType::f32, kGpu);
    const auto text = [&](int kind) {
        return error_of([&] { kernels::misuse(kind, at<float>(x), nullptr); });
    };
    CHECK(has(text(0), "MisuseKernel: 6 threads of a block ended while 58 wait at sync_threads()"));
    const std::string ended = text(1);  // depends on who comes first
    CHECK((has(ended, "shfl after a lane of the warp has ended") ||
           has(ended, "not all 32 lanes of a warp came to shfl")));
    CHECK(has(text(2), "lanes of one warp meet at"));
    CHECK(has(text(3), "load16 needs an address that is a multiple of 16"));
    CHECK(has(text(4), "ldmatrix needs an address in the block's shared memory"));
    CHECK(has(text(3), "(thread ("));  // and it goes on working
}
