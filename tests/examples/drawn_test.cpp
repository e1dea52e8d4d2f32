#include "examples/data/drawn.h"

#include <doctest/doctest.h>

#include <cmath>

#include "examples/data/hash.h"
#include "examples/data/shapes.h"
#include "examples/data/stored.h"

using namespace demi::data;

TEST_CASE("a drawn sample depends on seed, split and index alone") {
    const DrawnDataSet few(20, Split::train), many(5000, Split::train), other(20, Split::test),
        seeded(20, Split::train, 1);
    CHECK(few.sample(17).image.pixels == many.sample(17).image.pixels);
    CHECK(few.sample(17).image.pixels != other.sample(17).image.pixels);
    CHECK(few.sample(17).image.pixels != seeded.sample(17).image.pixels);
    CHECK(few.sample(17).image.pixels != few.sample(7).image.pixels);
    CHECK(few.label(17) == 7);
    CHECK(few.classes().size() == 10);
    CHECK(few.fingerprint() != other.fingerprint());
    const DataSetPtr kept = preload(few, "drawn");
    for (int64_t i = 0; i < few.size(); ++i)
        CHECK(kept->sample(i).image.pixels == few.sample(i).image.pixels);
}

TEST_CASE("every machine draws the same bytes") {
    const DrawnDataSet data(100, Split::train);
    Hash hash;
    for (int64_t i = 0; i < 100; ++i) {
        const Image image = data.sample(i).image;
        hash.add(image.pixels.data(), image.pixels.size());
    }
    CHECK(hash.value() == 10523336332607088850u);
}

TEST_CASE("the figures' own sine and arctangent are right") {
    for (int i = -400; i <= 400; ++i) {
        const float turn = static_cast<float>(i) / 173.0f;
        CHECK(
            sin_turn(turn) ==
            doctest::Approx(std::sin(6.283185307179586 * static_cast<double>(turn))).epsilon(1e-6).scale(1));
        const Point p{3 * cos_turn(turn), 3 * sin_turn(turn)};
        const double back = static_cast<double>(turn_of(p)) - static_cast<double>(turn);
        CHECK(std::fabs(back - std::round(back)) < 2e-6);
    }
    CHECK(turn_of({0, 0}) == 0);
}

TEST_CASE("every figure has an inside and an outside") {
    for (int64_t figure = 0; figure < 10; ++figure) {
        int inside = 0;
        for (int y = -20; y <= 20; ++y)
            for (int x = -20; x <= 20; ++x)
                inside += figure_distance(figure, {static_cast<float>(x) / 16, static_cast<float>(y) / 16},
                                          0.5f) < 0;
        CHECK(inside > 100);
        CHECK(inside < 1100);
    }
}

TEST_CASE("unusable sizes are refused") {
    CHECK_THROWS(DrawnDataSet(0, Split::train));
    CHECK_THROWS(DrawnDataSet(10, Split::train, 0, 4));
}
