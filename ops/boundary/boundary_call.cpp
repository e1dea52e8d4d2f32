#include "ops/boundary/boundary_call.h"

#include <cmath>
#include <sstream>
#include <vector>

#include "ops/boundary/boundary_kernels.h"
#include "ops/boundary/pending_counts.h"
#include "runtime/capture.h"
#include "runtime/parallel.h"

namespace demi {

void add_to_ledger(const BoundaryRow& more);  // counters as they crossed, with k as the exponents

Storage storage_of(DType dtype) {
    switch (dtype) {
    case DType::f32: return Storage::f32;
    case DType::f16: return Storage::f16;
    case DType::bf16: return Storage::bf16;
    default: fail("boundary", "needs f32, bf16 or f16: got ", dtype);
    }
}

BoundaryCall::BoundaryCall(std::string_view op, const Boundary& boundary, Direction direction)
    : op_(op), boundary_(boundary), direction_(direction), count_(boundary.count && boundary_counting()) {
    check(boundary.overflow != OverflowPolicy::error || !capturing(), op,
          "OverflowPolicy::error looks at every result, which a captured step cannot");
}

Cast BoundaryCall::entry(DType dtype, int k) const {
    Cast cast;
    if (boundary_.mode == BoundaryMode::off || (dtype == DType::f16 && k == 0)) return cast;
    cast.round = true;
    cast.scale = std::ldexp(1.0f, k);
    cast.saturate = boundary_.overflow == OverflowPolicy::saturate;
    cast.count = count_ || boundary_.overflow == OverflowPolicy::error;
    return cast;
}

Tensor BoundaryCall::read(const Tensor& operand, DType first, CastCounters* counters, DType unrounded) const {
    if (!operand.defined() || first == DType::f64) return operand.defined() ? operand.to(first) : operand;
    if (operand.dtype() != DType::f64) return operand;
    const Cast cast = entry(DType::f64);
    if (!cast.round) return operand.to(unrounded);
    if (counters != nullptr) merge(*counters, count_cast(operand, cast));
    return cast_to_half(operand, cast);
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
    const bool refuses = boundary_.overflow == OverflowPolicy::error;
    if (counters.pending != 0 && refuses) {
        CastCounters now = counters;
        settle(now);
        return note(operand, now, k, find);
    }
    if (counters.elements == 0 && counters.pending == 0) return;
    if (count_)
        add_to_ledger(
            {boundary_.site, std::string(op_), direction_, std::string(operand), 1, counters, k, k});
    if (!refuses || counters.to_inf == 0) return;
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

constexpr int64_t kPiece = 65536;

// Pieces of a contiguous tensor, in parallel: fn(first, count).
template <class F> void in_pieces(int64_t count, F&& fn) {
    parallel_ranges(count, kPiece, [&](int64_t begin, int64_t end) { fn(begin, end - begin); });
}

// Through the device's kernel, which counts nothing here.
Tensor converted(const Tensor& tensor, const Cast& cast, DType dtype) {
    CastCounters ignored;
    return cast_tensor(tensor, cast, dtype, ignored);
}

template <class T> CastCounters count_values(const T* x, int64_t numel, const Cast& cast) {
    std::vector<CastCounters> parts(static_cast<size_t>(ceil_div(numel, kPiece)));
    in_pieces(numel, [&](int64_t begin, int64_t count) {
        // Where rounding to nearest even ends at 0, and where it leaves the subnormal numbers.
        constexpr T kZero = 0x1p-25f, kNormal = 0x1p-14f - 0x1p-25f;
        const T scale = cast.scale;
        int32_t nan = 0, to_inf = 0, to_zero = 0, subnormal = 0;
        T most = 0;
        for (int64_t i = begin; i < begin + count; ++i) {
            const T size = std::fabs(x[i] * scale);
            nan += size != size;
            to_inf += size >= 65520;
            to_zero += size != 0 && size <= kZero;
            subnormal += size > kZero && size < kNormal;
            most = size > most ? size : most;
        }
        parts[static_cast<size_t>(begin / kPiece)] = {count, to_inf, nan, to_zero, subnormal, most};
    });
    CastCounters all;
    for (const CastCounters& part : parts) merge(all, part);
    return all;
}

}  // namespace

Tensor cast_to_half(const Tensor& tensor, const Cast& cast) {
    const Cast quiet{cast.scale, 1, true, cast.saturate, false};
    if (cast.scale == 1 && (!cast.saturate || tensor.dtype() == DType::f64)) {
        const Tensor half = tensor.to(DType::f16).contiguous();  // rounded once, from f64 too
        return cast.saturate ? converted(half, quiet, DType::f16) : half;
    }
    if (!tensor.device().is_cpu()) return converted(tensor, quiet, DType::f16);
    Tensor wide = tensor.to(DType::f32).clone();
    float* x = wide.mutable_data<float>();
    in_pieces(wide.numel(), [&](int64_t begin, int64_t count) {
        for (int64_t i = begin; i < begin + count; ++i) {
            float scaled = x[i] * cast.scale;
            if (cast.saturate) {  // NaN stays NaN
                scaled = scaled > 65504.0f ? 65504.0f : scaled;
                scaled = scaled < -65504.0f ? -65504.0f : scaled;
            }
            x[i] = scaled;
        }
    });
    return wide.to(DType::f16);
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
    if (!cast.count || !cast.round || capturing()) return {};
    const Tensor here = tensor.to(Device::cpu()).contiguous();
    return here.dtype() == DType::f64 ? count_values(here.data<double>(), here.numel(), cast)
                                      : count_values(here.to(DType::f32).data<float>(), here.numel(), cast);
}

}  // namespace demi
