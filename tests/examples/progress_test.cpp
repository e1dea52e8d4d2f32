#include "examples/common/progress.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "examples/common/files.h"
#include "examples/common/text.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary.h"

using namespace demi::examples;
using namespace demi::test;

namespace {

ProgressState full_state() {
    return {.step = 120,
            .total = 500,
            .epoch = 2,
            .epochs = 5,
            .loss = 0.4321,
            .accuracy = 0.912,
            .lr = 3e-4,
            .images_per_second = 812,
            .seconds_left = 62,
            .note = ""};
}

std::string without_colours(std::string text) {
    for (size_t at; (at = text.find('\x1b')) != std::string::npos;)
        text.erase(at, text.find('m', at) - at + 1);
    return text;
}

}  // namespace

TEST_CASE("the line fits every width") {
    ProgressState s = full_state();
    for (const bool noted : {false, true}) {
        s.note = noted ? "testing 猫" : "";
        for (int width = 0; width <= 200; ++width)
            for (const bool colour : {false, true}) {
                const std::string line = terminal_line(s, {width, colour, true});
                CHECK(display_width(without_colours(line)) <= std::max(width - 1, 0));
                CHECK(valid_utf8(line) == line);
                CHECK(without_colours(line) == terminal_line(s, {width, false, true}));
            }
    }
}

TEST_CASE("the most important fields stay the longest") {
    const ProgressState s = full_state();
    CHECK(
        terminal_line(s, {140, false, false}) ==
        "epoch 2/5  #######-----------------------  120/500  loss 0.4321  acc 91.2 %  lr 0.0003  812 img/s  "
        "1 m 02 s left");
    CHECK(has(terminal_line(s, {60, false, false}), "loss 0.4321"));
    CHECK(terminal_line(s, {24, false, false}) == "120/500  loss 0.4321");
    CHECK(terminal_line(s, {9, false, false}) == "120/500");
    CHECK(terminal_line(s, {5, false, false}) == "120/");
}

TEST_CASE("odd states") {
    ProgressState s;
    CHECK(terminal_line(s, {40, false, false}) == "0");
    s.step = 9;
    s.total = 5;  // more steps than promised
    s.loss = INFINITY;
    CHECK(terminal_line(s, {40, false, false}) == "########################  9/5  loss inf");
    s.loss = NAN;
    s.has_loss = true;
    CHECK(plain_line(s) == "step 9/5 loss nan");
    CHECK(plain_line(full_state()) ==
          "step 120/500 epoch 2/5 loss 0.4321 acc 91.2 % lr 0.0003 812 img/s 1 m 02 s left");
}

TEST_CASE("in a file there are plain lines and no control characters") {
    TemporaryFolder folder;
    std::FILE* out = std::fopen((folder / "log").c_str(), "w");
    {
        ProgressOptions options;
        options.out = out;
        options.plain_steps = 4;
        Progress progress(options);
        CHECK(!progress.on_terminal());
        for (int i = 1; i <= 10; ++i) {
            ProgressState s;
            s.step = i;
            s.total = 10;
            progress.update(s);
            if (i == 5) progress.warning("loss scale halved");
        }
        progress.finish();
    }
    std::fclose(out);
    std::string text = read_text(folder / "log");
    CHECK(!has(text, "\x1b"));
    CHECK(!has(text, "\r"));
    std::vector<std::string> starts;
    for (size_t at; (at = text.find('\n')) != std::string::npos; text.erase(0, at + 1))
        starts.push_back(text.substr(0, std::min(at, text.find(' ', 5))));
    CHECK(starts ==
          std::vector<std::string>{"step 1/10", "step 4/10", "warning:", "step 8/10", "step 10/10"});
}

TEST_CASE("the score of the last evaluation is in the line, and work is shown before the first step") {
    ProgressState s = full_state();
    s.score = 0.871;
    CHECK(has(terminal_line(s, {160, false, false}), "val 87.1 %"));
    CHECK(has(plain_line(s), "val 87.1 %"));
    s.score_name = "k-NN";
    CHECK(has(plain_line(s), "k-NN 87.1 %"));

    TemporaryFolder folder;
    std::FILE* out = std::fopen((folder / "out").c_str(), "w");
    {
        Progress progress({out, 0});
        progress.working("testing", 1, 4);
    }
    std::fclose(out);
    CHECK(read_text(folder / "out") == "testing 25.0 %\n");
}

TEST_CASE("a resumed run counts on") {
    std::FILE* out = std::fopen("/dev/null", "w");
    {
        Progress progress({out, 1000});
        progress.count_from({100, 60, 6000});
        CHECK(progress.clock().seconds >= 100);
        CHECK(progress.clock().speed() == doctest::Approx(100));
        ProgressState s;
        for (s.step = 1; s.step <= 3; ++s.step) {
            s.images += 10;
            progress.update(s);
        }
        CHECK(progress.clock().images == 6020);
    }
    std::fclose(out);
    CHECK(RunClock{}.speed() == 0);
}
