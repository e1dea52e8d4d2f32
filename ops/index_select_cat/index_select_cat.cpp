#include "ops/index_select_cat/index_select_cat.h"

#include "autograd/record.h"
#include "ops/boundary/boundary_call.h"
#include "ops/index/row_index.h"
#include "ops/index_select_cat/index_select_cat_casts.h"
#include "runtime/profile.h"

namespace demi {
namespace {

constexpr const char* kOp = "index_select_cat";

void check_source(const Variable& source, const Tensor& index, size_t i, Device device) {
    const std::string name = "sources[" + std::to_string(i) + "]";
    check(source.rank() == 2 && is_float(source.dtype()), kOp, name,
          " must be a floating-point matrix [rows, columns]: got ", describe(source.value()));
    check(source.device() == device && (!index.defined() || index.device() == device), kOp,
          "everything must be on one device: sources[0] is on ", device, ", ", name, " is ",
          describe(source.value()), ", indices[", i, "] is ", describe(index));
}

}  // namespace

Variable index_select_cat(const std::vector<Variable>& sources, const std::vector<Tensor>& indices,
                          const Boundary& boundary) {
    const ProfileScope scope("index_select_cat");
    check(!sources.empty() && sources.size() == indices.size(), kOp,
          "needs at least one source, and one index list per source: got ", sources.size(), " sources and ",
          indices.size(), " lists");
    IndexSelectCatCall call;
    call.boundary = boundary;
    call.begins = {0};
    std::vector<Tensor> values;
    std::vector<DType> own;  // of the sources, and so of their gradients
    for (size_t i = 0; i < sources.size(); ++i) {
        check(sources[i].defined(), kOp, "sources[", i, "] is undefined");
        check_source(sources[i], indices[i], i, sources[0].device());
        const Variable& source = sources[i];
        note_read(indices[i]);
        call.indices.push_back(
            checked_rows(kOp, "indices[" + std::to_string(i) + "]", indices[i], source.size(0)));
        call.shapes.push_back(source.shape());
        own.push_back(source.dtype());
        call.dtypes.push_back(written_gradient(source.dtype(), sources[0].dtype()));
        values.push_back(source.value());
        call.begins.push_back(checked_add(
            call.begins.back(), checked_mul(call.indices.back().numel(), source.size(1), kOp), kOp));
    }
    // What keeps its bits has nothing to cast.
    if (call.dtypes[0] == DType::f64 || boundary.mode == BoundaryMode::wide)
        call.boundary.mode = BoundaryMode::off;

    Tensor y = call.forward(values);
    if (!needs_grad(sources)) return y;
    std::vector<Saved> lists(call.indices.begin(), call.indices.end());
    call.indices.clear();
    return record(kOp, sources, std::move(y),
                  [call = std::move(call), lists = std::move(lists),
                   own = std::move(own)](const Tensor& dy, const Needs& needs) -> Tensors {
                      IndexSelectCatCall again = call;
                      for (const Saved& list : lists) again.indices.push_back(list.get());
                      std::vector<bool> wanted;
                      for (size_t i = 0; i < needs.size(); ++i) wanted.push_back(needs[i]);
                      Tensors grads = again.backward(dy, wanted);
                      for (size_t i = 0; i < grads.size(); ++i)
                          if (wanted[i]) grads[i] = grads[i].to(own[i]);
                      return grads;
                  });
}

}  // namespace demi
