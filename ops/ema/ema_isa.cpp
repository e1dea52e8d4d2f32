#include "ops/ema/ema_isa.h"

#include "ops/common/lanes.h"

namespace demi::DEMI_ISA_NS {
namespace {

template <class D, class S>
void update(void* dst_, const void* src_, int64_t count, float keep_, float take_) {
    D* dst = static_cast<D*>(dst_);
    const S* src = static_cast<const S*>(src_);
    const vf keep = broadcast(keep_), take = broadcast(take_);
    for_lanes(
        count, DEMI_LANES { put(dst + i, keep * get(dst + i, n) + take * get(src + i, n), n); });
}

}  // namespace

extern const EmaIsa ema_isa;
const EmaIsa ema_isa = {{{update<Half, Half>, update<Half, BFloat16>, update<Half, float>},
                         {update<BFloat16, Half>, update<BFloat16, BFloat16>, update<BFloat16, float>},
                         {update<float, Half>, update<float, BFloat16>, update<float, float>}}};

}  // namespace demi::DEMI_ISA_NS
