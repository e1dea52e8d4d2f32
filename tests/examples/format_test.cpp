#include "examples/common/format.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace demi::examples;

TEST_CASE("counts keep three digits") {
    CHECK(human_count(0) == "0");
    CHECK(human_count(7) == "7");
    CHECK(human_count(999) == "999");
    CHECK(human_count(999.9) == "1.00 k");
    CHECK(human_count(12345) == "12.3 k");
    CHECK(human_count(1.2e6) == "1.20 M");
    CHECK(human_count(-4.5e9) == "-4.50 G");
    CHECK(human_count(0.25) == "0.25");
    CHECK(human_count(NAN) == "nan");
}

TEST_CASE("bytes count by 1024") {
    CHECK(human_bytes(512) == "512 B");
    CHECK(human_bytes(1024) == "1.00 KiB");
    CHECK(human_bytes(1.4 * (1 << 30)) == "1.40 GiB");
    CHECK(human_bytes(INFINITY) == "inf");
}

TEST_CASE("times change their unit without ever showing 60 of one") {
    CHECK(human_time(0) == "0 ms");
    CHECK(human_time(0.35) == "350 ms");
    CHECK(human_time(0.9996) == "1.0 s");
    CHECK(human_time(4) == "4 s");
    CHECK(human_time(4.25) == "4.2 s");
    CHECK(human_time(59.4) == "59 s");
    CHECK(human_time(59.7) == "1 m 00 s");
    CHECK(human_time(125) == "2 m 05 s");
    CHECK(human_time(3599.7) == "1 h 00 m");
    CHECK(human_time(11220) == "3 h 07 m");
    CHECK(human_time(190000) == "2 d 04 h");
    CHECK(human_time(-5) == "-5 s");
}

TEST_CASE("a part is never rounded up to all") {
    CHECK(percent(0.912) == "91.2 %");
    CHECK(percent(1) == "100.0 %");
    CHECK(percent(0.99999) == "> 99.9 %");
    CHECK(percent(0) == "0.0 %");
    CHECK(percent(1e-6) == "< 0.1 %");
}

TEST_CASE("grouped and shortest") {
    CHECK(grouped(999) == "999");
    CHECK(grouped(-1234567) == "-1\u202f234\u202f567");
    CHECK(grouped(std::numeric_limits<int64_t>::min()).size() == 20 + 6 * 3);
    CHECK(shortest(0.1) == "0.1");
    CHECK(shortest(1e-5) == "1e-05");
    CHECK(shortest(-INFINITY) == "-inf");
}
