#include "examples/common/metrics.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>

#include "examples/common/files.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary.h"

using namespace demi::examples;
using namespace demi::test;

namespace {

Record line(int64_t step) {
    return Record().add("step", step).add("loss", 1.0f / float(step)).add("split", "train");
}

}  // namespace

TEST_CASE("a record is one JSON object in the order of its fields") {
    Record r;
    r.add("step", 3).add("loss", 0.1f).add("lr", 1e-5).add("ok", true).add("name", "a\"<b>");
    CHECK(to_json(r) ==
          "{\"step\": 3, \"loss\": 0.1, \"lr\": 1e-05, \"ok\": true, \"name\": \"a\\\"\\u003cb\\u003e\"}");
    r.add("loss", 2.5);
    CHECK(r.number("loss") == 2.5);
    CHECK(parse_record(to_json(r)) == r);
    CHECK(!parse_record("{\"step\": 1"));
    CHECK(!parse_record("[1]"));
}

TEST_CASE("NaN and infinities survive as strings") {
    const Record r = Record().add("a", NAN).add("b", INFINITY).add("c", -INFINITY);
    CHECK(to_json(r) == "{\"a\": \"nan\", \"b\": \"inf\", \"c\": \"-inf\"}");
    const auto back = parse_record(to_json(r));
    REQUIRE(back);
    CHECK(std::isnan(back->number("a")));
    CHECK(back->number("b") == INFINITY);
    CHECK(back->number("c") == -INFINITY);
    CHECK(std::isnan(back->number("missing")));
}

TEST_CASE("a resumed file equals that of a run without a break") {
    TemporaryFolder folder;
    const std::string whole = folder / "whole.jsonl", broken = folder / "broken.jsonl";
    {
        MetricsWriter writer(whole);
        for (int i = 1; i <= 10; ++i) writer.write(line(i));
    }
    {
        MetricsWriter writer(broken);
        for (int i = 1; i <= 7; ++i) writer.write(line(i));
    }
    std::ofstream(broken, std::ios::app) << "{\"step\": 8, \"lo";  // killed in the middle of a line
    {
        MetricsWriter writer(broken, 4);
        for (int i = 5; i <= 10; ++i) writer.write(line(i));
        writer.sync();
    }
    CHECK(read_text(broken) == read_text(whole));
    MetricsWriter(broken, 0);
    CHECK(read_text(broken).empty());
    MetricsWriter(folder / "new.jsonl", 9).write(line(10));
    CHECK(read_metrics(folder / "new.jsonl").size() == 1);
}

TEST_CASE("reading leaves out a torn last line and refuses others") {
    TemporaryFolder folder;
    const std::string path = folder / "m.jsonl";
    std::ofstream(path)
        << "{\"step\": 1, \"loss\": 2}\n{\"step\": 2}\n{\"step\": 3, \"loss\": \"nan\"}\n{\"st";
    const auto records = read_metrics(path);
    REQUIRE(records.size() == 3);
    const Columns c = columns(records, "step", "loss");
    CHECK(c.x == std::vector<double>{1, 3});
    CHECK(c.y[0] == 2);
    CHECK(std::isnan(c.y[1]));
    std::ofstream(path) << "{\"step\": 1}\nnonsense\n";
    CHECK(has(error_of([&] { read_metrics(path); }), "line 2"));
}

TEST_CASE("what cannot be written is an error that says why") {
    CHECK(has(error_of([] { MetricsWriter("/nowhere/at/all.jsonl"); }), "No such file"));
    CHECK(has(error_of([] { MetricsWriter("/dev/full").write(line(1)); }), "No space left"));
    TemporaryFolder folder;
    MetricsWriter writer(folder / "m.jsonl");
    CHECK(has(error_of([&] { writer.write(Record().add("loss", 1)); }), "\"step\""));
}
