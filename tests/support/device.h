#pragma once
#include "runtime/device.h"

namespace demi::test {

// Where the tests run: DEMI_TEST_DEVICE (cpu, cuda, cuda:1), the CPU without it. On a machine without that
// device the whole program reports itself as skipped before any case starts.
Device test_device();

// A GPU that runs on the host: some hundred times slower, so that tests choose small sizes.
#ifdef DEMI_GPU_EMULATION
constexpr bool kEmulation = true;
#else
constexpr bool kEmulation = false;
#endif
inline bool emulated() { return kEmulation && test_device().is_cuda(); }

// Of a long list of cases every n-th where the device is emulated, which takes minutes for all of them: n shares no factor
// with the lists, so that each of their entries takes part. All cases elsewhere.
class Sample {
  public:
    explicit Sample(int n) : n_(emulated() ? n : 1) {}
    bool operator()() { return at_++ % n_ == 0; }

  private:
    int n_, at_ = 0;
};

// A GPU of silicon. There cublasLt sums products in an order that depends on the operands' layout, and
// additions give one NaN whatever came in; the emulation does both as the CPU does.
inline bool real_gpu() { return !kEmulation && test_device().is_cuda(); }

}  // namespace demi::test
