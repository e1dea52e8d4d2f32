// Devices by name, and what a build without CUDA says of them.
#include "runtime/device.h"

#include <doctest/doctest.h>

#include "runtime/tensor.h"
#include "tests/support/check_error.h"

using namespace demi;
using namespace demi::test;

TEST_CASE("devices: names and parse errors; no CUDA here is said so") {
    CHECK(Device::parse("cpu") == Device::cpu());
    CHECK(Device::parse("cuda:3") == Device::cuda(3));
    CHECK(Device::parse("cuda") == Device::cuda(0));
    CHECK(name(Device::cuda(2)) == "cuda:2");
    for (const char* bad :
         {"", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:1x", "cuda: 1", "cuda:128", "cuda:99999999999"})
        CHECK(error_of([&] { Device::parse(bad); }) ==
              "[device] needs auto, cpu, cuda or cuda:N: got '" + std::string(bad) + "'");
    for (int bad : {-1, 128, 300, INT32_MAX, INT32_MIN})
        CHECK(error_of([&] { (void)Device::cuda(bad); }) ==
              "[device] index of a GPU must be from 0 to 127: got " + std::to_string(bad));
    CHECK(Device::cuda(127).index == 127);
    CHECK(device_count(DeviceType::cpu) == 1);
    synchronize(Device::cpu());
    if (!built_with_cuda()) {
        CHECK(Device::parse("auto") == Device::cpu());
        CHECK(has(error_of([] { Tensor::empty({1}, DType::f32, Device::cuda()); }),
                  "this build has no CUDA (configure with -Dcuda=enabled): got cuda:0"));
        CHECK(has(why_no_cuda(), "this build has no CUDA"));
    } else if (device_count(DeviceType::cuda) == 0) {
        CHECK(Device::parse("auto") == Device::cpu());
        CHECK(has(why_no_cuda(), "[cuda] "));
        CHECK(error_of([] { Tensor::empty({1}, DType::f32, Device::cuda()); }) == why_no_cuda());
    } else {
        CHECK(Device::parse("auto") == Device::cuda());
        CHECK(why_no_cuda().empty());
        CHECK(Tensor::full({2}, 3, DType::f32, Device::cuda()).to(Device::cpu()).to_vector<int>() ==
              std::vector<int>{3, 3});
    }
}
