// The Communicator over however many ranks the launcher started.
#include <cmath>

#include "runtime/comm/tree_sum.h"
#include "runtime/random.h"
#include "tests/ranks/check.h"
#include "tests/support/check_error.h"

namespace demi::ranks {
namespace {

// What rank r holds: every rank can make it.
Tensor tensor_of(int rank, const Shape& shape, DType dtype = DType::f32) {
    Generator generator{static_cast<uint64_t>(rank) + 17, 0};
    const Tensor x =
        is_float(dtype) ? randn(shape, generator, dtype) : randint(0, 100, shape, generator, dtype);
    return x.to(test_device());
}

bool same(const Tensor& a, const Tensor& b) {
    return a.shape() == b.shape() && a.dtype() == b.dtype() && a.to_vector<double>() == b.to_vector<double>();
}

Tensor tree(const std::vector<Tensor>& parts) {
    TreeSum sum;
    for (const Tensor& part : parts) sum.add(part.clone());
    return sum.take();
}

void moving(Cases& cases, const Communicator& world) {
    const int size = world.size(), rank = world.rank();
    for (DType dtype : {DType::f32, DType::bf16, DType::i64, DType::u8}) {
        cases.run(std::string("all_gather of ") + std::string(name(dtype)), [&] {
            const Tensor all = world.all_gather(tensor_of(rank, {3, 5}, dtype));
            bool good = all.shape() == Shape({3 * size, 5});
            for (int r = 0; r < size; ++r)
                good = good && same(all.slice(0, 3 * r, 3 * r + 3), tensor_of(r, {3, 5}, dtype));
            return good;
        });
    }
    cases.run("all_gather of a transposed tensor", [&] {
        const Tensor all = world.all_gather(tensor_of(rank, {3, 5}).transpose(0, 1));
        return same(all.slice(0, 0, 5), tensor_of(0, {3, 5}).transpose(0, 1));
    });
    cases.run("all_gather of nothing", [&] { return world.all_gather(Tensor::zeros({0, 4})).numel() == 0; });
    cases.run("all_to_all", [&] {
        const Tensor got = world.all_to_all(tensor_of(rank, {2 * size, 3}));
        bool good = true;
        for (int r = 0; r < size; ++r)
            good = good && same(got.slice(0, 2 * r, 2 * r + 2),
                                tensor_of(r, {2 * size, 3}).slice(0, 2 * rank, 2 * rank + 2));
        return good;
    });
    cases.run("two transfers at a time, the later one waited for first", [&] {
        PendingTensor a = world.start_all_gather(tensor_of(rank, {100000}));
        PendingTensor b = world.start_all_gather(tensor_of(rank + 50, {7}));
        const Tensor second = b.get(), first = a.get();
        return same(second.slice(0, 0, 7), tensor_of(50, {7})) &&
               same(first.slice(0, (size - 1) * 100000, size * 100000), tensor_of(size - 1, {100000}));
    });
    for (int root = 0; root < size; ++root) {
        cases.run("broadcast, gather and scatter, root " + std::to_string(root), [&] {
            const Tensor x = tensor_of(rank, {4, 3});
            world.broadcast(x, root);
            std::vector<int64_t> counts;
            int64_t before = 0, total = 0;
            for (int r = 0; r < size; ++r) {
                counts.push_back((r * 3) % 5);  // the first is empty
                if (r < rank) before += counts.back();
                total += counts.back();
            }
            const Tensor whole = tensor_of(99, {total});
            const Tensor own = whole.slice(0, before, before + counts[static_cast<size_t>(rank)]);
            const Tensor got =
                world.scatter(rank == root ? whole : Tensor(), counts, DType::f32, Device::cpu(), root);
            const Tensor back = world.gather(own, counts, root);
            return same(x, tensor_of(root, {4, 3})) && same(got, own) && (rank != root || same(back, whole));
        });
    }
    cases.run("texts of different lengths", [&] {
        const std::vector<std::string> all =
            world.all_gather_text(std::string(static_cast<size_t>(rank), 'x'));
        return all.back().size() == static_cast<size_t>(size) - 1 && all[0].empty();
    });
}

void summing(Cases& cases, const Communicator& world) {
    const int size = world.size(), rank = world.rank();
    for (DType dtype : {DType::f32, DType::f64}) {
        for (int64_t count : {1, 5, 1000, 70001}) {
            cases.run(std::string("all_reduce of ") + std::to_string(count) + " " + std::string(name(dtype)) +
                          " in tree order",
                      [&] {
                          std::vector<Tensor> parts;
                          for (int r = 0; r < size; ++r) parts.push_back(tensor_of(r, {count}, dtype));
                          return same(world.all_reduce(tensor_of(rank, {count}, dtype)), tree(parts));
                      });
        }
        cases.run(std::string("reduce_scatter of ") + std::string(name(dtype)), [&] {
            std::vector<Tensor> parts;
            for (int r = 0; r < size; ++r) parts.push_back(tensor_of(r, {3 * size, 2}, dtype));
            return same(world.reduce_scatter(tensor_of(rank, {3 * size, 2}, dtype)),
                        tree(parts).slice(0, 3 * rank, 3 * rank + 3));
        });
    }
    cases.run("infinities reach all ranks", [&] {
        Tensor x = Tensor::ones({4});
        if (rank == size - 1) x.mutable_data<float>()[2] = INFINITY;
        return std::isinf(world.all_reduce(x).select(0, 2).item());
    });
}

void refusing(Cases& cases, const Communicator& world) {
    using test::error_of, test::has;
    cases.run("what does not divide is refused before anything moves", [&] {
        const Tensor x = Tensor::zeros({2 * world.size() + 1});
        return world.size() == 1 || (has(error_of([&] { world.all_to_all(x); }), "must divide by the") &&
                                     has(error_of([&] { world.reduce_scatter(x); }), "must divide by the"));
    });
    cases.run("ranks that are not at the same call are told so", [&] {
        if (world.size() == 1) return true;
        const std::string text =
            error_of([&] { world.all_gather(Tensor::zeros({world.rank() == 0 ? 8 : 9})); });
        return has(text, "not at the same call");
    });
}

}  // namespace
}  // namespace demi::ranks

int main() {
    return demi::ranks::run_cases([](auto& cases, auto& world) {
        demi::ranks::moving(cases, world);
        demi::ranks::summing(cases, world);
        demi::ranks::refusing(cases, world);
    });
}
