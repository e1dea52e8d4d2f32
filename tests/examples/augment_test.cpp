#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "examples/data/augment.h"
#include "examples/data/multicrop.h"
#include "examples/data/resample.h"
#include "tests/examples/image_files.h"
#include "tests/support/check_error.h"

using namespace demi::data;
using namespace demi::test;

namespace {

ChannelStats plain_stats() {
    ChannelStats stats;
    stats.mean = {0, 0, 0};
    stats.std = {1, 1, 1};
    return stats;
}

Planes one_color(float r, float g, float b) {
    Planes p(3, 2, 2);
    for (int64_t i = 0; i < 4; ++i) p.plane(0)[i] = r, p.plane(1)[i] = g, p.plane(2)[i] = b;
    return p;
}

void check_color(const Planes& p, float r, float g, float b) {
    CHECK(p.plane(0)[3] == doctest::Approx(r).epsilon(1e-5));
    CHECK(p.plane(1)[3] == doctest::Approx(g).epsilon(1e-5));
    CHECK(p.plane(2)[3] == doctest::Approx(b).epsilon(1e-5));
}

}  // namespace

TEST_CASE("resampling keeps constants, sizes and means") {
    Image flat(9, 7, 3);
    std::fill(flat.pixels.begin(), flat.pixels.end(), uint8_t{200});
    for (const Filter filter : {Filter::bilinear, Filter::bicubic}) {
        const Planes p = resample(flat, {1, 2, 7, 5}, 13, 3, filter);
        for (const float x : p.values) CHECK(x == doctest::Approx(200.0 / 255).epsilon(1e-6));
    }
    const Image image = pattern(8, 8, 1);
    CHECK(to_image(resample(image, {0, 0, 8, 8}, 8, 8, Filter::bicubic)).pixels == image.pixels);
    CHECK(resize(image, 8, 8).pixels == image.pixels);
    // Halving by bilinear with antialias: weights 1/8, 3/8, 3/8, 1/8 inside.
    Image ramp(1, 8, 1);
    for (int64_t x = 0; x < 8; ++x) ramp.at(0, x, 0) = static_cast<uint8_t>(x * 10);
    const Planes half = resample(ramp, {0, 0, 1, 8}, 1, 4, Filter::bilinear);
    CHECK(half.values[1] * 255 == doctest::Approx(25).epsilon(1e-5));
    CHECK(half.values[2] * 255 == doctest::Approx(45).epsilon(1e-5));
    CHECK(has(error_of([&] { resample(image, {0, 0, 9, 8}, 4, 4, Filter::bicubic); }), "must lie inside"));
    CHECK_THROWS(resize(image, 0, 4));
}

TEST_CASE("a quarter turn brings the right edge to the top; four of them change nothing") {
    for (const int64_t n : {1, 4, 5}) {
        Planes p(2, n, n);
        for (size_t i = 0; i < p.values.size(); ++i) p.values[i] = static_cast<float>(i);
        const Planes before = p;
        quarter_turn(p);
        for (int64_t c = 0; c < 2; ++c)
            for (int64_t y = 0; y < n; ++y)
                for (int64_t x = 0; x < n; ++x)
                    CHECK(p.plane(c)[y * n + x] == before.plane(c)[x * n + n - 1 - y]);
        for (int turn = 1; turn < 4; ++turn) quarter_turn(p);
        CHECK(p.values == before.values);
    }
}

TEST_CASE("colour changes") {
    Planes p = one_color(0.8f, 0.4f, 0.2f);
    adjust_hue(p, 1.0f);
    check_color(p, 0.8f, 0.4f, 0.2f);
    adjust_hue(p, 1.0f / 3);
    check_color(p, 0.2f, 0.8f, 0.4f);
    adjust_brightness(p, 2.0f);
    check_color(p, 0.4f, 1.0f, 0.8f);
    solarize(p, 0.5f);
    check_color(p, 0.4f, 0.0f, 0.2f);
    adjust_saturation(p, 0.0f);
    const float gray = 0.299f * 0.4f + 0.114f * 0.2f;
    check_color(p, gray, gray, gray);
    adjust_contrast(p, 3.0f);
    check_color(p, gray, gray, gray);
    adjust_hue(p, 0.3f);
    check_color(p, gray, gray, gray);
    p = one_color(0.1f, 0.5f, 0.9f);
    gaussian_blur(p, 1.5f);
    check_color(p, 0.1f, 0.5f, 0.9f);
    p.plane(1)[0] = 1.0f;
    gaussian_blur(p, 0.7f);
    CHECK(p.plane(1)[0] < 0.9f);
    CHECK(p.plane(1)[3] > 0.5f);
    flip_horizontal(p);
    CHECK(p.plane(1)[1] > p.plane(1)[0]);
}

