#include "ops/index_select_cat/index_select_cat_cuda.h"

#include <algorithm>

#include "ops/boundary/cast_sums.h"
#include "ops/index/sorted_rows.h"
#include "ops/index_select_cat/index_select_cat_kernels.h"
#include "runtime/device_table.h"

namespace demi {
namespace {

using gpu_kernels::SelectPart;
using gpu_kernels::SelectParts;

int64_t bytes_of(const Tensor& t) { return static_cast<int64_t>(size_of(t.dtype())); }

// f64 is only copied, or summed by kernels of its own.
Storage storage_or_f32(DType dtype) { return dtype == DType::f64 ? Storage::f32 : storage_of(dtype); }

// Parts as kernels take them; `memory` holds the table of many.
SelectParts gathered(const std::vector<SelectPart>& all, Device device, Tensor& memory) {
    SelectParts parts{};
    parts.count = static_cast<int64_t>(all.size());
    if (all.empty()) return parts;
    parts.tiles = all.back().first_tile + all.back().tiles.tiles;
    if (all.size() <= gpu_kernels::kSelectParts) {
        std::copy(all.begin(), all.end(), parts.here);
        return parts;
    }
    const size_t bytes = all.size() * sizeof(SelectPart);
    memory = device_table(device, all.data(), bytes);
    parts.table = static_cast<const SelectPart*>(memory.raw());
    return parts;
}

void add_part(std::vector<SelectPart>& all, SelectPart part) {
    if (part.tiles.tiles == 0) return;
    part.first_tile = all.empty() ? 0 : all.back().first_tile + all.back().tiles.tiles;
    all.push_back(part);
}

void forward(const std::vector<Tensor>& sources, const std::vector<Tensor>& indices,
             const std::vector<Cast>& casts, Tensor& y, CastCounters& counters) {
    std::vector<SelectPart> all;
    int64_t begin = 0;
    bool counting = false;
    gpu_kernels::SelectAlike how;
    for (size_t i = 0; i < sources.size(); ++i) {
        const Tensor& s = sources[i];
        const int64_t columns = s.size(1), size = bytes_of(s);
        SelectPart part{};
        part.tiles = gpu_kernels::make_row_tiles(indices[i].numel(), columns);
        part.begin = begin;
        part.row_step = s.strides()[0];
        part.step = s.strides()[1];
        part.source = s.raw();
        part.list = indices[i].data<int64_t>();
        part.cast = casts[i];
        part.storage = storage_or_f32(s.dtype());
        part.keep = s.dtype() == y.dtype() && !part.cast.round && part.cast.scale == 1 && part.cast.undo == 1;
        const int64_t unit = part.keep ? 16 / size : 8;
        part.wide = (part.step == 1 || columns == 1) && columns % unit == 0 &&
                    gpu_kernels::rows_aligned(s.raw(), part.row_step, size) &&
                    begin * bytes_of(y) % 16 == 0 && gpu_kernels::rows_aligned(y.raw(), columns, bytes_of(y));
        counting |= counts(part.cast);
        if (part.tiles.tiles > 0) {
            const bool same =
                all.empty() || (how.keep == part.keep && (how.keep || how.from == part.storage));
            how = {part.wide && same && (all.empty() || how.alike), part.keep, part.storage};
        }
        add_part(all, part);
        begin += indices[i].numel() * columns;
    }
    DeviceCounters lost(1, counting, y.device());
    Tensor memory;
    const SelectParts parts = gathered(all, y.device(), memory);
    gpu_kernels::launch_select(
        {y.mutable_raw(), storage_or_f32(y.dtype()), static_cast<int>(bytes_of(y)), lost[0]}, parts, how,
        gpu::current_stream(y.device()));
    lost.add_to(0, counters);
}

void backward(const Tensor& dy, const std::vector<int64_t>& begins, const std::vector<Tensor>& indices,
              std::vector<Tensor>& grads, const Cast& entry, const Cast& exit, CastCounters& entered,
              CastCounters& left) {
    std::vector<SelectPart> all;
    std::vector<DeviceRows> lists;
    const int64_t step = dy.numel() > 1 ? dy.strides()[0] : 1;
    const bool f64 = dy.dtype() == DType::f64;
    bool alike = !f64;
    for (size_t i = 0; i < grads.size(); ++i) {
        if (!grads[i].defined() || grads[i].numel() == 0) continue;
        const int64_t columns = grads[i].size(1);
        SelectPart part{};
        part.tiles = gpu_kernels::make_row_tiles(grads[i].size(0), columns);
        part.begin = begins[i];
        lists.emplace_back(indices[i], grads[i].size(0));
        part.uses = lists.back().rows();
        part.grad = grads[i].mutable_raw();
        part.storage = storage_or_f32(grads[i].dtype());
        part.wide = !f64 && step == 1 && columns % 8 == 0 && begins[i] * bytes_of(dy) % 16 == 0 &&
                    gpu_kernels::rows_aligned(dy.raw(), columns, bytes_of(dy)) &&
                    gpu_kernels::rows_aligned(part.grad, columns, bytes_of(grads[i]));
        alike &= part.wide && grads[i].dtype() == dy.dtype();
        add_part(all, part);
    }
    DeviceCounters lost(2, counts(entry) || counts(exit), dy.device());
    Tensor memory;
    const SelectParts parts = gathered(all, dy.device(), memory);
    gpu_kernels::launch_select_backward(
        {dy.raw(), step, storage_or_f32(dy.dtype()), f64, entry, exit, lost[0], lost[1]}, parts, alike,
        gpu::current_stream(dy.device()));
    lost.add_to(0, entered);
    lost.add_to(1, left);
}

}  // namespace

const IndexSelectCatKernels index_select_cat_cuda{forward, backward};

}  // namespace demi
