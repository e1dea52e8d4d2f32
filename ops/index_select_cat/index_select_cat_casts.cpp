#include "ops/index_select_cat/index_select_cat_casts.h"

#include <algorithm>
#include <cmath>

#include "ops/boundary/boundary_call.h"
#include "ops/index/row_index.h"
#include "ops/index_select_cat/index_select_cat_kernels.h"
#include "runtime/capture.h"

namespace demi {
namespace {

constexpr const char* kOp = "index_select_cat";

std::string named(const char* what, size_t i) { return std::string(what) + "[" + std::to_string(i) + "] "; }

// What a cast of the rows taken loses, for those that no kernel casts.
CastCounters count_rows(const Tensor& source, const Tensor& index, const Cast& cast) {
    CastCounters counters;
    if (!cast.count || capturing()) return counters;
    const Tensor rows = index.to(Device::cpu());
    for (int64_t i = 0; i < rows.numel(); ++i)
        merge(counters, count_cast(source.select(0, rows.data<int64_t>()[i]), cast));
    return counters;
}

Overflow find_in_sources(const std::vector<Tensor>& sources, const std::vector<Tensor>& indices,
                         const std::vector<Cast>& casts) {
    for (size_t i = 0; i < sources.size(); ++i) {
        const Tensor rows = indices[i].to(Device::cpu());
        for (int64_t j = 0; casts[i].round && j < rows.numel(); ++j) {
            const int64_t row = rows.data<int64_t>()[j];
            const auto found = find_overflow(sources[i].slice(0, row, row + 1), casts[i].scale);
            if (!found) continue;
            const std::string column = found->place.substr(found->place.find(',') + 2);  // "at (0, 17)"
            return {named("sources", i) + "at (" + std::to_string(row) + ", " + column, found->value};
        }
    }
    return {"sources", 0};
}

}  // namespace

Tensor IndexSelectCatCall::forward(const std::vector<Tensor>& sources) const {
    const BoundaryCall call(kOp, boundary, Direction::forward);
    const bool casts_tensors = boundary.explicit_casts && boundary.mode == BoundaryMode::strict;
    std::vector<Cast> casts, in_kernel;
    std::vector<Tensor> values;
    CastCounters counters;
    for (size_t i = 0; i < sources.size(); ++i) {
        casts.push_back(call.entry(sources[i].dtype()));
        values.push_back(call.read(sources[i], dtypes[0], nullptr, dtypes[0]));
        if (casts_tensors) values.back() = cast_to_half(values.back(), call.entry(values.back().dtype()));
        in_kernel.push_back(call.entry(values.back().dtype()));
        if (values.back().dtype() != sources[i].dtype())
            merge(counters, count_rows(sources[i], indices[i], casts.back()));
    }
    Tensor y = Tensor::empty({begins.back()}, casts_tensors ? DType::f16 : dtypes[0], sources[0].device());
    DEMI_SELECT(index_select_cat, y.device(), forward)(values, indices, in_kernel, y, counters);
    if (casts_tensors) y = cast_from_half(y, dtypes[0], 1);
    call.note("sources", counters, 0, [&] { return find_in_sources(sources, indices, casts); });
    return y;
}

std::vector<Tensor> IndexSelectCatCall::backward(const Tensor& dy, const std::vector<bool>& needs) const {
    const BoundaryCall call(kOp, boundary, Direction::backward);
    const bool strict = boundary.mode == BoundaryMode::strict;
    const bool casts_tensors = boundary.explicit_casts && strict;
    int k = 0;
    if (strict && boundary.grad_scale.kind != GradScale::Kind::none) {
        int64_t most = 1;  // sums of duplicates must fit too
        for (size_t i = 0; i < indices.size(); ++i) {
            if (!needs[i] || shapes[i][1] == 0) continue;  // without columns, rows may be any number
            const Tensor rows = indices[i].to(Device::cpu());
            most = std::max(most, most_uses(rows.data<int64_t>(), rows.numel(), shapes[i][0]));
        }
        k = boundary.grad_scale.choose(finite_amax(dy) * static_cast<double>(most));
    }
    const Cast entry = call.entry(dy.dtype(), k);
    Cast exit = call.exit(0, k);
    const auto fresh = [&](bool half) {
        std::vector<Tensor> grads(shapes.size());
        for (size_t i = 0; i < grads.size(); ++i)
            if (needs[i]) grads[i] = Tensor::empty(shapes[i], half ? DType::f16 : dtypes[i], dy.device());
        return grads;
    };
    const auto run = DEMI_SELECT(index_select_cat, dy.device(), backward);
    CastCounters entered, left;
    std::vector<Tensor> grads = fresh(casts_tensors);
    if (casts_tensors) {
        exit.undo = 1;
        run(cast_to_half(dy, entry), begins, indices, grads, Cast{}, exit, entered, left);
        for (size_t i = 0; i < grads.size(); ++i) {
            if (!needs[i]) continue;
            grads[i] = cast_from_half(grads[i], dtypes[i], call.exit(0, k).undo);
            merge(entered, count_cast(dy.slice(0, begins[i], begins[i + 1]), entry));
        }
    } else {
        run(dy, begins, indices, grads, entry, exit, entered, left);
    }
    call.note("grad", entered, k, [&] {
        for (size_t i = 0; i < needs.size(); ++i) {
            const auto found = find_overflow(dy.slice(0, begins[i], begins[i + 1]), entry.scale);
            if (!needs[i] || !found) continue;
            const int64_t at = begins[i] + std::stoll(found->place.substr(found->place.find('(') + 1));
            return Overflow{"grad at (" + std::to_string(at) + ",)", found->value};
        }
        return Overflow{"grad", 0};
    });
    call.note("grad_sources", left, k, [&] {  // the f32 sums, before they are rounded
        std::vector<Tensor> sums(shapes.size());
        for (size_t i = 0; i < sums.size(); ++i)
            if (needs[i]) sums[i] = Tensor::empty(shapes[i], DType::f32, dy.device());
        CastCounters ignored;
        Cast only = entry;
        only.count = false;
        run(dy, begins, indices, sums, only, Cast{}, ignored, ignored);
        for (size_t i = 0; i < sums.size(); ++i) {
            if (!needs[i]) continue;
            if (const auto found = find_overflow(sums[i], 1))
                return Overflow{"the gradient of " + named("sources", i) + found->place,
                                std::ldexp(found->value, -k)};
        }
        return Overflow{"grad_sources", 0};
    });
    return grads;
}

}  // namespace demi
