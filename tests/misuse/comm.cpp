// Ranks: a job of one.
#include "models/data_parallel.h"
#include "models/layers.h"
#include "ops/collective/collective.h"
#include "ops/reduce/reduce.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/tree_sum.h"
#include "tests/misuse/walk.h"

namespace demi::test {

static void parallel_walks(Walks& walks);

void comm_walks(Walks& walks) {
    parallel_walks(walks);
    walks.add(
        "Communicator::Communicator Communicator::rank Communicator::size Communicator::local_size "
        "Communicator::host "
        "Communicator::engine Communicator::barrier",
        [](int rank) {
            const Communicator one;
            one.barrier();
            return one.host(rank) + one.engine() + char(one.rank() + one.size() + one.local_size());
        },
        0);
    walks.add(
        "Communicator::all_gather Communicator::start_all_gather PendingTensor::PendingTensor "
        "PendingTensor::get",
        [](Tensor x) {
            PendingTensor pending = Communicator().start_all_gather(x);
            use(Communicator().all_gather(x));
            return pending.get();
        },
        tensor({2, 3}));
    walks.add(
        "Communicator::all_gather_into", [](Tensor out, Tensor x) { Communicator().all_gather_into(out, x); },
        tensor({2, 3}), tensor({2, 3}));
    walks.add(
        "Communicator::all_to_all Communicator::start_all_to_all",
        [](Tensor x) {
            use(Communicator().start_all_to_all(x).get());
            return Communicator().all_to_all(x);
        },
        tensor({2, 3}));
    walks.add(
        "Communicator::reduce_scatter", [](Tensor x) { return Communicator().reduce_scatter(x); },
        tensor({2, 3}));
    walks.add(
        "Communicator::all_reduce", [](Tensor x) { return Communicator().all_reduce(x); }, tensor({2, 3}));
    walks.add(
        "Communicator::broadcast", [](Tensor x, int root) { Communicator().broadcast(x, root); }, tensor({2}),
        0);
    walks.add(
        "Communicator::gather",
        [](Tensor x, Ints counts, int root) { return Communicator().gather(x, counts, root); }, tensor({3}),
        Ints{3}, 0);
    walks.add(
        "Communicator::scatter",
        [](Tensor x, Ints counts, DType dtype, Device device, int root) {
            return Communicator().scatter(x, counts, dtype, device, root);
        },
        tensor({3}), Ints{3}, DType::f32, Device(), 0);
    walks.add(
        "Communicator::all_gather_text",
        [](std::string text) { return Communicator().all_gather_text(text)[0]; }, std::string("a"));
    walks.add(
        "TreeSum::TreeSum TreeSum::add TreeSum::empty TreeSum::take TreeSum::take_blocks",
        [](Tensor a, Tensor b, int64_t first, int64_t parts) {
            TreeSum sum(first), blocks(first);
            for (TreeSum* s : {&sum, &blocks}) {
                s->add(a.clone(), parts);
                s->add(b.clone(), parts);
            }
            use(blocks.take_blocks());
            return blocks.empty() ? sum.take() : Tensor();
        },
        tensor({3}), tensor({3}), int64_t{0}, int64_t{1});
    walks.add(
        "all_gather", [](Variable x) { return all_gather(x, Communicator()); }, variable({4, 3}));
    walks.add(
        "reduce_scatter", [](Variable x) { return reduce_scatter(x, Communicator()); }, variable({4, 3}));
    walks.add(
        "TreeSum::block_sizes", [](int64_t begin, int64_t end) { return TreeSum::block_sizes(begin, end); },
        int64_t{0}, int64_t{6});
}

static void parallel_walks(Walks& walks) {
    walks.add(
        "parse_sharding name", [](std::string s) { return std::string(name(parse_sharding(s))); },
        std::string("grad_op"));
    walks.add(
        "DataParallel::DataParallel DataParallel::add_average DataParallel::world DataParallel::options "
        "DataParallel::own_shards DataParallel::parameters DataParallel::model DataParallel::average "
        "DataParallel::own_pieces DataParallel::begin_shard DataParallel::end_shard "
        "DataParallel::begin_average "
        "DataParallel::end_average DataParallel::step DataParallel::update_average DataParallel::over_shards "
        "Optimizer::moment_names",
        [](int64_t shards, uint64_t mode, Tensor x, int64_t passes, double clip, uint64_t group, double decay,
           Tensor row) {
            Generator generator{1};
            Linear model(3, 2, true, generator), mean(3, 2, true, generator);
            DataParallel parallel(Communicator(), {shards, static_cast<Sharding>(mode % 3)}, model);
            parallel.add_average(mean);
            Optimizer optimizer(parallel.parameters(),
                                std::vector<ParameterOptions>(parallel.parameters().size()));
            GradScaler scaler;
            for (int64_t i = 0; i < std::min<int64_t>(passes, 9); ++i) {
                parallel.begin_average();
                parallel.end_average();
                parallel.begin_shard();
                scaler.backward(sum(model.forward(Variable(x))));
                parallel.end_shard();
            }
            StepRates rates{.lr = 1e-3, .clip_grad = clip};
            if (group != 2) rates.clip_groups = {static_cast<size_t>(group)};
            parallel.step(optimizer, scaler, rates);
            parallel.update_average(decay);
            (void)(parallel.world(), parallel.options(), parallel.own_shards(), parallel.model(),
                   parallel.average());
            (void)(parallel.own_pieces(), optimizer.moment_names());
            return parallel.over_shards(row);
        },
        int64_t{2}, uint64_t{0}, tensor({4, 3}), int64_t{2}, 1.0, uint64_t{2}, 0.9,
        tensor({2, 5}, DType::f64));
}

}  // namespace demi::test
