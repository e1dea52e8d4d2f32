#include "examples/train/option_group.h"
#include "examples/train/options.h"

namespace demi::examples {

void add_ranks(CLI::App& app, TrainOptions& o) {
    const char* group = "Several ranks (mpirun -np N)";
    const OptionGroup options{app, group};
    app.add_option(
           "--shards,--accumulate", o.shards,
           "Parts that a batch is cut into, which need only one part's memory at a time: the bits depend "
           "on it, not on the ranks (default: as many as ranks)")
        ->check(CLI::Range(int64_t{1}, int64_t{65536}))
        ->group(group);
    app.add_option("--shard", o.shard,
                   "What the ranks share out: none; grad_op: gradients and moments; full: parameters too")
        ->check(CLI::IsMember({"none", "grad_op", "full"}))
        ->capture_default_str()
        ->group(group);
    options.number("--comm-timeout", o.comm_timeout, 0.1, 1e6, "Seconds that a rank waits for another one");
}

}  // namespace demi::examples
