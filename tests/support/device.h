#pragma once
#include "runtime/device.h"

namespace demi::test {

// Where the tests run: DEMI_TEST_DEVICE (cpu, cuda, cuda:1), the CPU without it. On a machine without that
// device the whole program reports itself as skipped before any case starts.
Device test_device();

// A GPU that runs on the host: some hundred times slower, so that tests choose small sizes.
inline bool emulated() {
#ifdef DEMI_GPU_EMULATION
    return test_device().is_cuda();
#else
    return false;
#endif
}

}  // namespace demi::test
