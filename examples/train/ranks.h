#pragma once
// What a trainer does on several ranks: one command line, one data set, one voice.
#include "examples/common/signals.h"
#include "examples/data/loader.h"
#include "examples/train/options.h"
#include "models/data_parallel.h"

namespace demi::examples {

// main() of a trainer: parses, joins the launcher's job, trains. Rank 0 prints; an Error on any rank is one line that
// names it and ends the job.
int run_trainer(int argc, char** argv, const char* program, const std::string& description,
                TrainOptions& options, int (*train)(TrainOptions options, const Communicator& world));

// Fills in what the ranks must agree on (--shards, --threads; a rank that is not the first gets a folder of
// its own in place of --out, which is gone afterwards, with what a resumed run reads from it) and throws an
// Error that names the ranks where version, options, data, instruction set or kind of device differ, or the
// batch does not divide. Before anything is written.
void agree_on_run(const Communicator& world, TrainOptions& options, Device device, uint64_t data_fingerprint,
                  int64_t pictures);

// Makes the own shards of a batch, each as a batch of its own in `parts`; nothing else is decoded.
data::MakeBatch sharded_batches(data::MakeBatch make, int64_t shards, std::vector<int64_t> own);

// The random draws of one shard in one step.
Generator shard_generator(const Generator& run, int64_t step, int64_t shard);

// What asks a run to stop or to save. Each rank of several says its wish in every step, and all follow at the same one.
int wish_of(StopSignals& stop);  // the signal, plus 1000 where a checkpoint is asked for
class RunSignal {
  public:
    void note(int wish);
    int of(const StopSignals& stop,
           const DataParallel* parallel) const;                   // the signal that ends the run; 0: none
    bool asked(StopSignals& stop, const DataParallel* parallel);  // for a checkpoint; true once

  private:
    int signal_ = 0;
    bool save_ = false;
};
std::string signal_name(int signal);

}  // namespace demi::examples
