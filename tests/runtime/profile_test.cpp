#include "runtime/profile.h"

#include <doctest/doctest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "runtime/tensor.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary.h"

using namespace demi;
using namespace demi::test;

namespace {

void wait_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

}  // namespace

TEST_CASE("profile: spans nest, with times, memory and threads") {
    { const ProfileScope before("before the start"); }
    start_profile();
    CHECK(profiling());
    {
        const ProfileScope outer("outer");
        wait_ms(4);
        {
            const ProfileScope inner("in", "ner");
            const Tensor t = Tensor::empty({1000});
            wait_ms(6);
        }
        std::thread([] { const ProfileScope other("other thread"); }).join();
    }
    CHECK(has(error_of([] { start_profile(); }), "is being taken already"));
    const Profile profile = stop_profile();
    CHECK_FALSE(profiling());
    REQUIRE(profile.spans.size() == 3);
    const ProfileSpan &outer = profile.spans[0], &inner = profile.spans[1], &other = profile.spans[2];
    CHECK(outer.name == "outer");
    CHECK(inner.name == "inner");
    CHECK(other.name == "other thread");
    CHECK(outer.thread == 0);
    CHECK(inner.thread == 0);
    CHECK(other.thread == 1);
    CHECK(inner.allocated_bytes == 4000);
    CHECK(inner.allocations == 1);
    CHECK(outer.allocated_bytes == 4000);
    CHECK(other.allocated_bytes == 0);
    CHECK(other.allocations == 0);
    CHECK(inner.duration_ns >= 6'000'000);
    CHECK(outer.duration_ns >= inner.duration_ns + 4'000'000);
    CHECK(inner.start_ns >= outer.start_ns + 4'000'000);
    CHECK(outer.start_ns >= 0);
    CHECK(has(error_of([] { stop_profile(); }), "call start_profile() first"));
}

TEST_CASE("profile: scopes that outlive their run are dropped; a new run starts clean") {
    start_profile();
    {
        const ProfileScope open("open");
        CHECK(stop_profile().spans.empty());
        start_profile();
    }
    { const ProfileScope scope("second"); }
    const Profile profile = stop_profile();
    REQUIRE(profile.spans.size() == 1);
    CHECK(profile.spans[0].name == "second");
    CHECK(profile.spans[0].thread == 0);
}

TEST_CASE("profile: a span says where kernels ran within it") {
    start_profile();
    {
        const ProfileScope step("step");
        {
            const ProfileScope inner("on a GPU");
            profile_kernel(Device::cuda(1));
            { const ProfileScope view("view"); }
            profile_kernel(Device::cpu());
        }
        { const ProfileScope host("host"); }
    }
    { const ProfileScope after("after"); }
    const Profile profile = stop_profile();
    REQUIRE(profile.spans.size() == 5);
    CHECK(profile.spans[0].device == Device::cuda(1));
    CHECK(profile.spans[1].device == Device::cuda(1));
    for (size_t i = 2; i < 5; ++i) CHECK(profile.spans[i].device == Device::cpu());
}

TEST_CASE("profile: the trace is JSON that Chrome reads, the table adds up") {
    Profile profile;
    profile.spans = {{"step", 0, 0, 10'000'000, 3 << 20, 7},
                     {"a \"quoted\" \\ op\n", 0, 1'000'000, 4'000'000, 1 << 20, 5},
                     {"b", 0, 5'000'000, 2'500'000, 2 << 20, 2},
                     {"b", 1, 2'000'000, 1'000'000, 0, 0, Device::cuda(1)}};
    const TemporaryFolder folder;
    profile.write_trace(folder / "trace.json");
    const auto trace = nlohmann::json::parse(get_file(folder / "trace.json"));
    REQUIRE(trace["traceEvents"].size() == 4);
    const auto& event = trace["traceEvents"][1];
    CHECK(event["name"] == "a \"quoted\" \\ op\n");
    CHECK(event["ph"] == "X");
    CHECK(event["tid"] == 0);
    CHECK(event["ts"] == 1000.0);
    CHECK(event["dur"] == 4000.0);
    CHECK(event["args"]["allocated_bytes"] == 1 << 20);
    CHECK(event["args"]["allocations"] == 5);
    CHECK(event["args"]["device"] == "cpu");
    CHECK(trace["traceEvents"][3]["args"]["device"] == "cuda:1");

    Profile plain;
    for (const ProfileSpan& span : profile.spans) plain.spans.push_back(span);
    plain.spans[1].name = "attention backward";
    CHECK(plain.table() == "name                  calls    total ms      own ms  own %    mean ms    longest "
                           "       MiB   allocs\n"
                           "attention backward        1       4.000       4.000   36.4     4.0000      4.000 "
                           "      1.00        5\n"
                           "b                         2       3.500       3.500   31.8     1.7500      2.500 "
                           "      2.00        2\n"
                           "step                      1      10.000       3.500   31.8    10.0000     10.000 "
                           "      3.00        7\n");
    CHECK(Profile().table() ==
          "name    calls    total ms      own ms  own %    mean ms    longest        MiB   allocs\n");
    CHECK(nlohmann::json::parse(Profile().trace_json())["traceEvents"].empty());
}

TEST_CASE("profile: many threads at once") {
    start_profile();
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([] {
            for (int i = 0; i < 200; ++i) const ProfileScope scope("work");
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(stop_profile().spans.size() == 800);
}
