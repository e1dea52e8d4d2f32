#pragma once
// Batches made ahead by background threads, always in the same order. What a batch holds depends on its place
// (epoch, number in the epoch) alone: not on threads, timing, or where the run was resumed.
#include <condition_variable>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "examples/data/dataset.h"
#include "runtime/non_copyable.h"
#include "runtime/tensor.h"

namespace demi::data {

struct Batch {
    int64_t epoch = 0;
    int64_t number = 0;            // within the epoch
    std::vector<int64_t> indices;  // which samples
    Tensor images;                 // supervised: f32 [B, C, H, W]
    Tensor labels;                 // i64 [B]
    Tensor targets;                // with mixup: f32 [B, classes], otherwise undefined
    Tensor global_crops;           // multi-crop: f32 [2 B, C, G, G], all first views, then all second
    Tensor local_crops;            // f32 [n B, C, L, L], view by view; undefined for n = 0
    std::vector<Batch> parts;      // of a run on several ranks: this rank's shards, in place of the tensors
};

// Fills in everything but epoch, number and indices. Called from background threads, several at once.
using MakeBatch = std::function<void(Batch& batch)>;

struct LoaderState {
    int64_t epoch = 0;
    int64_t batch = 0;
    bool operator==(const LoaderState&) const = default;
};

struct LoaderOptions {
    int64_t batch = 64;
    bool shuffle = true;
    bool drop_last = true;  // leave out the last batch of an epoch where it is smaller
    int64_t epochs = 0;     // stop after this many; 0: never
    int threads = 1;
    int64_t ahead = 4;  // batches kept ready
    uint64_t seed = 0;
    LoaderState start;  // where to begin: what state() said when the run was saved
};

class Loader : NonCopyable {
  public:
    // Samples are 0 ... samples-1. Throws where the options leave no batch in an epoch.
    Loader(int64_t samples, MakeBatch make, const LoaderOptions& options);
    ~Loader();  // stops and joins, at any moment

    // False after the last epoch. An exception from making the batch comes out here, and
    // again on every later call.
    bool next(Batch& batch);
    LoaderState state() const;  // the place of the batch that next() gives
    int64_t batches_per_epoch() const { return per_epoch_; }

  private:
    struct Slot {
        Batch batch;
        std::exception_ptr error;
    };

    void work();
    Slot make(int64_t ticket);
    std::shared_ptr<const std::vector<int64_t>> order(int64_t epoch);
    void stop();

    int64_t samples_;
    MakeBatch make_;
    LoaderOptions options_;
    int64_t per_epoch_ = 0;
    int64_t end_ = 0;  // first ticket that is not given out; tickets count batches over all epochs

    mutable std::mutex mutex_;
    std::condition_variable ready_, room_;
    std::map<int64_t, Slot> slots_;
    int64_t claimed_ = 0;   // next ticket for a worker
    int64_t consumed_ = 0;  // next ticket for the consumer
    bool stopping_ = false;
    std::exception_ptr failed_;
    int64_t order_epoch_ = -1;
    std::shared_ptr<const std::vector<int64_t>> order_;
    std::vector<std::thread> threads_;
};

// The order of an epoch: a keyed Fisher-Yates shuffle of 0 ... count-1.
std::vector<int64_t> epoch_order(int64_t count, uint64_t seed, int64_t epoch);

}  // namespace demi::data
