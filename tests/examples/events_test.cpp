#include "examples/common/events.h"

#include <doctest/doctest.h>

#include <cstring>

#include "examples/common/compare.h"
#include "examples/common/files.h"
#include "examples/common/metrics.h"
#include "runtime/safetensors.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary.h"

using namespace demi;
using namespace demi::examples;
using namespace demi::test;

namespace {

uint64_t number(const std::string& bytes, size_t at, int count) {
    uint64_t value = 0;
    for (int i = count - 1; i >= 0; --i)
        value = value << 8 | static_cast<uint8_t>(bytes[at + static_cast<size_t>(i)]);
    return value;
}

uint32_t unmasked(uint32_t masked) {
    const uint32_t rotated = masked - 0xa282ead8u;
    return rotated >> 17 | rotated << 15;
}

// The events of the file, each checked against its sums as TensorBoard's reader does.
std::vector<std::string> events_of(const std::string& path) {
    const std::string all = read_text(path);
    std::vector<std::string> events;
    for (size_t at = 0; at < all.size();) {
        const auto length = static_cast<size_t>(number(all, at, 8));
        CHECK(crc32c(all.data() + at, 8) == unmasked(static_cast<uint32_t>(number(all, at + 8, 4))));
        REQUIRE(at + 16 + length <= all.size());
        events.push_back(all.substr(at + 12, length));
        CHECK(crc32c(events.back().data(), length) ==
              unmasked(static_cast<uint32_t>(number(all, at + 12 + length, 4))));
        at += 16 + length;
    }
    return events;
}

}  // namespace

TEST_CASE("events: records with their sums, tag, step and value where TensorBoard looks for them") {
    const TemporaryFolder folder;
    {
        EventsFile file(folder / "e");
        file.add(Record().add("step", 300).add("epoch", 2).add("loss", 0.5).add("note", "text"), 1e9);
    }
    const std::vector<std::string> events = events_of(folder / "e");
    REQUIRE(events.size() == 2);
    CHECK(has(events[0], "brain.Event:2"));
    const std::string& e = events[1];
    double time = 0;
    std::memcpy(&time, e.data() + 1, 8);
    CHECK(e[0] == 0x09);
    CHECK(time == 1e9);
    CHECK(e.substr(9, 3) == std::string("\x10\xac\x02", 3));  // step 300
    CHECK(e.substr(12) == std::string("\x2a\x0d\x0a\x0b\x0a\x04loss\x15\x00\x00\x00\x3f", 15));
    CHECK(has(error_of([&] { EventsFile file(folder / "no/e"); }), "cannot write"));
}

TEST_CASE("events: beside metrics.jsonl, and again for a resumed run") {
    const TemporaryFolder folder;
    {
        MetricsWriter metrics(folder / "m");
        metrics.mirror(folder / "e");
        for (int step = 1; step <= 5; ++step)
            metrics.write(Record().add("step", step).add("loss", 1.0 / step));
    }
    CHECK(events_of(folder / "e").size() == 6);
    MetricsWriter resumed(folder / "m", 3);
    resumed.mirror(folder / "e");
    resumed.write(Record().add("step", 4).add("loss", 0.1));
    CHECK(events_of(folder / "e").size() == 5);
}

TEST_CASE("compare: curves over each other, results, and the settings that differ") {
    const TemporaryFolder folder;
    for (const auto& [name, lr, accuracy] : {std::tuple{"a", "0.1", 0.5}, std::tuple{"b", "0.2", 0.75}}) {
        std::filesystem::create_directories(folder / name);
        put_file(folder / (std::string(name) + "/config.json"),
                 std::string(R"({"program": "train_vit", "options": {"lr": )") + lr +
                     R"(, "seed": 3, "out": ")" + name + "\"}}");
        MetricsWriter metrics(folder / (std::string(name) + "/metrics.jsonl"));
        metrics.write(Record().add("step", 1).add("loss", 2.0).add("test_accuracy", 0.9));
        metrics.write(Record().add("step", 2).add("loss", 1.0).add("test_accuracy", accuracy));
    }
    const Report report = compare_runs({read_run(folder / "a"), read_run(folder / "b")});
    REQUIRE(report.charts.size() == 2);
    CHECK(report.charts[0].series.size() == 2);
    CHECK(report.charts[1].series[1].y == std::vector<double>{0.9, 0.75});
    REQUIRE(report.tables.size() == 2);
    CHECK(report.tables[0].rows.back() ==
          std::vector<std::string>{"Test accuracy", "50.0 % (best 90.0 %)", "75.0 % (best 90.0 %)"});
    REQUIRE(report.tables[1].rows.size() == 1);
    CHECK(report.tables[1].rows[0] == std::vector<std::string>{"lr", "0.1", "0.2"});
    CHECK(has(report_html(report), "Settings that differ"));
    CHECK(has(error_of([&] { read_run(folder / "none"); }), "holds no run"));
}
