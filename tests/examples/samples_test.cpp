// Which test pictures the report shows.
#include <doctest/doctest.h>

#include <cmath>

#include "examples/data/drawn.h"
#include "examples/train/testing.h"

using namespace demi;
using namespace demi::examples;

TEST_CASE("samples: of all that were tested, the surest mistakes and the least sure right ones") {
    const data::DrawnDataSet set(600, data::Split::test);
    TestResult result;
    for (int64_t i = 0; i < set.size(); ++i) {
        const bool wrong = i % 10 == 9;  // 60 of 600; each picture has a confidence of its own
        result.predicted.push_back((set.label(i) + (wrong ? 1 : 0)) % 10);
        result.confidence.push_back(static_cast<float>((i * 7919 + 13) % 600) / 600);
    }
    result.confidence[9] = NAN;  // a mistake
    const std::vector<Sample> samples = samples_of(result, set);
    REQUIRE(samples.size() == kMostMistakes + kMostRight);
    double least_wrong = 1, most_right = 0;
    for (size_t i = 0; i < samples.size(); ++i) {
        CHECK(samples[i].correct() == (i >= kMostMistakes));
        if (samples[i].correct())
            most_right = std::max(most_right, samples[i].confidence);
        else
            least_wrong = std::min(least_wrong, samples[i].confidence);
    }
    size_t surer = 0, weaker = 0;
    for (size_t i = 0; i < 600; ++i) {
        surer += i % 10 == 9 && static_cast<double>(result.confidence[i]) >= least_wrong;
        weaker += i % 10 != 9 && static_cast<double>(result.confidence[i]) <= most_right;
    }
    CHECK(surer == kMostMistakes);
    CHECK(weaker == kMostRight);
    CHECK(samples_of({}, set).empty());
}
