#include "ops/index_select_cat/index_select_cat.h"

#include <algorithm>
#include <cmath>

#include "ops/boundary/crossing.h"
#include "ops/index/row_index.h"
#include "ops/index_select_cat/index_select_cat_kernels.h"
#include "ops/op.h"

namespace demi {
namespace {

constexpr const char* kSelectCat = "index_select_cat";

std::string indexed(const char* what, size_t i) { return std::string(what) + "[" + std::to_string(i) + "]"; }

// A source or its gradient: rows that a list names, as a part of y.
struct Part {
    Tensor list;  // contiguous i64, checked
    Shape shape;  // of the source
    DType dtype;  // of the source
    int64_t begin;
    Tensor of(const Tensor& y) const { return y.slice(0, begin, begin + list.numel() * shape[1]); }
};

void check_source(const Op& op, const Variable& source, const Tensor& index, size_t i, Device device) {
    op.check(source.defined(), "sources[", i, "] is undefined");
    op.check(source.rank() == 2 && is_float(source.dtype()), "sources[", i,
             "] must be a floating-point matrix [rows, columns]: got ", source.value());
    op.check(source.device() == device && (!index.defined() || index.device() == device),
             "everything must be on one device: sources[0] is on ", device, ", sources[", i, "] is ",
             source.value(), ", indices[", i, "] is ", index);
}

Overflow find_in_sources(const Crossing& call, const std::vector<Entering>& sources,
                         const std::vector<Part>& parts) {
    for (size_t i = 0; i < parts.size(); ++i) {
        const Tensor& x = sources[i].given;
        if (!call.entry(x.dtype(), 0, Role::accumulator).round) continue;
        for (const int64_t row : parts[i].list.to_vector<int64_t>()) {
            Overflow first = find_overflow(indexed("sources", i), x.slice(0, row, row + 1));
            if (first.value == 0) continue;
            first.at[0] = row;
            return first;
        }
    }
    return {"sources"};
}

Tensor forward(const std::vector<Variable>& sources, const std::vector<Part>& parts, int64_t elements,
               const Boundary& boundary) {
    const Tensor& first = sources[0].value();
    const Crossing call(kSelectCat, boundary, Direction::forward, first.dtype());
    std::vector<Entering> entering;
    entering.reserve(parts.size());
    std::vector<SelectPart> kernel;
    kernel.reserve(parts.size());
    Entering all{"sources", {}, first, {}, 0, {}};  // what all of them lose
    for (size_t i = 0; i < parts.size(); ++i) {
        const Tensor &source = sources[i].value(), &list = parts[i].list;
        EnterAs as{.role = Role::accumulator};
        // two pointers: what std::function keeps without memory of its own
        as.count_converted = [x = &source, rows = &list](const Cast& cast) {
            return count_rows(*x, *rows, cast);
        };
        const Entering& x = entering.emplace_back(call.enter("sources", source, as));
        merge(all.counters, x.counters);
        if (x.cast.round) all.cast = x.cast;
        const Shape& steps = x.tensor.strides();
        if (list.numel() > 0 && source.size(1) > 0)
            kernel.push_back({reads(x.tensor), steps[0], steps[1], source.size(1), list.data<int64_t>(),
                              list.numel(), parts[i].begin, x.cast});
    }
    Leaving y = call.leave("result", Tensor::empty({elements}, first.dtype(), first.device()));
    if (elements > 0)
        index_select_cat_on(first.device())
            .forward(
                {kernel.data(), static_cast<int64_t>(kernel.size()), writes(y.target), elements, all.lost()},
                queue_of(first));
    call.note("sources", all.counters, 0, [&] { return find_in_sources(call, entering, parts); });
    return call.finish(y);
}

// The gradients that are needed; the others are undefined.
Tensors backward(const Tensor& dy, const std::vector<Part>& parts, const Boundary& boundary,
                 const Needs& needs) {
    const Crossing call(kSelectCat, boundary, Direction::backward, dy.dtype());
    double bound = 0;
    const int k = call.gradient_exponent(Role::accumulator, [&] {
        int64_t most = 1;  // sums of duplicates must fit too
        for (size_t i = 0; i < parts.size(); ++i) {
            if (!needs[i] || parts[i].shape[1] == 0) continue;  // without columns, rows may be any number
            const Tensor rows = parts[i].list.to(Device::cpu());
            most = std::max(most, most_uses(rows.data<int64_t>(), rows.numel(), parts[i].shape[0]));
        }
        return bound = finite_amax(dy) * static_cast<double>(most);
    });
    Entering entering =
        call.enter("grad", dy, {.role = Role::accumulator, .k = k, .count_converted = [&](const Cast& cast) {
                                    CastCounters counters;
                                    for (size_t i = 0; i < parts.size(); ++i)
                                        if (needs[i]) merge(counters, count_cast(parts[i].of(dy), cast));
                                    return counters;
                                }});
    // Writes those of to[i] that are defined and have elements.
    const auto run = [&](std::span<Tensor> to, const Cast& entry, const Cast& exit, CastCounters* entered,
                         CastCounters* left) {
        std::vector<SelectGradient> kernel;
        for (size_t i = 0; i < to.size(); ++i) {
            const Part& part = parts[i];
            if (to[i].defined() && to[i].numel() > 0)
                kernel.push_back({writes(to[i]), part.shape[0], part.shape[1], part.list.data<int64_t>(),
                                  part.list.numel(), part.begin});
        }
        const Tensor& x = entering.tensor;
        if (!kernel.empty())
            index_select_cat_on(x.device())
                .backward({reads(x), x.numel() > 1 ? x.strides()[0] : 1, kernel.data(),
                           static_cast<int64_t>(kernel.size()), entry, exit, entered, left},
                          queue_of(x));
    };
    std::vector<Leaving> leaving(parts.size());
    Tensors targets(parts.size());
    Leaving all;  // what all of them lose
    for (size_t i = 0; i < parts.size(); ++i) {
        if (!needs[i]) continue;
        const DType dtype = written_gradient(parts[i].dtype, dy.dtype());
        all = leaving[i] =
            call.leave_gradient("grad_sources", Tensor::empty(parts[i].shape, dtype, dy.device()), k, bound);
        targets[i] = all.target;
    }
    run(targets, entering.cast, all.cast, entering.lost(), all.lost());
    call.note("grad", entering.counters, k, [&] {
        for (size_t i = 0; i < parts.size(); ++i) {
            if (!needs[i]) continue;
            Overflow first = find_overflow("grad", parts[i].of(dy), k);
            if (first.value == 0) continue;
            first.at[0] += parts[i].begin;
            return first;
        }
        return Overflow{"grad"};
    });
    call.note("grad_sources", all.counters, k, [&] {  // the f32 sums, before they are rounded
        Tensors sums(parts.size());
        for (size_t i = 0; i < parts.size(); ++i)
            if (needs[i]) sums[i] = Tensor::empty(parts[i].shape, DType::f32, dy.device());
        Cast entry = entering.cast;
        entry.count = false;
        run(sums, entry, Cast{}, nullptr, nullptr);
        for (size_t i = 0; i < parts.size(); ++i) {
            if (!needs[i]) continue;
            const Overflow first = find_overflow("the gradient of " + indexed("sources", i), sums[i], 0, k);
            if (first.value != 0) return first;
        }
        return Overflow{"grad_sources"};
    });
    Tensors grads(parts.size());
    for (size_t i = 0; i < parts.size(); ++i)
        if (needs[i]) grads[i] = call.finish(leaving[i]).to(parts[i].dtype);
    return grads;
}

}  // namespace

Variable index_select_cat(const std::vector<Variable>& sources, const std::vector<Tensor>& indices,
                          const Boundary& boundary) {
    const Op op(kSelectCat);
    op.check(!sources.empty() && sources.size() == indices.size(),
             "needs at least one source, and one index list per source: got ", sources.size(),
             " sources and ", indices.size(), " lists");
    std::vector<Part> parts;
    parts.reserve(sources.size());
    int64_t elements = 0;
    for (size_t i = 0; i < sources.size(); ++i) {
        const Variable& source = sources[i];
        check_source(op, source, indices[i], i, sources[0].device());
        note_read(indices[i]);
        const Tensor list = checked_rows(kSelectCat, indexed("indices", i), indices[i], source.size(0));
        parts.push_back({list, source.shape(), source.dtype(), elements});
        elements = checked_add(elements, checked_mul(list.numel(), source.size(1), kSelectCat), kSelectCat);
    }
    Tensor y = forward(sources, parts, elements, boundary);
    if (!needs_grad(sources)) return y;
    std::vector<Saved> lists;
    for (Part& part : parts) {
        lists.emplace_back(part.list);
        part.list = Tensor();
    }
    return op.record(sources, std::move(y),
                     [parts = std::move(parts), lists = std::move(lists),
                      boundary](const Tensor& dy, const Needs& needs) -> Tensors {
                         std::vector<Part> all = parts;
                         for (size_t i = 0; i < all.size(); ++i) all[i].list = lists[i].get();
                         return backward(dy, all, boundary, needs);
                     });
}

}  // namespace demi
