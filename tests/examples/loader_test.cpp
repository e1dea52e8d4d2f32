#include "examples/data/loader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>

#include "examples/data/batches.h"
#include "examples/data/drawn.h"
#include "examples/data/mix.h"
#include "examples/data/stored.h"
#include "tests/support/check_error.h"

using namespace demi;
using namespace demi::data;
using namespace demi::test;

namespace {

// All batches of a run as text that holds every value.
std::vector<std::vector<float>> run(const MakeBatch& make, int64_t samples, const LoaderOptions& options,
                                    int64_t count) {
    Loader loader(samples, make, options);
    std::vector<std::vector<float>> out;
    Batch batch;
    while (count-- > 0 && loader.next(batch)) {
        const Tensor& values = batch.images.defined() ? batch.images : batch.local_crops;
        out.push_back(values.to_vector<float>());
        out.back().push_back(static_cast<float>(batch.epoch * 1000 + batch.number));
    }
    return out;
}

const MakeBatch kNothing = [](Batch&) {};

}  // namespace

TEST_CASE("an epoch holds every sample once, in a keyed order") {
    LoaderOptions options;
    options.batch = 7;
    options.drop_last = false;
    options.epochs = 2;
    Loader loader(25, kNothing, options);
    CHECK(loader.batches_per_epoch() == 4);
    std::vector<int64_t> seen[2];
    Batch batch;
    while (loader.next(batch))
        seen[batch.epoch].insert(seen[batch.epoch].end(), batch.indices.begin(), batch.indices.end());
    CHECK_FALSE(loader.next(batch));
    CHECK(seen[0] == epoch_order(25, 0, 0));
    CHECK(seen[0] != seen[1]);
    for (auto& order : seen) {
        std::sort(order.begin(), order.end());
        for (int64_t i = 0; i < 25; ++i) CHECK(order[static_cast<size_t>(i)] == i);
    }
    options.drop_last = true;
    options.shuffle = false;
    Loader plain(25, kNothing, options);
    CHECK(plain.batches_per_epoch() == 3);
    CHECK(plain.next(batch));
    CHECK(batch.indices == std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6});
}

TEST_CASE("threads and resuming change nothing") {
    const auto data = std::make_shared<DrawnDataSet>(50, Split::train, 0, 16);
    const ChannelStats stats = channel_stats(*data);
    MulticropOptions crops = MulticropOptions::small(16);
    crops.local_crops = 2;
    for (const MakeBatch& make : {supervised_batches(data, stats, AugmentOptions::standard(16, true), 5),
                                  multicrop_batches(data, stats, crops, 5)}) {
        LoaderOptions options;
        options.batch = 8;
        options.seed = 5;
        const auto once = run(make, 50, options, 14);
        REQUIRE(once.size() == 14);
        CHECK(once[0] != once[6]);
        for (const int threads : {2, 3}) {
            options.threads = threads;
            options.ahead = threads + 3;
            CHECK(run(make, 50, options, 14) == once);
        }
        for (const int64_t start : {1, 5, 6, 13}) {
            LoaderOptions resumed = options;
            resumed.start = {start / 6, start % 6};
            const auto rest = run(make, 50, resumed, 14 - start);
            CHECK(rest == decltype(once)(once.begin() + start, once.end()));
        }
    }
}

TEST_CASE("the state is where the next batch comes from") {
    LoaderOptions options;
    options.batch = 10;
    Loader loader(30, kNothing, options);
    CHECK(loader.state() == LoaderState{0, 0});
    Batch batch;
    for (int i = 0; i < 4; ++i) loader.next(batch);
    CHECK(loader.state() == LoaderState{1, 1});
    options.start = {0, 3};  // the end of an epoch is the start of the next
    Loader at_end(30, kNothing, options);
    CHECK(at_end.state() == LoaderState{1, 0});
    at_end.next(batch);
    CHECK(batch.epoch == 1);
    CHECK(batch.number == 0);
}

TEST_CASE("an exception comes out at its place, and again") {
    const MakeBatch failing = [](Batch& batch) {
        if (batch.number == 3) throw std::runtime_error("broken picture");
    };
    LoaderOptions options;
    options.batch = 2;
    options.threads = 3;
    Loader loader(20, failing, options);
    Batch batch;
    for (int i = 0; i < 3; ++i) CHECK(loader.next(batch));
    for (int i = 0; i < 2; ++i) CHECK_THROWS_WITH(loader.next(batch), "broken picture");
}

