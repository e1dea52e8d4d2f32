#include "ops/memory_efficient_attention/attention_backward.h"
#include "ops/memory_efficient_attention/attention_forward.h"
#include "ops/memory_efficient_attention/attention_tiles.h"

namespace demi::DEMI_ISA_NS {
namespace attention {
namespace {

void count_bias(const AttentionProblem& p, int64_t batch, int64_t head, CastCounters* counters) {
    const AttentionOperand bias{p.bias.data, p.bias.batch, p.bias.query,
                                p.bias.head, p.bias.dtype, p.bias.cast};
    count_rows(rows_of(bias, batch, head, 0), p.bias.sum_query ? 1 : p.queries, p.bias.sum_key ? 1 : p.keys,
               counters);
}

}  // namespace
}  // namespace attention

extern const AttentionIsa attention_isa;
const AttentionIsa attention_isa = {
    attention::forward,       attention::forward_scratch, attention::backward,  attention::backward_scratch,
    attention::bias_backward, attention::bias_scratch,    attention::count_bias};

}  // namespace demi::DEMI_ISA_NS
