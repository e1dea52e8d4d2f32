#pragma once
#include "runtime/device.h"

namespace demi::test {

// Where the tests run: DEMI_TEST_DEVICE (cpu, cuda, cuda:1), the CPU without it. On a machine without that
// device the whole program reports itself as skipped before any case starts.
Device test_device();

}  // namespace demi::test
