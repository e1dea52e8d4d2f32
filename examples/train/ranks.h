#pragma once
// What a trainer does on several ranks: one command line, one data set, one voice.
#include "examples/common/signals.h"
#include "examples/data/loader.h"
#include "examples/train/options.h"
#include "models/data_parallel.h"
#include "ops/boundary/boundary.h"

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

// boundary_counters() of all ranks together, on each of them.
std::vector<demi::BoundaryRow> boundary_totals(const Communicator& world);

// The random draws of one shard in one step.
Generator shard_generator(const Generator& run, int64_t step, int64_t shard);

// What asks a run to stop or to save, at any of the ranks: all say it before each step and follow at the same one.
class RunSignal {
  public:
    // `failed`: this rank cannot take the next step.
    void agree(StopSignals& stop, const Communicator& world, bool failed);
    int of(const StopSignals& stop) const { return several_ ? signal_ : stop.signal(); }  // 0: none
    bool save() const { return save_; }                                                   // by SIGUSR1
    bool failed() const { return failed_; }

  private:
    int signal_ = 0;
    bool several_ = false, save_ = false, failed_ = false;
};
std::string signal_name(int signal);

}  // namespace demi::examples
