#include "models/schedule.h"

#include <doctest/doctest.h>

#include <cmath>

#include "runtime/check.h"

namespace demi::test {

TEST_CASE("cosine schedule: freeze, warm-up, half cosine, end") {
    const CosineSchedule s{2.0, 0.5, 30, 10, 0.0, 4};
    for (int64_t i = 0; i < 4; ++i) CHECK(s.at(i) == 0);
    CHECK(s.at(4) == 0);
    CHECK(s.at(13) == doctest::Approx(2.0));  // the last warm-up step reaches base
    CHECK(s.at(14) == doctest::Approx(2.0));  // and the cosine starts there
    CHECK(s.at(22) == doctest::Approx(1.25));
    for (int64_t i = 14; i + 1 < 30; ++i) CHECK(s.at(i) > s.at(i + 1));
    CHECK(s.at(30) == 0.5);
    CHECK(s.at(1000) == 0.5);
    CHECK_THROWS_AS(s.at(-1), Error);
}

TEST_CASE("cosine schedule against the closed form, without warm-up") {
    const CosineSchedule s{0.04, 0.4, 100, 0, 0, 0};
    for (int64_t i = 0; i < 100; ++i)
        CHECK(s.at(i) ==
              doctest::Approx(0.4 - 0.36 * (1 + std::cos(3.14159265358979 * double(i) / 100)) / 2));
}

TEST_CASE("linear schedule") {
    const LinearSchedule s{0.04, 0.07, 4};
    CHECK(s.at(0) == doctest::Approx(0.04));
    CHECK(s.at(1) == doctest::Approx(0.05));
    CHECK(s.at(3) == doctest::Approx(0.07));
    CHECK(s.at(9) == 0.07);
    CHECK(LinearSchedule{1, 3, 0}.at(0) == 3);
}

}  // namespace demi::test
