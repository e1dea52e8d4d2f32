#pragma once
// Cases that several ranks run together: each must hold on all of them. Rank 0 prints TAP.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include "runtime/comm/job.h"
#include "runtime/tensor.h"

namespace demi::ranks {

// Where the tensors are: DEMI_TEST_DEVICE; of several GPUs each rank has one.
inline Device test_device() {
    const char* name = std::getenv("DEMI_TEST_DEVICE");
    const Device device = Device::parse(name == nullptr || *name == '\0' ? "cpu" : name);
    if (device.is_cpu()) return device;
    return Device::cuda(launched_rank() % std::max(1, device_count(DeviceType::cuda)));
}
// The launcher's job, for that device; DEMI_TEST_ENGINE names what must move the data there.
inline Communicator test_world(const Job& job) {
    const Communicator world = job.world_on(test_device());
    const char* engine = std::getenv("DEMI_TEST_ENGINE");
    check(engine == nullptr || world.engine() == engine, "ranks", "needs another engine than ",
          world.engine());
    return world;
}

class Cases {
  public:
    explicit Cases(Communicator world) : world_(std::move(world)) {}
    // `holds` on this rank; an Error counts as no.
    void run(const std::string& name, const std::function<bool()>& holds) {
        bool good = false;
        std::string why;
        try {
            good = holds();
        } catch (const Error& error) {
            why = error.what();
        }
        std::string bad;
        const std::vector<std::string> all = world_.all_gather_text(good ? "" : "no " + why);
        for (size_t r = 0; r < all.size(); ++r)
            if (!all[r].empty()) bad += " [rank " + std::to_string(r) + ": " + all[r] + "]";
        failed_ += !bad.empty();
        ++count_;
        if (world_.rank() == 0)
            std::printf("%sok %d - %s, %d ranks%s\n", bad.empty() ? "" : "not ", count_, name.c_str(),
                        world_.size(), bad.c_str());
        std::fflush(stdout);
    }
    int status() const {
        if (world_.rank() == 0) std::printf("1..%d\n", count_);
        return failed_ > 0;
    }

  private:
    Communicator world_;
    int count_ = 0, failed_ = 0;
};

// A program: fn(cases, world).
template <class F> int run_cases(const F& fn) {
    const Job job({.timeout = 20});
    const Communicator world = test_world(job);
    Cases cases(world);
    fn(cases, world);
    return cases.status();
}

}  // namespace demi::ranks
