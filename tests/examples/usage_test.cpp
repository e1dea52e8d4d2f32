#include "examples/train/usage.h"

#include <doctest/doctest.h>

#include "examples/train/help.h"

using namespace demi::examples;

TEST_CASE("usage: an unknown flag is named, with the nearest that there is") {
    const std::vector<std::string> names = {"--epochs", "--steps", "--batch", "--lr", "--label-smoothing"};
    CHECK(unknown_arguments({"3", "--epohcs"}, names) ==
          "unknown argument '--epohcs', did you mean --epochs?");
    CHECK(unknown_arguments({"--label-smoothin=0.1"}, names) ==
          "unknown argument '--label-smoothin', did you mean --label-smoothing?");
    CHECK(unknown_arguments({"--colour"}, names) == "unknown argument '--colour'");
    CHECK(unknown_arguments({"extra"}, names) == "unknown argument 'extra'");
    CHECK(unknown_arguments({}, names) == "unknown arguments");
}

TEST_CASE("usage: a range is printed as a person would") {
    CHECK(plain_range("--lr: Value -1 not in range 0.000000 to 100.000000") ==
          "--lr: Value -1 not in range 0 to 100");
    CHECK(plain_range("--ema: Value 1.5 not in range 0.000000 to 0.999990") ==
          "--ema: Value 1.5 not in range 0 to 0.99999");
    CHECK(plain_range("--steps: Value 0 not in range 1 to 9223372036854775807") ==
          "--steps: Value 0 is not a whole number of at least 1");
    CHECK(plain_range("--batch: Value 0 not in range 1 to 65536") ==
          "--batch: Value 0 not in range 1 to 65536");
    CHECK(plain_range("--lr: Value abc not in range 0.000000 to 100.000000") ==
          "--lr: 'abc' is not a number");
    CHECK(plain_range("--steps: 1 required INT:INT in [1 - 9223372036854775807] missing") ==
          "--steps needs a value");
    CHECK(plain_range("--heads: At Most 1 required but received 2") == "--heads is given more than once");
}

TEST_CASE("usage: other spellings find the name") {
    const std::vector<std::string> names = {"label-smoothing", "lr", "train-images"};
    for (const char* word : {"labelSmoothing", "Label_Smoothing", "label-smothing"})
        CHECK(nearest_name(word, names) == "label-smoothing");
    CHECK(nearest_name("trainImages", names) == "train-images");
    CHECK(nearest_name("something-else", names).empty());
}

TEST_CASE("help: ranges and wrapped lines") {
    CHECK(range_text("INT:INT in [1 - 9223372036854775807]") == "at least 1");
    CHECK(range_text("FLOAT:FLOAT in [0 - 0.95]") == "0 to 0.95");
    CHECK(range_text("TEXT") == "");
    CHECK(wrapped("one two three", 2, 9) == "one two\n  three");
}
