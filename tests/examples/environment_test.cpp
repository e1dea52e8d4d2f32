#include "examples/common/environment.h"

#include <doctest/doctest.h>

using namespace demi::examples;

TEST_CASE("the environment names what a run depends on") {
    const Record record = environment();
    CHECK(!record.text("version").empty());
    CHECK(!record.text("isa").empty());
    CHECK(record.number("threads") >= 1);
}
