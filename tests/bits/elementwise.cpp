// Cases of element-wise ops, casts, reductions and random draws.
#include "runtime/copy.h"
#include "tests/bits/bits.h"

namespace demi::bits {

// Sizes of nothing, one, less than a vector, more than a block (512) and more than a tile (32768).
static const std::vector<Shapes> kUnary = {{{}}, {{0, 3}}, {{7}}, {{3, 17}}, {{2, 5, 130}}, {{33000}}};
static const std::vector<Shapes> kBinary = {
    {{3, 17}, {3, 17}}, {{5, 130}, {130}},  {{5, 130}, {5, 1}},   {{4, 1, 33}, {7, 1}}, {{}, {9}},
    {{0, 3}, {1, 3}},   {{70, 600}, {600}}, {{70, 600}, {70, 1}}, {{33000}, {33000}}};

static void unary(const std::string& op, const std::string& detail,
                  std::function<Variable(const Variable&)> fn, Numbers numbers = {}) {
    run({op, detail, kUnary, [fn](const Vars& x) -> Vars { return {fn(x[0])}; }, numbers});
    if (op == "sigmoid" || op == "gelu")  // far out, where exponentials leave their range
        run({op, "far", {{{2, 130}}}, [fn](const Vars& x) -> Vars { return {fn(x[0])}; }, {-120, 120}});
}

static void functions() {
    using One = Variable (*)(const Variable&);
    const std::pair<const char*, One> plain[] = {{"abs", abs},       {"neg", neg},         {"exp", exp},
                                                 {"square", square}, {"sigmoid", sigmoid}, {"tanh", tanh},
                                                 {"relu", relu},     {"gelu", gelu},       {"silu", silu}};
    for (const auto& [name, fn] : plain) unary(name, "", fn);
    for (const auto& [name, fn] : {std::pair<const char*, One>{"log", log}, {"sqrt", sqrt}}) {
        unary(name, "", fn, {0, 9});
        unary(name, "negative", fn, {-1, 1});
    }
    for (const double p : {-1.0, 0.0, 0.5, 1.0, 2.0, 2.5, 3.0})
        unary("pow", "p=" + std::to_string(p).substr(0, 4), [p](const Variable& x) { return pow(x, p); },
              {p == 2.5 ? 0.0 : -2.0, 2});
    unary("clamp", "both", [](const Variable& x) { return clamp(x, -0.5, 0.75); });
    unary("clamp", "low", [](const Variable& x) { return clamp(x, 0.25); });
    run({"swiglu", "", {{{3, 2}}, {{5, 34}}, {{2, 3, 260}}, {{70, 1030}}}, [](const Vars& x) -> Vars {
             return {swiglu(x[0])};
         }});
}

static void arithmetic() {
    using Two = Variable (*)(const Variable&, const Variable&);
    std::vector<DTypes> mixed;
    const DType floats[] = {DType::f32, DType::f16, DType::bf16, DType::f64};
    for (const DType a : floats)
        for (const DType b : {DType::f32, DType::f16, DType::bf16, DType::f64, DType::i32, DType::i64,
                              DType::u8, DType::boolean})
            if (a != b) mixed.push_back({a, b});
    mixed.push_back({DType::i64, DType::f16});
    mixed.push_back({DType::i32, DType::i32});
    const std::pair<const char*, Two> ops[] = {{"add", add}, {"sub", sub},         {"mul", mul},
                                               {"div", div}, {"maximum", maximum}, {"minimum", minimum}};
    for (const auto& [name, fn] : ops) {
        run({name, "", kBinary, [fn = fn](const Vars& x) -> Vars { return {fn(x[0], x[1])}; }, {}, mixed});
        run({name, "itself", {{{5, 7}}}, [fn = fn](const Vars& x) -> Vars { return {fn(x[0], x[0])}; }});
    }
    unary("add", "number", [](const Variable& x) { return add(x, 0.3); });
    unary("sub", "number", [](const Variable& x) { return sub(x, 0.3); });
    unary("sub", "from", [](const Variable& x) { return sub(0.3, x); });
    unary("mul", "number", [](const Variable& x) { return mul(x, 0.3); });
    unary("div", "number", [](const Variable& x) { return div(x, 0.3); });
    unary("div", "into", [](const Variable& x) { return div(0.3, x); });
    unary("operators", "", [](const Variable& x) { return 2.0 * (x + 1.0) - (x * x) / (3.0 - x) + -x; });
}

static void choosing() {
    for (const DType condition : {DType::boolean, DType::u8, DType::i64, DType::f32, DType::f16}) {
        const std::string name(demi::name(condition));
        const auto mask = [condition](const Shape& shape) { return draw(9, shape, condition, {0, 2}); };
        run({"where",
             name,
             {{{3, 17}, {3, 17}}, {{5, 130}, {130}}, {{}, {5, 130}}, {{70, 600}, {70, 1}}},
             [mask](const Vars& x) -> Vars {
                 return {where(mask(broadcast(x[0].shape(), x[1].shape(), "bits")), x[0], x[1])};
             },
             {},
             {{DType::f16, DType::f32},
              {DType::bf16, DType::f16},
              {DType::f32, DType::i32},
              {DType::f64, DType::f16}}});
        run({"where", name + "_broadcast", {{{5, 130}, {5, 130}}}, [mask](const Vars& x) -> Vars {
                 return {where(mask({5, 1}), x[0], x[1])};
             }});
        run({"masked_fill", name, {{{3, 17}}, {{4, 5, 130}}}, [mask](const Vars& x) -> Vars {
                 return {masked_fill(x[0], mask({x[0].size(-1)}), -0.37)};
             }});
    }
}

static void reductions() {
    const std::vector<std::pair<Shapes, std::vector<Dims>>> cases = {
        {{{5, 7, 130}}, {{}, {0}, {1}, {-1}, {0, 2}, {0, 1}, {1, 2}}},
        {{{33000}}, {{}}},
        {{{1, 513}}, {{0}, {1}}},
        {{{70, 600}}, {{0}, {1}, {}}},
        {{{513, 3}}, {{0}, {1}}},
        {{{2, 33000}}, {{0}, {1}}},
        {{{40, 1100}}, {{0}}},
        {{{0, 4}}, {{0}, {1}}},
        {{{}}, {{}}},
        {{{2, 3, 4, 5, 6}}, {{0, 2, 4}, {1, 3}}},
    };
    const std::vector<DTypes> whole = {{DType::i64}, {DType::i32}, {DType::u8}, {DType::boolean}};
    using Reduce = Variable (*)(const Variable&, const Dims&, bool);
    for (const auto& [name, fn] : {std::pair<const char*, Reduce>{"sum", sum}, {"mean", mean}, {"max", max}})
        for (const auto& [shapes, all] : cases)
            for (const Dims& dims : all)
                for (const bool keep : {false, true}) {
                    std::string detail = keep ? "keep" : "drop";
                    for (const int d : dims) detail += "_" + std::to_string(d);
                    run({name,
                         detail,
                         {shapes},
                         [fn = fn, dims, keep](const Vars& x) -> Vars { return {fn(x[0], dims, keep)}; },
                         {},
                         keep&& dims.empty() ? whole : std::vector<DTypes>()});
                }
    for (const auto& [shapes, all] : cases)
        for (const int dim : {0, -1})
            run({"argmax",
                 "dim_" + std::to_string(dim),
                 {shapes},
                 [dim](const Vars& x) -> Vars { return {argmax(x[0].value(), dim)}; },
                 {},
                 {{DType::i64}, {DType::u8}}});
    for (const DType dtype : {DType::i64, DType::i32, DType::u8})
        run("count_equal", text(DTypes{dtype}), [dtype] {
            Hash hash;
            for (const int64_t count : {0, 1, 600, 33000})
                hash.word(static_cast<uint64_t>(
                    count_equal(integers(1, count, 3, dtype), integers(2, count, 3, dtype))));
            return Results{{"y", hash}};
        });
}

static void conversions() {
    const DType all[] = {DType::f32, DType::f16, DType::bf16, DType::f64,
                         DType::i32, DType::i64, DType::u8,   DType::boolean};
    for (const DType to : all) {
        run({"cast",
             "to_" + std::string(name(to)),
             kUnary,
             [to](const Vars& x) -> Vars { return {cast(x[0], to)}; },
             {-9, 9}});
        run({"cast",
             "to_" + std::string(name(to)),
             {{{3, 17}}, {{1200}}},
             [to](const Vars& x) -> Vars { return {cast(x[0], to)}; },
             {-70000, 70000},
             {},
             1,
             {DType::i32, DType::i64, DType::u8, DType::boolean}});
    }
    run({"to_device", "", {{{3, 17}}, {{2, 5, 130}}}, [](const Vars& x) -> Vars {
             const Variable there = to_device(x[0], Device::cpu());
             return {there, to_device(there, device()), detach(x[0])};
         }});
    run({"copy",
         "accumulate",
         {{{5, 130}, {5, 130}}, {{33000}, {33000}}},
         [](const Vars& x) -> Vars {
             const Tensor sum = x[0].value().clone();
             accumulate(sum, x[1].value());
             return {sum};
         },
         {},
         {{DType::f16, DType::f32},
          {DType::f32, DType::bf16},
          {DType::f32, DType::f64},
          {DType::f64, DType::f16}}});
}

static void draws() {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64})
        for (const int64_t count : {0, 1, 7, 4099}) {
            const std::string name = text(DTypes{dtype}) + "/" + std::to_string(count);
            run("random", name, [&] {
                Generator generator{11, 3};
                Hash hash;
                const Tensor t = Tensor::empty({count}, dtype, device());
                uniform(t, generator, -1, 3);
                hash.tensor(t);
                normal(t, generator, 1, 2);
                hash.tensor(t);
                trunc_normal(t, generator, 0, 1, -1, 2);
                hash.tensor(t);
                hash.word(generator.offset);
                return Results{{"y", hash}};
            });
        }
    for (const double p : {0.0, 0.1, 0.5, 1.0})
        for (const bool training : {true, false}) {
            const std::string detail =
                "p=" + std::to_string(p).substr(0, 3) + (training ? "" : "_evaluation");
            const auto moved = [](const Generator& g) {
                return Tensor::full({}, static_cast<double>(g.offset), DType::f64);
            };
            run({"dropout", detail, kUnary, [=](const Vars& x) -> Vars {
                     Generator generator{5, 2};
                     const Variable y = dropout(x[0], p, generator, training);
                     return {y, moved(generator)};
                 }});
            run({"drop_path",
                 detail,
                 {{{7}}, {{9, 17}}, {{5, 3, 130}}, {{70, 600}}},
                 [=](const Vars& x) -> Vars {
                     Generator generator{5, 2};
                     const Variable y = drop_path(x[0], p, generator, training);
                     return {y, moved(generator)};
                 }});
        }
}

void elementwise_cases() {
    functions();
    arithmetic();
    choosing();
    reductions();
    conversions();
    draws();
}

}  // namespace demi::bits
