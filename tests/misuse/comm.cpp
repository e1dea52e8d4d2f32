// Ranks: a job of one.
#include "runtime/comm/communicator.h"
#include "runtime/comm/tree_sum.h"
#include "tests/misuse/walk.h"

namespace demi::test {

using Ints = std::vector<int64_t>;

void comm_walks(Walks& walks) {
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
        "TreeSum::block_sizes", [](int64_t begin, int64_t end) { return TreeSum::block_sizes(begin, end); },
        int64_t{0}, int64_t{6});
}

}  // namespace demi::test
