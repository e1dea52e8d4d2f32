#include "ops/boundary/crossing.h"

#include <cmath>

#include "ops/boundary/pending_counts.h"
#include "ops/op.h"
#include "runtime/capture.h"
#include "runtime/copy.h"
#include "runtime/strided_of.h"

namespace demi {

static float power(int k) { return std::ldexp(1.0f, k); }

Crossing::Crossing(std::string_view op, const Boundary& boundary, Direction direction, DType first)
    : op_(op), boundary_(boundary), direction_(direction), first_(first),
      rule_(rule_of(first == DType::f64 ? BoundaryMode::off : boundary.mode)),
      count_(boundary.count && boundary_counting()) {
    check(boundary.overflow != OverflowPolicy::error || !capturing(), op,
          "OverflowPolicy::error looks at every result, which a captured step cannot");
}

int Crossing::gradient_exponent(Role role, const std::function<double()>& bound) const {
    return scales() && rounds(role) ? boundary_.grad_scale.choose(bound()) : 0;
}

Cast Crossing::cast(bool round) const {
    Cast cast;
    if (!round) return cast;
    cast.round = true;
    cast.saturate = boundary_.overflow == OverflowPolicy::saturate;
    cast.count = count_ || boundary_.overflow == OverflowPolicy::error;
    return cast;
}

Cast Crossing::entry(DType dtype, int k, Role role) const {
    Cast entry = cast(rounds(role) && (dtype != DType::f16 || k != 0));
    if (entry.round) entry.scale = power(k);
    return entry;
}

Cast Crossing::exit(bool round, int scale, int undo) const {
    Cast exit = cast(round);
    exit.scale = power(scale);
    exit.undo = power(-undo);
    return exit;
}

Entering Crossing::enter(const char* name, const Tensor& x, const EnterAs& as) const {
    Entering e{name, x, x, {}, as.k, {}};
    if (!x.defined()) return e;
    if (first_ == DType::f64) {
        e.tensor = x.to(DType::f64);
        return e;
    }
    Cast cast = entry(x.dtype(), as.k, as.role);
    cast.count = cast.count && as.count;
    if (!cast.round) {
        e.k = 0;
        if (x.dtype() == DType::f64) e.tensor = x.to(as.role == Role::accumulator ? first_ : DType::f32);
    } else if (x.dtype() == DType::f64 || boundary_.explicit_casts) {
        if (cast.count && !capturing())
            e.counters = as.count_converted ? as.count_converted(cast) : count_cast(x, cast);
        e.tensor = cast_to_half(x, cast);
    } else {
        e.cast = cast;
    }
    return e;
}

Tensor Crossing::pass(Entering& x) const {
    if (!x.cast.round) return cast_from_half(x.tensor, x.given.dtype(), power(-x.k));
    Cast cast = x.cast;
    cast.undo = power(-x.k);
    return cast_tensor(x.tensor, cast, x.given.dtype(), x.counters);
}

Leaving Crossing::leave(const char* name, const Tensor& result, bool round, int k, double bound) const {
    Leaving e{name, result, result, {}, k, 1, {}};
    // near enough to the k that the sums carry for the difference to be a normal float
    if (round && direction_ == Direction::backward)
        e.k = std::clamp(boundary_.grad_scale.choose(bound), k - 126, k + 126);
    e.cast = exit(round, e.k - k, e.k);
    if (result.defined() && round && boundary_.explicit_casts) {
        e.target = Tensor::empty(result.shape(), DType::f16, result.device());
        std::swap(e.undo, e.cast.undo);
    }
    return e;
}

Tensor Crossing::finish(const Leaving& y, const FindOverflow& find) const {
    if (!y.result.defined()) return y.result;
    note(
        y.name, y.counters, y.k, find ? find : [&] { return find_overflow(y.name, y.target); });
    if (y.target.buffer() != y.result.buffer())
        copy(y.result, cast_from_half(y.target, y.result.dtype(), y.undo));
    return y.result;
}

Tensor Crossing::leave_sums(const char* name, const char* text, const Tensor& sums, DType dtype,
                            int k) const {
    if (first_ == DType::f64) return sums;
    const bool scaled = scales() && rule_.gradients;
    Leaving e = leave_gradient(name, {}, k, scaled ? std::ldexp(finite_amax(sums), -k) : 0);
    Tensor result;
    if (e.cast.round && boundary_.explicit_casts) {
        e.counters = count_cast(sums, e.cast);
        result = cast_from_half(cast_to_half(sums, e.cast), dtype, e.cast.undo);
    } else {
        result = cast_tensor(sums, e.cast, dtype, e.counters);
    }
    note(name, e.counters, e.k, [&] { return find_overflow(text, sums, e.k - k, k); });
    return result;
}

void Crossing::note(const Entering& x) const {
    note(x.name, x.counters, x.k, [&] { return find_overflow(x.name, x.given, x.k); });
}

void Crossing::note(std::string_view operand, const CastCounters& counters, int k,
                    const FindOverflow& find) const {
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
    const Overflow first = find ? find() : Overflow{std::string(operand), {}, counters.amax};
    fail(op_, "overflow at the fp16 boundary", boundary_.site.empty() ? "" : " of " + boundary_.site, " (",
         name(direction_), "): ", first, " is ", first.value, ", at most 65504 fits; ", counters.to_inf,
         " of ", counters.elements, " elements do not (OverflowPolicy::error)");
}

static std::ostream& operator<<(std::ostream& out, const Overflow& o) {
    return o.at.rank() > 0 ? out << o.operand << " at " << o.at : out << o.operand;
}

CastCounters* Entering::lost() { return counted_in(counters, cast, tensor); }
CastCounters* Leaving::lost() { return counted_in(counters, cast, target); }

Overflow find_overflow(std::string operand, const Tensor& tensor, int k, int taken_out) {
    const Tensor here = tensor.to(Device::cpu()).contiguous();
    const double scale = std::ldexp(1.0, k);
    Overflow found{std::move(operand)};
    dispatch_float(here.dtype(), "boundary", [&]<class T>() {
        const T* p = here.data<T>();
        for (int64_t i = 0; i < here.numel() && found.value == 0; ++i) {
            const double x = static_cast<double>(p[i]);
            if (!(std::fabs(x * scale) >= 65520)) continue;
            found.value = std::ldexp(x, -taken_out);
            found.at = here.shape();
            int64_t rest = i;
            for (int d = here.rank() - 1; d >= 0; rest /= here.size(d--)) found.at[d] = rest % here.size(d);
        }
    });
    return found;
}

double finite_amax(const Tensor& tensor) {
    if (tensor.numel() == 0) return 0;
    const auto parts = std::min<int64_t>(ceil_div(tensor.numel(), 2048), 1056);
    Tensor highest = Tensor::zeros({parts}, DType::f64, tensor.device());
    boundary_on(tensor.device())
        .amax({reads(tensor), strided<1>(tensor.shape(), {&tensor.strides()}), highest.mutable_data<double>(),
               parts},
              queue_of(tensor));
    double all = 0;
    for (const double x : highest.to_vector<double>()) all = std::max(all, x);
    return all;
}

Tensor cast_tensor(const Tensor& tensor, const Cast& cast, DType dtype, CastCounters& counters) {
    Tensor out = Tensor::empty(tensor.shape(), dtype, tensor.device());
    boundary_on(tensor.device())
        .cast({reads(tensor), writes(out), strided<1>(tensor.shape(), {&tensor.strides()}), cast,
               counted_in(counters, cast, tensor)},
              queue_of(tensor));
    return out;
}

Tensor cast_to_half(const Tensor& tensor, const Cast& cast) {
    const Cast quiet{cast.scale, 1, true, cast.saturate, false};
    CastCounters none;
    const bool wide = tensor.dtype() == DType::f64;
    if (cast.scale != 1 || !wide)
        return cast_tensor(wide ? tensor.to(DType::f32) : tensor, quiet, DType::f16, none);
    const Tensor half = tensor.to(DType::f16).contiguous();  // rounded once
    return cast.saturate ? cast_tensor(half, quiet, DType::f16, none) : half;
}

Tensor cast_from_half(const Tensor& tensor, DType dtype, float undo) {
    CastCounters none;
    return undo == 1 ? tensor.to(dtype) : cast_tensor(tensor, {1, undo, false, false, false}, dtype, none);
}

CastCounters count_cast(const Tensor& tensor, const Cast& cast) {
    CastCounters all;
    if (!cast.count || !cast.round || capturing()) return all;
    const Tensor here = tensor.to(Device::cpu()).contiguous();
    if (here.dtype() != DType::f64) {
        (void)cast_tensor(here, cast, DType::f16, all);
        return all;
    }
    constexpr int64_t kPiece = 65536;  // f64 is counted before it is rounded to f32
    std::vector<CastCounters> parts(static_cast<size_t>(ceil_div(here.numel(), kPiece)));
    parallel_ranges(here.numel(), kPiece, [&](int64_t begin, int64_t end) {
        CastCounters& part = parts[static_cast<size_t>(begin / kPiece)];
        for (int64_t i = begin; i < end; ++i)
            count_crossing(part, here.data<double>()[i] * static_cast<double>(cast.scale));
    });
    for (const CastCounters& part : parts) add_counters(all, part);
    return all;
}

CastCounters count_rows(const Tensor& tensor, const Tensor& rows, const Cast& cast) {
    CastCounters all;
    for (const int64_t row : rows.to_vector<int64_t>()) merge(all, count_cast(tensor.select(0, row), cast));
    return all;
}

}  // namespace demi
