// Cases of views, and of the ops that take elements by index.
#include "tests/bits/bits.h"

namespace demi::bits {

void view_cases() {
    const std::vector<Shapes> cube = {{{4, 6, 10}}, {{2, 2, 1100}}};
    const auto view = [&](const std::string& op, const std::string& detail,
                          std::function<Vars(const Variable&)> fn, int outputs = 1) {
        run({op, detail, cube, [fn](const Vars& x) { return fn(x[0]); }, {}, {}, outputs, kAll});
    };
    view(
        "reshape", "",
        [](const Variable& x) -> Vars {
            return {reshape(x, {x.size(0) * x.size(1), -1}), reshape(x, {-1})};
        },
        2);
    view(
        "transpose", "",
        [](const Variable& x) -> Vars {
            return {transpose(x, 0, -1), transpose(x, 1, 2)};
        },
        2);
    view("permute", "", [](const Variable& x) -> Vars { return {permute(x, {2, 0, 1})}; });
    view(
        "slice", "",
        [](const Variable& x) -> Vars {
            return {slice(x, -1, 1, 10, 3), slice(x, 0, 1, 2), slice(x, 1, 1, 1)};
        },
        3);
    view(
        "select", "",
        [](const Variable& x) -> Vars {
            return {select(x, -1, 3), select(x, 0, 1)};
        },
        2);
    view(
        "squeeze", "",
        [](const Variable& x) -> Vars {
            return {squeeze(slice(x, 1, 1, 2), 1), unsqueeze(x, -1), unsqueeze(x, 0)};
        },
        3);
    view("expand", "", [](const Variable& x) -> Vars {
        return {expand(slice(x, 1, 0, 1), {3, x.size(0), 5, x.size(2)})};
    });
    view(
        "split", "",
        [](const Variable& x) {
            return split(x, {1, x.size(1) - 1}, 1);
        },
        2);
    view("split", "joined", [](const Variable& x) -> Vars {
        const Vars parts = split(x, {3, 0, x.size(2) - 3}, -1);
        return {concat({parts[0], parts[2]}, 2)};
    });
    view(
        "chunk", "", [](const Variable& x) { return chunk(x, 2, -1); }, 2);
    view(
        "unbind", "", [](const Variable& x) { return unbind(x, 1); }, 2);
    const std::vector<DTypes> mixed = {{DType::f32, DType::f16, DType::bf16},
                                       {DType::f16, DType::f64, DType::i32}};
    run({"concat",
         "dim0",
         {{{2, 3}, {0, 3}, {4, 3}}, {{1, 1100}, {2, 1100}, {3, 1100}}},
         [](const Vars& x) -> Vars { return {concat(x, 0)}; },
         {},
         mixed,
         1,
         kAll});
    run({"concat",
         "last",
         {{{5, 2}, {5, 7}, {5, 1}}, {{3, 900}, {3, 1}, {3, 40}}},
         [](const Vars& x) -> Vars { return {concat(x, -1)}; },
         {},
         mixed,
         1,
         kAll});
    run({"stack",
         "",
         {{{5, 7}, {5, 7}, {5, 7}}},
         [](const Vars& x) -> Vars { return {stack(x, 1)}; },
         {},
         mixed,
         1,
         kAll});
    for (const DType index : {DType::i64, DType::i32}) {
        const std::string detail(name(index));
        run({"index_select",
             detail,
             {{{7, 33}}, {{5, 4, 260}}},
             [index](const Vars& x) -> Vars {
                 const auto rows = [&](int dim) { return integers(3, 11, x[0].size(dim), index); };
                 return {index_select(x[0], 0, rows(0)), index_select(x[0], -1, rows(-1)),
                         index_select(x[0], 1, integers(0, 0, 1, index))};
             },
             {},
             {},
             3,
             kAll});
        run({"gather",
             detail,
             {{{7, 33}}, {{4, 9, 130}}},
             [index](const Vars& x) -> Vars {
                 Vars y;
                 for (const int dim : {0, 1}) {
                     Shape shape = x[0].shape();
                     shape[dim] = 5;
                     y.push_back(
                         gather(x[0], dim, draw(4, shape, index, {0, static_cast<double>(x[0].size(dim))})));
                 }
                 return y;
             },
             {},
             {},
             2});
    }
}

}  // namespace demi::bits
