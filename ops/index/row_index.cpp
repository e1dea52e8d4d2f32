#include "ops/index/row_index.h"

#include <algorithm>

namespace demi {
namespace {

// Lists on a GPU that are known to be good; the oldest is forgotten first.
struct Trusted {
    uint64_t id = 0, version = 0;
    int64_t offset = 0, count = 0, rows = 0;
};
thread_local std::array<Trusted, 64> trusted{};
thread_local size_t next_trusted = 0;

}  // namespace

static bool rows_trusted(const Tensor& list, int64_t rows) {
    if (list.device().is_cpu() || list.dtype() != DType::i64 || !list.is_contiguous()) return false;
    return std::any_of(trusted.begin(), trusted.end(), [&](const Trusted& t) {
        return t.id == list.buffer()->id() && t.version == list.version() && t.offset == list.offset() &&
               t.count == list.numel() && t.rows <= rows;
    });
}

void trust_rows(const Tensor& list, int64_t rows) {
    if (list.device().is_cpu() || list.dtype() != DType::i64 || !list.is_contiguous()) return;
    trusted[next_trusted++ % trusted.size()] = {list.buffer()->id(), list.version(), list.offset(),
                                                list.numel(), rows};
}

Tensor checked_rows(std::string_view op, std::string_view operand, const Tensor& index, int64_t rows) {
    check(index.defined() && index.rank() == 1, op, operand, " must be a list of row numbers, rank 1: got ",
          describe(index));
    check(index.dtype() == DType::i64 || index.dtype() == DType::i32, op, operand,
          " must be i64 or i32: got ", describe(index));
    const Tensor list = index.to(DType::i64).contiguous();
    if (rows_trusted(list, rows)) return list;
    const Tensor here = list.to(Device::cpu());
    const int64_t* values = here.data<int64_t>();
    for (int64_t i = 0; i < here.numel(); ++i)
        if (values[i] < 0 || values[i] >= rows) [[unlikely]]
            fail(op, operand, "[", i, "] = ", values[i], " is not a row: there are ", rows,
                 rows == 1 ? " row (0)" : " rows (from 0)");
    trust_rows(list, rows);
    return list;
}

Tensor checked_index(std::string_view op, const Tensor& index, int64_t size, Device device) {
    check(index.defined() && (index.dtype() == DType::i64 || index.dtype() == DType::i32), op,
          "index must be an i64 or i32 tensor: got ", index);
    if (index.device() == device && rows_trusted(index, size)) return index;
    const Tensor host = index.to(Device::cpu()).to(DType::i64).contiguous();
    const int64_t* at = host.data<int64_t>();
    for (int64_t i = 0; i < host.numel(); ++i)
        check(0 <= at[i] && at[i] < size, op, "index must be in [0, ", size, "): got ", at[i],
              " at position ", i);
    const Tensor there = index.device() == device ? index.to(DType::i64).contiguous() : host.to(device);
    trust_rows(there, size);
    return there;
}

int64_t most_uses(const int64_t* index, int64_t count, int64_t rows) {
    std::vector<int64_t> uses(static_cast<size_t>(rows));
    int64_t most = 1;
    for (int64_t i = 0; i < count; ++i) most = std::max(most, ++uses[static_cast<size_t>(index[i])]);
    return most;
}

}  // namespace demi
