// Tensors, variables and lists that go wrong.
#include "tests/misuse/hostile.h"

namespace demi::test {
namespace {

std::function<Tensor()> of(const Shape& shape, DType dtype = DType::f32) {
    return [=] { return tensor(shape, dtype); };
}
std::function<Tensor()> list(const std::vector<int64_t>& values) {
    return [=] { return indices(values); };
}

Tensor not_finite() {
    const auto inf = static_cast<float>(kInf);
    return Tensor::from(std::vector<float>{static_cast<float>(kNan), inf, -inf, -0.f, 3e38f, 1e-45f}, {2, 3});
}

}  // namespace

const std::vector<std::pair<std::string, std::function<Tensor()>>>& hostile_tensors() {
    static const std::vector<std::pair<std::string, std::function<Tensor()>>> all{
        {"undefined", [] { return Tensor(); }},
        {"f32 (2, 3)", of({2, 3})},
        {"f32 ()", of({})},
        {"f32 (0)", of({0})},
        {"f32 (0, 3)", of({0, 3})},
        {"f32 (3, 0)", of({3, 0})},
        {"f32 (2, 0, 3)", of({2, 0, 3})},
        {"f32 (0, 3, 2, 4)", of({0, 3, 2, 4})},
        {"f32 (1, 0, 2, 4)", of({1, 0, 2, 4})},
        {"f32 (3)", of({3})},
        {"f32 (1)", of({1})},
        {"f32 (2, 3, 4)", of({2, 3, 4})},
        {"f32 (1, 2, 3, 4)", of({1, 2, 3, 4})},
        {"f32 of rank 8", of({1, 1, 2, 1, 1, 1, 3, 1})},
        {"f64 (2, 3)", of({2, 3}, DType::f64)},
        {"f16 (2, 3)", of({2, 3}, DType::f16)},
        {"bf16 (3)", of({3}, DType::bf16)},
        {"bf16 (1, 2, 3, 4)", of({1, 2, 3, 4}, DType::bf16)},
        {"i64 (2, 3)", of({2, 3}, DType::i64)},
        {"i32 (3)", of({3}, DType::i32)},
        {"u8 (2, 3)", of({2, 3}, DType::u8)},
        {"bool (2, 3)", of({2, 3}, DType::boolean)},
        {"bool ()", of({}, DType::boolean)},
        {"i64 {}", list({})},
        {"i64 {0, 1}", list({0, 1})},
        {"i64 {-1, 0}", list({-1, 0})},
        {"i64 {2^63 - 1, -2^63}", list({kMax, kMin})},
        {"i64 {2^62}", list({int64_t{1} << 62})},
        {"f32 (2, 3) not finite", not_finite},
        {"f32 (2, 3) transposed",
         [] {
             return tensor({3, 2}).transpose(0, 1);
         }},
        {"f32 (2, 3) expanded",
         [] {
             return tensor({1, 3}).expand({2, 3});
         }},
        {"f32 (2, 3) stepped",
         [] {
             return tensor({2, 7}).slice(1, 1, 7, 2);
         }},
        {"f32 (0, 3) expanded",
         [] {
             return tensor({1, 3}).slice(0, 1, 1).expand({0, 3});
         }},
    };
    return all;
}

void add_tensors(Pools& pools) {
    std::vector<Hostile>&tensors = pools[typeid(Tensor)], &variables = pools[typeid(Variable)];
    for (const auto& [name, make] : hostile_tensors()) {
        tensors.push_back({name, [make = make] { return std::any(make()); }});
        variables.push_back({name, [make = make] { return std::any(Variable(make())); }});
        if (const Tensor t = make(); t.defined() && is_float(t.dtype()))
            variables.push_back({"leaf " + name, [make = make] { return std::any(Variable(make(), true)); }});
    }
    if (device_count(DeviceType::cuda) > 0) {
        tensors.push_back({"on cuda", [] { return std::any(tensor({2, 3}).to(Device::cuda())); }});
        variables.push_back({"leaf on cuda", [] {
                                 return std::any(Variable(tensor({2, 3}).to(Device::cuda()), true));
                             }});
    }
    const auto lists = [&](auto one, const std::string& text) {
        using T = decltype(one);
        value(pools, "{}", std::vector<T>{});
        value(pools, "{undefined}", std::vector<T>{T()});
        value(pools, "{(2, 3), undefined}", std::vector<T>{T(tensor({2, 3})), T()});
        value(pools, "{(2, 3), (4)}", std::vector<T>{T(tensor({2, 3})), T(tensor({4}))});
        value(pools, "{(0, 3)}", std::vector<T>{T(tensor({0, 3}))});
        value(pools, "{(0, 3, 2), (2, 0, 2)}", std::vector<T>{T(tensor({0, 3, 2})), T(tensor({2, 0, 2}))});
        value(pools, "{()}", std::vector<T>{T(tensor({}))});
        value(pools, "{i64 (2, 3), f32 (2, 3)}",
              std::vector<T>{T(tensor({2, 3}, DType::i64)), T(tensor({2, 3}))});
        value(pools, "{bool, f16}",
              std::vector<T>{T(tensor({2, 3}, DType::boolean)), T(tensor({2, 3}, DType::f16))});
        value(pools, "{-1, 2^63 - 1}" + text, std::vector<T>{T(indices({-1, kMax}))});
        value(pools, "300 of (1)", std::vector<T>(300, T(tensor({1}))));
    };
    lists(Tensor(), "");
    lists(Variable(), "");
}

}  // namespace demi::test
