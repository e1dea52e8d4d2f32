#include "examples/data/trivial.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "examples/data/batches.h"
#include "examples/data/stored.h"
#include "tests/examples/image_files.h"

using namespace demi::data;

namespace {

Planes ramp() {
    Planes p(3, 8, 8);
    for (size_t i = 0; i < p.values.size(); ++i) p.values[i] = static_cast<float>(i % 64) / 63;
    return p;
}

Planes after(TrivialOp op, float strength, float sign) {
    Planes p = ramp();
    apply_trivial(p, op, strength, sign);
    return p;
}

double worst(const Planes& a, const Planes& b) {
    double most = 0;
    for (size_t i = 0; i < a.values.size(); ++i)
        most = std::max(most, std::fabs(static_cast<double>(a.values[i]) - static_cast<double>(b.values[i])));
    return most;
}

}  // namespace

TEST_CASE("TrivialAugment: no strength changes next to nothing, full strength stays in [0, 1]") {
    for (int op = 0; op < static_cast<int>(TrivialOp::count); ++op) {
        CAPTURE(op);
        const auto which = static_cast<TrivialOp>(op);
        if (which != TrivialOp::equalize && which != TrivialOp::solarize)
            CHECK(worst(after(which, 0, 1), ramp()) < 0.005);
        for (const float sign : {-1.0f, 1.0f})
            for (const float x : after(which, 1, sign).values) {
                CHECK(x >= 0);
                CHECK(x <= 1);
            }
    }
}

TEST_CASE("TrivialAugment: known values") {
    Planes p(1, 7, 7);
    p.values[3 * 7 + 3] = 1;                         // in the middle of black
    apply_trivial(p, TrivialOp::translate_x, 1, 1);  // a seventh of the side
    CHECK(p.values[3 * 7 + 2] == doctest::Approx(1));
    CHECK(p.values[3 * 7 + 6] == doctest::Approx(0.5));  // from outside
    const Planes inverted = after(TrivialOp::solarize, 1, 1);
    for (size_t i = 0; i < 64; ++i) CHECK(inverted.values[i] == doctest::Approx(1 - ramp().values[i]));
    Planes low(1, 1, 3);
    low.values = {0.2f, 0.3f, 0.4f};
    apply_trivial(low, TrivialOp::autocontrast, 0, 1);
    CHECK(low.values[0] == 0);
    CHECK(low.values[1] == doctest::Approx(0.5));
    CHECK(low.values[2] == 1);
    Planes bits(1, 1, 2);
    bits.values = {130.0f / 255, 100.0f / 255};
    apply_trivial(bits, TrivialOp::posterize, 1, 1);  // two bits are left
    CHECK(bits.values[0] == doctest::Approx(128.0 / 255));
    CHECK(bits.values[1] == doctest::Approx(64.0 / 255));
    for (const TrivialOp op : {TrivialOp::shear_x, TrivialOp::shear_y, TrivialOp::rotate}) {
        Planes gray(1, 9, 9);
        for (float& x : gray.values) x = 0.5f;
        apply_trivial(gray, op, 0.7f, 1);
        for (const float x : gray.values) CHECK(x == doctest::Approx(0.5));
    }
}

TEST_CASE("a random resized crop of a plain picture is plain, and boxes differ") {
    Stored content{8, 8, 3, {}, {0, 1}, {"a", "b"}};
    const Image picture = pattern(8, 8, 3);
    content.pixels.assign(192, 77);
    content.pixels.insert(content.pixels.end(), picture.pixels.begin(), picture.pixels.end());
    const auto set = std::make_shared<StoredDataSet>(std::move(content), "here");
    AugmentOptions options;
    options.crop_share = 0.2f;
    ChannelStats stats;
    stats.mean = {0, 0, 0}, stats.std = {1, 1, 1};
    std::vector<std::vector<float>> seen;
    for (uint64_t epoch = 0; epoch < 6; ++epoch) {
        std::vector<float> plain(192), other(192);
        augment(set->sample(0).image, options, stats, KeyedRng(1, Purpose::crop, epoch, 0), plain.data());
        for (const float x : plain) CHECK(x == doctest::Approx(77.0 / 255));
        augment(set->sample(1).image, options, stats, KeyedRng(1, Purpose::crop, epoch, 0), other.data());
        if (std::find(seen.begin(), seen.end(), other) == seen.end()) seen.push_back(other);
    }
    CHECK(seen.size() >= 4);
}
