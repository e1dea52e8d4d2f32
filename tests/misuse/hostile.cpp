// The values that go wrong, by type: numbers, enumerators, shapes.
#include <cstdio>
#include <cstdlib>

#include "models/context.h"
#include "models/optimizer.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/linear/linear.h"
#include "ops/views/dims.h"
#include "runtime/isa.h"
#include "tests/misuse/hostile.h"

namespace demi::test {
namespace {

template <class T, class List> void numbers(Pools& pools, const List& list) {
    for (const auto& value : list) {
        const T exact = static_cast<T>(value);
        pools[typeid(T)].push_back({text_of(+exact), [exact] { return std::any(exact); }});
    }
}

// Enumerators, and one that does not exist.
template <class E> void enumerators(Pools& pools, int count) {
    for (int i : {0, 1, 2, 3, 4, 5, 6, 7, 99})
        if (i < count || i == 99)
            pools[typeid(E)].push_back(
                {"enumerator " + std::to_string(i), [i] { return std::any(static_cast<E>(i)); }});
}

void add_shapes(Pools& pools) {
    for (const Shape& shape : {Shape{},
                               Shape{0},
                               Shape{-1},
                               Shape{6},
                               Shape{2, 3},
                               Shape{3, 2},
                               Shape{-1, -1},
                               Shape{-1, 0},
                               Shape{0, 0},
                               Shape{2, -5},
                               Shape{kMax},
                               Shape{kMin},
                               Shape{kMax, kMax},
                               Shape{kMax, 0},
                               Shape{0, kMax, kMax},
                               Shape{int64_t{1} << 32, int64_t{1} << 32},
                               Shape{int64_t{1} << 62, 2},
                               Shape{int64_t{1} << 62, 4},
                               Shape{-1, kMax},
                               Shape{1, 1, 1, 1, 1, 1, 1, 1},
                               Shape{1, 1, 1, 1, 1, 1, 2, 3},
                               Shape{-2, -3}})
        value(pools, text_of(shape), shape);
    const int big = std::numeric_limits<int>::max();
    for (const Dims& dims :
         {Dims{}, Dims{0}, Dims{-1}, Dims{1, 0}, Dims{0, 0}, Dims{-1, 1}, Dims{8}, Dims{-9}, Dims{big},
          Dims{-big - 1}, Dims{0, 1, 2, 3, 4, 5, 6, 7, 8}, Dims(std::vector<int>(70, 0)), Dims{-2, -1}})
        value(pools,
              std::to_string(dims.size()) + " dims from " + (dims.empty() ? "" : std::to_string(dims[0])),
              dims);
    for (const std::vector<int64_t>& list : {std::vector<int64_t>{},
                                             {0},
                                             {1},
                                             {-1},
                                             {2, 3},
                                             {1, 1},
                                             {-1, 3},
                                             {kMax},
                                             {kMin},
                                             {kMax, kMax, 4},
                                             {kMax, kMax, 5},
                                             {kMax, kMax, 7},
                                             {kMin, kMin, 2},
                                             {0, 0},
                                             {int64_t{1} << 40},
                                             {int64_t{1} << 32, 1},
                                             std::vector<int64_t>(300, 0)})
        value(pools,
              std::to_string(list.size()) + " numbers from " + (list.empty() ? "" : std::to_string(list[0])),
              list);
}

Pools all_pools() {
    Pools pools;
    const std::vector<int64_t> wide{
        0,         -1,        1,    2,    3,        5,        -2,        (1LL << 31) - 1,
        1LL << 31, 1LL << 40, kMax, kMin, kMax - 1, kMin + 1, 1LL << 62, -(1LL << 62)};
    numbers<int64_t>(pools, wide);
    numbers<uint64_t>(pools, wide);
    numbers<uint32_t>(pools, wide);
    numbers<int>(pools, std::vector<int64_t>{0, -1, 1, 2, -2, 7, 8, -8, -9, 63, 64, 300, (1LL << 31) - 1,
                                             -(1LL << 31)});
    const std::vector<double> reals{0,     -0.0,  1,      -1,     0.5,   2,    kNan, kInf,
                                    -kInf, 1e308, -1e308, 5e-324, 1e-30, 1e10, 1e19};
    numbers<double>(pools, reals);
    numbers<float>(pools, reals);
    value(pools, "false", false);
    value(pools, "true", true);
    enumerators<DType>(pools, 8);
    enumerators<BoundaryMode>(pools, 3);
    enumerators<OverflowPolicy>(pools, 3);
    enumerators<Direction>(pools, 2);
    enumerators<Precision>(pools, 3);
    enumerators<Reduction>(pools, 3);
    enumerators<Activation>(pools, 2);
    enumerators<OptimizerKind>(pools, 2);
    enumerators<DeviceType>(pools, 2);
    enumerators<Isa>(pools, 3);
    add_tensors(pools);
    add_shapes(pools);
    add_structs(pools);
    add_parameters(pools);
    return pools;
}

}  // namespace

const std::vector<Hostile>& hostile(std::type_index type) {
    static const Pools pools = all_pools();
    const auto found = pools.find(type);
    if (found != pools.end()) return found->second;
    std::fprintf(stderr, "tests/misuse/hostile.cpp knows no values of type %s\n", type.name());
    std::abort();
}

Tensor tensor(const Shape& shape, DType dtype) {
    std::vector<double> values(static_cast<size_t>(shape.numel()));
    for (size_t i = 0; i < values.size(); ++i)
        values[i] = is_float(dtype) ? 0.1 + 0.07 * double(i) : double(i % 3);
    return Tensor::from(values, shape).to(dtype);
}
Variable variable(const Shape& shape, DType dtype) { return Variable(tensor(shape, dtype), true); }
Tensor indices(std::vector<int64_t> values) {
    const auto n = static_cast<int64_t>(values.size());
    return Tensor::from(values, {n});
}

}  // namespace demi::test
