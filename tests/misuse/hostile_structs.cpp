// Devices, boundaries, masks, texts, functions, options and parameters that go wrong.
#include <optional>

#include "models/parameter.h"
#include "ops/boundary/boundary.h"
#include "ops/memory_efficient_attention/attention_mask.h"
#include "tests/misuse/hostile.h"

namespace demi::test {

void add_structs(Pools& pools) {
    value(pools, "cpu", Device::cpu());
    for (int i : {0, 1, 7, -1, 127})
        value(pools, "cuda:" + std::to_string(i), Device{DeviceType::cuda, int8_t(i)});
    value(pools, "a device of no type", Device{static_cast<DeviceType>(9), 3});
    value(pools, "cpu:3", Device{DeviceType::cpu, 3});
    for (BoundaryMode mode :
         {BoundaryMode::strict, BoundaryMode::wide, BoundaryMode::off, static_cast<BoundaryMode>(9)})
        for (OverflowPolicy policy :
             {OverflowPolicy::propagate, OverflowPolicy::error, static_cast<OverflowPolicy>(9)})
            for (GradScale scale : {GradScale::none(), GradScale::automatic(),
                                    GradScale::fixed(std::numeric_limits<int>::min())}) {
                Boundary b{mode, policy, scale};
                b.explicit_casts = scale == GradScale::automatic();
                value(pools, "mode " + std::to_string(int(mode)) + " policy " + std::to_string(int(policy)),
                      b);
            }
    value(pools, "none", GradScale::none());
    for (int k : {0, 3, 127, -127, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()})
        value(pools, "fixed " + std::to_string(k), GradScale::fixed(k));
    value(pools, "no mask", AttentionBias());
    value(pools, "causal", AttentionBias(LowerTriangularMask{}));
    value(pools, "bottom right", AttentionBias(LowerTriangularFromBottomRightMask{}));
    for (int64_t n : {int64_t{-1}, int64_t{0}, int64_t{1}, kMax, kMin}) {
        const auto masked = [n](auto mask) { return [mask] { return std::any(AttentionBias(mask)); }; };
        pools[typeid(AttentionBias)].push_back(
            {"window " + std::to_string(n), masked(LowerTriangularFromBottomRightLocalAttentionMask{n})});
        pools[typeid(AttentionBias)].push_back(
            {"left " + std::to_string(n), masked(LocalAttentionFromBottomRightMask{n, n})});
    }
    for (const auto& [name, make] : hostile_tensors())
        pools[typeid(AttentionBias)].push_back(
            {"bias " + name, [make = make] { return std::any(AttentionBias(make())); }});
    for (const auto& lengths : {std::vector<int64_t>{}, {0}, {2, 1}, {kMax, kMax, 7}, {-1}})
        pools[typeid(AttentionBias)].push_back(
            {std::to_string(lengths.size()) + " blocks",
             [lengths] { return std::any(AttentionBias(BlockDiagonalMask::from_seqlens(lengths))); }});
    value(pools, "null", static_cast<Generator*>(nullptr));
    pools[typeid(Generator*)].push_back({"at the end", [] {
                                             static Generator last{~uint64_t{0}, ~uint64_t{0}};
                                             return std::any(&last);
                                         }});
    value(pools, "Generator{}", Generator{});
    value(pools, "the last Generator", Generator{~uint64_t{0}, ~uint64_t{0}});
    for (const char* text : {"", "x", "cuda:", "cuda:300", "cuda:-1", "cuda:99999999999999999999", "f32", "/",
                             "/nowhere/a/b", "\xff\xfe", "\n\t\"\\", "nan", "1e999", "-1", "{\"a\":"})
        value(pools, '"' + std::string(text) + '"', std::string(text));
    value(pools, "10,000 letters", std::string(10000, 'a'));
    value(pools, "a zero byte", std::string(3, '\0'));
    value(pools, "{}", Metadata{});
    value(pools, "numbers that are none",
          Metadata{{"key", "x"}, {"key.seed", "1e9"}, {"", ""}, {"scale", "nan"}});
    value(pools, "no function", std::function<void()>());
    value(pools, "a function that throws", std::function<void()>([] { fail("thrown", "on purpose"); }));
    value(pools, "no number", std::optional<double>());
    for (double d : {kNan, kInf, -kInf, 0.0, -1.0, 1e300}) value(pools, text_of(d), std::optional<double>(d));
    value(pools, "no number", std::optional<int64_t>());
    for (int64_t n : {kMax, kMin, int64_t{-1}, int64_t{0}})
        value(pools, text_of(n), std::optional<int64_t>(n));
}

// Lists of named parameters; leaves are made afresh.
void add_parameters(Pools& pools) {
    std::vector<Hostile>& all = pools[typeid(NamedParameters)];
    all.push_back({"{}", [] { return std::any(NamedParameters{}); }});
    for (const auto& [name, make] : hostile_tensors())
        all.push_back(
            {"{a: " + name + "}", [make = make] {
                 const Tensor t = make();
                 return std::any(NamedParameters{{"a", Variable(t, t.defined() && is_float(t.dtype()))}});
             }});
    all.push_back({"a name twice", [] {
                       return std::any(NamedParameters{{"a", variable({2, 3})}, {"a", variable({2, 3})}});
                   }});
    all.push_back({"one leaf twice", [] {
                       const Variable v = variable({2, 3});
                       return std::any(NamedParameters{{"a", v}, {"b", v}});
                   }});
    all.push_back({"names without text", [] {
                       return std::any(NamedParameters{{"", variable({2, 3})}, {"\xff", variable({0})}});
                   }});
    all.push_back(
        {"one frozen", [] {
             return std::any(NamedParameters{{"a", variable({2, 3})}, {"b", Variable(tensor({2, 3}))}});
         }});
}

}  // namespace demi::test
