#pragma once
// Internal: AttentionExact on Tensors. Nothing is converted before somebody asks.
#include <mutex>
#include <optional>
#include <set>

#include "ops/memory_efficient_attention/attention_f64.h"

namespace demi {

class AttentionExactRows : public AttentionExact {
  public:
    // Forward, or with what came in backward and the gradients that are wanted.
    explicit AttentionExactRows(const AttentionArguments& args, const AttentionIncoming* in = nullptr);

  private:
    struct Operands {
        AttentionArguments args;  // f64, as they crossed
        AttentionInF64 rows;
        Tensor grad_out, grad_lse;
        explicit Operands(const AttentionArguments& a) : args(a), rows(args) {}
    };
    const Operands& operands() const;
    AttentionRow row_of(const AttentionPlace& at) const;
    bool sees_a_number(const AttentionPlace& query) const;
    bool differentiate(const AttentionRow& r, AttentionRowF64& x) const;
    bool sweep(const AttentionPlace& at) const;

    void result(const AttentionPlace& query, float* row, float* lse) const;
    void weights(const AttentionPlace& query, int64_t first, int64_t count, float* weights,
                 float* grads) const;
    void gradient(char operand, const AttentionPlace& at, float* row) const;
    void bias_gradient(const AttentionPlace& query, int64_t first, int64_t count, float* row) const;

    const AttentionArguments& args_;
    const AttentionIncoming* in_;
    mutable std::once_flag once_;
    mutable std::optional<Operands> operands_;
    // Gradients of whole places (segment, batch, head), once one of their rows was asked for.
    mutable std::mutex mutex_;
    mutable Tensor grad_q_, grad_k_, grad_v_;
    mutable std::set<int64_t> swept_, kept_;  // those of finite operands, and the others
};

}  // namespace demi