TEST_CASE("jitter stays in range and leaves one channel without hue") {
    for (uint64_t i = 0; i < 50; ++i) {
        KeyedRng rng(3, Purpose::color, 0, i);
        Planes p = to_planes(pattern(6, 5, i % 2 == 0 ? 3 : 1, static_cast<int>(i)));
        color_jitter(p, {0.9f, 0.9f, 0.9f, 0.5f}, rng);
        for (const float x : p.values) CHECK((x >= 0 && x <= 1));
    }
}

TEST_CASE("supervised augmentation shifts, mirrors and normalises") {
    const Image image = pattern(6, 8, 3);
    ChannelStats stats = plain_stats();
    std::vector<float> plain(6 * 8 * 3), out(plain.size()), again(plain.size());
    normalize(image, stats, plain.data());
    const auto run = [&](const AugmentOptions& options, uint64_t index, std::vector<float>& to) {
        augment(image, options, stats, KeyedRng(1, Purpose::crop, 0, index), to.data());
    };
    run(AugmentOptions::none(), 0, out);
    CHECK(out == plain);
    int mirrored = 0;
    for (uint64_t i = 0; i < 64; ++i) {
        run({0, true, {}, 0}, i, out);
        mirrored += out != plain;
        if (out != plain) CHECK(out[0] == plain[7]);
    }
    CHECK(mirrored > 16);
    CHECK(mirrored < 48);
    bool filled = false;
    for (uint64_t i = 0; i < 32; ++i) {
        run({2, false, {}, 0}, i, out);
        run({2, false, {}, 0}, i, again);
        CHECK(out == again);
        // Some shifted copy: the centre pixel comes from at most two pixels away.
        bool found = false;
        for (size_t y = 1; y <= 5; ++y)
            for (size_t x = 2; x <= 6; ++x) found = found || out[3 * 8 + 4] == plain[y * 8 + x];
        CHECK(found);
        filled = filled || out[0] == 0;
    }
    CHECK(filled);
}

TEST_CASE("random boxes keep to their share and aspect") {
    const float scale[2] = {0.2f, 0.5f}, ratio[2] = {0.75f, 4.0f / 3};
    for (uint64_t i = 0; i < 200; ++i) {
        KeyedRng rng(2, Purpose::crop, 0, i);
        const Box box = random_box(100, 140, scale, ratio, rng);
        CHECK(box.top >= 0);
        CHECK(box.left + box.width <= 140);
        CHECK(box.top + box.height <= 100);
        const double share = static_cast<double>(box.height * box.width) / 14000;
        CHECK(share > 0.18);
        CHECK(share < 0.52);
    }
    KeyedRng rng(2, Purpose::crop, 0, 0);
    const float all[2] = {1, 1};
    const Box strip = random_box(10, 1000, all, ratio, rng);
    CHECK(strip.height == 10);
    CHECK(strip.width == 13);
}

TEST_CASE("views are finite, differ, and repeat") {
    const Image image = pattern(32, 32, 3);
    const MulticropOptions options = MulticropOptions::small(32);
    check_options(options);
    std::vector<float> a(32 * 32 * 3), b(a.size()), c(16 * 16 * 3);
    for (uint64_t i = 0; i < 30; ++i) {
        make_view(image, 0, options, plain_stats(), KeyedRng(1, Purpose::crop, 4, i, 1), a.data());
        make_view(image, 0, options, plain_stats(), KeyedRng(1, Purpose::crop, 4, i, 1), b.data());
        CHECK(a == b);
        make_view(image, 1, options, plain_stats(), KeyedRng(1, Purpose::crop, 4, i, 2), b.data());
        CHECK(a != b);
        make_view(image, 2, options, plain_stats(), KeyedRng(1, Purpose::crop, 4, i, 3), c.data());
        for (const float x : c) CHECK((x >= 0 && x <= 1));
    }
    MulticropOptions bad = options;
    bad.local_scale[0] = 0;
    CHECK(has(error_of([&] { check_options(bad); }), "0 < low <= high <= 1"));
}
