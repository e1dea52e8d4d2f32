#include "examples/data/loader.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <system_error>

#include "examples/data/keyed_rng.h"
#include "runtime/check.h"

namespace demi::data {

std::vector<int64_t> epoch_order(int64_t count, uint64_t seed, int64_t epoch) {
    std::vector<int64_t> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), int64_t{0});
    KeyedRng rng(seed, Purpose::shuffle, static_cast<uint64_t>(epoch), 0);
    for (int64_t i = count - 1; i > 0; --i)
        std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(rng.below(i + 1))]);
    return order;
}

Loader::Loader(int64_t samples, MakeBatch make, const LoaderOptions& options)
    : samples_(samples), make_(std::move(make)), options_(options) {
    check(samples > 0 && samples <= std::numeric_limits<int32_t>::max(), "loader",
          "the number of samples must be from 1 to 2^31 - 1, got ", samples);
    check(options.batch > 0, "loader", "the batch size must be positive, got ", options.batch);
    check(options.threads > 0 && options.threads <= 256, "loader", "threads must be from 1 to 256, got ",
          options.threads);
    check(options.ahead > 0, "loader", "at least one batch must be kept ahead, got ", options.ahead);
    check(options.epochs >= 0, "loader", "the number of epochs must not be negative, got ", options.epochs);
    per_epoch_ = options.drop_last ? samples / options.batch : (samples + options.batch - 1) / options.batch;
    check(per_epoch_ > 0, "loader", "a batch of ", options.batch,
          " needs at least as many samples, the data has ", samples);
    const LoaderState start = options.start;
    check(start.epoch >= 0 && start.batch >= 0 && start.batch <= per_epoch_, "loader",
          "cannot start at epoch ", start.epoch, ", batch ", start.batch, ": an epoch has ", per_epoch_,
          " batches");
    end_ = options.epochs > 0 ? checked_mul(options.epochs, per_epoch_, "loader")
                              : std::numeric_limits<int64_t>::max();
    claimed_ = consumed_ = checked_add(checked_mul(start.epoch, per_epoch_, "loader"), start.batch, "loader");
    try {
        for (int i = 0; i < options.threads; ++i) threads_.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {
        stop();
        fail("loader", "cannot start a thread: ", error.what());
    }
}

Loader::~Loader() { stop(); }

void Loader::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    room_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
}

void Loader::work() {
    for (;;) {
        int64_t ticket = 0;
        {
            std::unique_lock lock(mutex_);
            room_.wait(lock, [this] {
                return stopping_ || claimed_ >= end_ || claimed_ < consumed_ + options_.ahead;
            });
            if (stopping_ || claimed_ >= end_) return;
            ticket = claimed_++;
        }
        Slot slot = make(ticket);
        {
            const std::lock_guard lock(mutex_);
            if (stopping_) return;
            slots_.emplace(ticket, std::move(slot));
        }
        ready_.notify_one();
    }
}

std::shared_ptr<const std::vector<int64_t>> Loader::order(int64_t epoch) {
    {
        const std::lock_guard lock(mutex_);
        if (order_epoch_ == epoch) return order_;
    }
    // Two threads may both come here; they make the same order.
    auto fresh = std::make_shared<const std::vector<int64_t>>(epoch_order(samples_, options_.seed, epoch));
    const std::lock_guard lock(mutex_);
    if (epoch > order_epoch_) {
        order_epoch_ = epoch;
        order_ = fresh;
    }
    return fresh;
}

Loader::Slot Loader::make(int64_t ticket) {
    Slot slot;
    try {
        Batch& batch = slot.batch;
        batch.epoch = ticket / per_epoch_;
        batch.number = ticket % per_epoch_;
        const int64_t begin = batch.number * options_.batch;
        const int64_t end = std::min(begin + options_.batch, samples_);
        if (options_.shuffle) {
            const auto all = order(batch.epoch);
            batch.indices.assign(all->begin() + begin, all->begin() + end);
        } else {
            batch.indices.resize(static_cast<size_t>(end - begin));
            std::iota(batch.indices.begin(), batch.indices.end(), begin);
        }
        make_(batch);
    } catch (...) {
        slot.error = std::current_exception();
    }
    return slot;
}

bool Loader::next(Batch& batch) {
    std::unique_lock lock(mutex_);
    if (failed_) std::rethrow_exception(failed_);
    if (consumed_ >= end_) return false;
    ready_.wait(lock, [this] { return slots_.contains(consumed_); });
    auto slot = slots_.extract(consumed_);
    if (slot.mapped().error) {
        failed_ = slot.mapped().error;
        std::rethrow_exception(failed_);
    }
    batch = std::move(slot.mapped().batch);
    ++consumed_;
    lock.unlock();
    room_.notify_all();
    return true;
}

LoaderState Loader::state() const {
    const std::lock_guard lock(mutex_);
    return {consumed_ / per_epoch_, consumed_ % per_epoch_};
}

}  // namespace demi::data
