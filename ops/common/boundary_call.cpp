#include "ops/common/boundary_call.h"

#include <cmath>
#include <sstream>

#include "ops/common/boundary_kernels.h"
#include "runtime/parallel.h"

namespace demi {

void add_to_ledger(const BoundaryRow& more);

Storage storage_of(DType dtype) {
    switch (dtype) {
    case DType::f32: return Storage::f32;
    case DType::f16: return Storage::f16;
    case DType::bf16: return Storage::bf16;
    default: fail("boundary", "needs f32, bf16 or f16: got ", dtype);
    }
}

BoundaryCall::BoundaryCall(std::string_view op, const Boundary& boundary, Direction direction)
    : op_(op), boundary_(boundary), direction_(direction), count_(boundary.count && boundary_counting()) {}

Cast BoundaryCall::entry(DType dtype, int k) const {
    Cast cast;
    if (boundary_.mode == BoundaryMode::off || (dtype == DType::f16 && k == 0)) return cast;
    cast.round = true;
    cast.scale = std::ldexp(1.0f, k);
    cast.saturate = boundary_.overflow == OverflowPolicy::saturate;
    cast.count = count_ || boundary_.overflow == OverflowPolicy::error;
    return cast;
}

Cast BoundaryCall::exit(int scale, int undo) const {
    Cast cast;
    cast.scale = std::ldexp(1.0f, scale);
    cast.undo = std::ldexp(1.0f, -undo);
    if (boundary_.mode != BoundaryMode::strict) return cast;
    cast.round = true;
    cast.saturate = boundary_.overflow == OverflowPolicy::saturate;
    cast.count = count_ || boundary_.overflow == OverflowPolicy::error;
    return cast;
}

void BoundaryCall::note(std::string_view operand, const CastCounters& counters, int k,
                        const std::function<Overflow()>& find) const {
    if (counters.elements == 0) return;
    if (count_) {
        BoundaryRow row{
            boundary_.site, std::string(op_), direction_, std::string(operand), 1, counters, k, k};
        row.counters.amax = std::ldexp(counters.amax, -k);
        add_to_ledger(row);
    }
    if (boundary_.overflow != OverflowPolicy::error || counters.to_inf == 0) return;
    const Overflow first = find ? find() : Overflow{std::string(operand), counters.amax};
    fail(op_, "overflow at the fp16 boundary", boundary_.site.empty() ? "" : " of " + boundary_.site, " (",
         name(direction_), "): ", first.place, " is ", first.value, ", at most 65504 fits; ", counters.to_inf,
         " of ", counters.elements, " elements do not (OverflowPolicy::error)");
}

std::optional<Overflow> find_overflow(const Tensor& tensor, float scale) {
    const Tensor wide = tensor.to(Device::cpu()).contiguous();
    std::optional<Overflow> found;
    dispatch_float(wide.dtype(), "boundary", [&]<class T>() {
        const T* p = wide.data<T>();
        for (int64_t i = 0; i < wide.numel() && !found; ++i) {
            const double x = static_cast<double>(p[i]);
            if (!(std::fabs(x * static_cast<double>(scale)) >= 65520)) continue;
            Shape at = wide.shape();
            int64_t rest = i;
            for (int d = at.rank() - 1; d >= 0; --d) {
                at[d] = rest % wide.size(d);
                rest /= wide.size(d);
            }
            std::ostringstream place;
            place << "at " << at;
            found = Overflow{place.str(), x};
        }
    });
    return found;
}

double finite_amax(const Tensor& tensor) { return DEMI_SELECT(boundary, tensor.device(), amax)(tensor); }

Tensor cast_tensor(const Tensor& tensor, const Cast& cast, DType dtype, CastCounters& counters) {
    Tensor out = Tensor::empty(tensor.shape(), dtype, tensor.device());
    DEMI_SELECT(boundary, tensor.device(), cast)(tensor, cast, out, counters);
    return out;
}

namespace {

// Pieces of a contiguous tensor, in parallel: fn(first, count).
template <class F> void in_pieces(int64_t count, F&& fn) {
    constexpr int64_t kGrain = 65536;
    parallel_ranges(count, kGrain, [&](int64_t begin, int64_t end) { fn(begin, end - begin); });
}

// Through the device's kernel, which counts nothing here.
Tensor converted(const Tensor& tensor, const Cast& cast, DType dtype) {
    CastCounters ignored;
    return cast_tensor(tensor, cast, dtype, ignored);
}

}  // namespace

Tensor cast_to_half(const Tensor& tensor, const Cast& cast) {
    if (cast.scale == 1 && !cast.saturate) return tensor.to(DType::f16).contiguous();
    if (!tensor.device().is_cpu())
        return converted(tensor, {cast.scale, 1, true, cast.saturate, false}, DType::f16);
    const Tensor flat = tensor.to(DType::f32).contiguous();
    Tensor out = Tensor::empty(tensor.shape(), DType::f16, tensor.device());
    const float* x = flat.data<float>();
    Half* y = out.mutable_data<Half>();
    in_pieces(out.numel(), [&](int64_t begin, int64_t count) {
        for (int64_t i = begin; i < begin + count; ++i) {
            float scaled = x[i] * cast.scale;
            if (cast.saturate && scaled > 65504.0f) scaled = 65504.0f;
            if (cast.saturate && scaled < -65504.0f) scaled = -65504.0f;
            y[i] = Half(scaled);
        }
    });
    return out;
}

Tensor cast_from_half(const Tensor& tensor, DType dtype, float undo) {
    if (undo == 1) return tensor.to(dtype);
    if (!tensor.device().is_cpu()) return converted(tensor, {1, undo, false, false, false}, dtype);
    Tensor wide = tensor.to(DType::f32).clone();
    float* x = wide.mutable_data<float>();
    in_pieces(wide.numel(), [&](int64_t begin, int64_t count) {
        for (int64_t i = begin; i < begin + count; ++i) x[i] *= undo;
    });
    return wide.to(dtype);
}

CastCounters count_cast(const Tensor& tensor, const Cast& cast) {
    CastCounters counters;
    if (!cast.count || !cast.round) return counters;
    const Tensor flat = tensor.to(Device::cpu()).to(DType::f32).contiguous();
    const float* x = flat.data<float>();
    for (int64_t i = 0; i < flat.numel(); ++i) {
        const float scaled = x[i] * cast.scale;
        const float size = std::fabs(scaled);
        const float rounded = std::fabs(static_cast<float>(Half(scaled)));
        ++counters.elements;
        counters.nan += size != size;
        counters.to_inf += size >= 65520.0f;
        counters.to_zero += rounded == 0 && size != 0;
        counters.subnormal += rounded != 0 && rounded < 0x1p-14f;
        if (size == size) counters.amax = std::max(counters.amax, static_cast<double>(size));
    }
    return counters;
}

}  // namespace demi
