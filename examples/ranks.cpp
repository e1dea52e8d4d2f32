// A model of your own on several ranks: mpirun -np 4 build/examples/ranks. It prints the same with 1, 2 or 4 of them.
#include <cstdio>

#include "models/data_parallel.h"
#include "models/layers.h"
#include "ops/elementwise/functions.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "runtime/comm/job.h"

using namespace demi;

struct Net {
    Linear in, out;
    explicit Net(Generator& generator) : in(8, 64, true, generator, 0.3), out(64, 1, true, generator, 0.1) {}
    Variable forward(const Variable& x) const { return out.forward(tanh(in.forward(x))); }
    void visit(const std::string& prefix, const ParameterVisitor& fn) {
        in.visit(prefix + "in.", fn);
        out.visit(prefix + "out.", fn);
    }
};

int main() {
    const Job job;  // of the launcher; one rank without
    Generator generator{1};
    Net net(generator);
    DataParallel parallel(job.world(), {.shards = 4, .sharding = Sharding::grad_op}, net);
    Optimizer optimizer(parallel.parameters(), parameter_options(parallel.parameters(), {}));
    GradScaler scaler({.enabled = false});
    for (uint64_t step = 0; step < 200; ++step) {
        std::vector<double> losses;
        for (int64_t shard : parallel.own_shards()) {
            Generator draws =
                Generator{2}.fork(step).fork(static_cast<uint64_t>(shard));  // a shard's own data
            const Variable x(randn({32, 8}, draws));
            parallel.begin_shard();
            const Variable loss = mean(square(net.forward(x) - sum(x, {1}, true)));
            scaler.backward(loss);
            parallel.end_shard();
            losses.push_back(loss.item());
        }
        parallel.step(optimizer, scaler, {.lr = 3e-3, .clip_grad = 5});
        const auto own = static_cast<int64_t>(losses.size());
        const double loss = mean(Variable(parallel.over_shards(Tensor::from(losses, {own, 1})))).item();
        if (job.world().rank() == 0 && (step + 1) % 50 == 0)
            std::printf("step %d, loss %.17g\n", static_cast<int>(step) + 1, loss);
    }
}