TEST_CASE("a loader can be left at any moment") {
    for (int i = 0; i < 40; ++i) {
        std::atomic<int> made{0};
        LoaderOptions options;
        options.batch = 3;
        options.threads = 1 + i % 4;
        options.ahead = 1 + i % 3;
        Loader loader(
            100, [&](Batch&) { ++made; }, options);
        Batch batch;
        for (int k = 0; k < i % 7; ++k) loader.next(batch);
        if (i % 2 == 0) std::this_thread::sleep_for(std::chrono::microseconds(i * 20));
        CHECK(made <= i % 7 + options.ahead + options.threads);
    }
}

TEST_CASE("senseless options are refused") {
    const auto error = [](int64_t samples, auto change) {
        LoaderOptions options;
        change(options);
        return error_of([&] { Loader(samples, kNothing, options); });
    };
    CHECK(has(error(10, [](auto&) {}), "a batch of 64 needs at least as many samples, the data has 10"));
    CHECK(error(10, [](auto& o) { o.drop_last = false; }).empty());
    CHECK(has(error(100, [](auto& o) { o.batch = 0; }), "batch size must be positive"));
    CHECK(has(error(100, [](auto& o) { o.threads = 0; }), "threads"));
    CHECK(has(error(100, [](auto& o) { o.start = {0, 9}; }), "cannot start at epoch 0, batch 9"));
    CHECK(has(error(0, [](auto&) {}), "number of samples"));
}

TEST_CASE("batches have the shapes that models need") {
    const auto data = std::make_shared<DrawnDataSet>(20, Split::train, 0, 16);
    const ChannelStats stats = channel_stats(*data);
    Batch batch;
    batch.indices = {3, 11, 3};
    supervised_batches(data, stats, AugmentOptions::none(), 0)(batch);
    CHECK(batch.images.shape() == Shape{3, 3, 16, 16});
    CHECK(batch.labels.to_vector<int64_t>() == std::vector<int64_t>{3, 1, 3});
    const Batch plain = plain_batch(*data, stats, 3, 5);
    CHECK(plain.images.shape() == Shape{2, 3, 16, 16});
    CHECK(plain.images.select(0, 0).to_vector<float>() == batch.images.select(0, 2).to_vector<float>());
    CHECK_THROWS(plain_batch(*data, stats, 3, 21));
    MulticropOptions crops = MulticropOptions::small(16);
    multicrop_batches(data, stats, crops, 0)(batch);
    CHECK(batch.global_crops.shape() == Shape{6, 3, 16, 16});
    CHECK(batch.local_crops.shape() == Shape{12, 3, 8, 8});
    Batch none;
    none.indices = {0};
    crops.local_crops = 0;
    multicrop_batches(data, stats, crops, 0)(none);
    CHECK_FALSE(none.local_crops.defined());
}

TEST_CASE("mixup and cutmix share pictures and labels") {
    Stored content{4, 4, 1, std::vector<uint8_t>(32, 0), {0, 1}, {"dark", "light"}};
    std::fill(content.pixels.begin() + 16, content.pixels.end(), uint8_t{255});
    const auto data = std::make_shared<StoredDataSet>(std::move(content), "two");
    ChannelStats stats;
    stats.mean = {0, 0, 0};
    stats.std = {1, 1, 1};
    for (const MixOptions& mix : {MixOptions{0.3f, 0, 0}, MixOptions{0, 1.0f, 0}, MixOptions{1, 1, 0.1f}}) {
        const MakeBatch make = supervised_batches(data, stats, AugmentOptions::none(), 1, mix);
        for (int64_t number = 0; number < 20; ++number) {
            Batch batch;
            batch.indices = {0, 1};
            batch.number = number;
            make(batch);
            const auto pixels = batch.images.to_vector<float>();
            const auto targets = batch.targets.to_vector<float>();
            double light = 0;
            for (size_t i = 0; i < 16; ++i) light += static_cast<double>(pixels[i]) / 16;
            const double smoothing = static_cast<double>(mix.smoothing);
            CHECK(static_cast<double>(targets[1]) ==
                  doctest::Approx(light * (1 - smoothing) + smoothing / 2).epsilon(1e-4));
            CHECK(targets[0] + targets[1] == doctest::Approx(1).epsilon(1e-5));
            CHECK(targets[0] == doctest::Approx(targets[3]).epsilon(1e-5));
        }
    }
}
