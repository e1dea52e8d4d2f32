#pragma once
// Internal: attention in double, one query at a time, in plain order: all of it for f64, which exists to
// check gradients; and for f32, f16 and bf16 the rows that f32 does not hold (Exact).
#include "ops/memory_efficient_attention/cpu/attention_tasks.h"

namespace demi::DEMI_BACKEND::attention {

// One query and the keys that it sees, counted from the start of the tensors.
struct Seen {
    int64_t batch, head, query, begin, end;
    int64_t count() const { return end - begin; }
    int64_t lse_index(const AttentionCall& c) const { return (batch * c.heads + head) * c.queries + query; }
};
Seen keys_of_query(const Place& at, int64_t query);

// What one query makes of its keys, from Seen::begin on. Operands of other dtypes enter through their casts.
class RowF64 {
  public:
    RowF64(const AttentionCall& call, int64_t most_keys);
    ~RowF64();

    void score(const Seen& r);
    // Scores and weights; false where there is no finite log-sum-exp.
    bool weigh(const Seen& r);
    // And what they make of the values: value_size numbers.
    bool attend(const Seen& r, double* y);
    // And the gradients of the scores, from those of out and of the log-sum-exp.
    bool differentiate(const Seen& r, const AttentionOperand& grad_out, double grad_lse);
    // Adds what weights and grads make of the gradients of q, k and v: to the query's row, and to those of its keys from
    // the first on, which lie apart. Null: not wanted.
    void add_gradients(const Seen& r, const AttentionOperand& grad_out, double* dq, double* dk,
                       int64_t dk_row, double* dv, int64_t dv_row);

    // A row of an operand; valid until the next, also of the functions above. Two at a time: `other` for
    // the second.
    const double* row(const AttentionOperand& x, const Seen& r, int64_t token, int64_t columns,
                      bool other = false);
    // Whether a key has a bias other than -infinity: masks make many rows without.
    bool sees_a_number(const Seen& r);

    double *scores, *weights, *kept, *grads;  // weights before dropout, of sum 1; dropout's factors
    double lse = 0;                           // -infinity: nothing has a weight

  private:
    void bias_row(const Seen& r, double* to);

    const AttentionCall& c_;
    int64_t most_keys_, most_columns_;
    Scratch memory_;
    double *rows_[2], *bias_;
    float* narrow_;
};

DEMI_INLINE double dot_f64(const double* a, const double* b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
}
DEMI_INLINE void add_f64(double* to, double factor, const double* from, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] += factor * from[i];
}
DEMI_INLINE void zero_f64(double* to, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] = 0;
}

// Where f32 left its range although the operands are finite: answers in double, for one task. Each does
// nothing where double has none either. Memory is taken at the first question.
class Exact {
  public:
    explicit Exact(const AttentionForward& call) : c_(call) {}
    explicit Exact(const AttentionBackward& call) : c_(call), b_(&call) {}
    ~Exact();
    Exact(const Exact&) = delete;

    // The result of a query: every element of it, and its log-sum-exp, or (lse null) those that are
    // not finite.
    void result(const Place& at, int64_t query, float* row, float* lse);
    // Weights, after dropout, and gradients of the scores of a query's keys [first, first + count).
    void weights(const Place& at, int64_t query, int64_t first, int64_t count, float* weights, float* grads);
    // Elements that are not finite, in a row of the gradient of q, k or v.
    void gradient(char operand, const Place& at, int64_t row, float* to);
    // The same in what a row of the bias' gradient has for keys [first, first + count); where the bias is
    // stretched over queries or keys one row, one number for all.
    void bias_gradient(const Place& at, int64_t query, int64_t first, int64_t count, float* to);

  private:
    RowF64& row(const Place& at);
    bool differentiate(const Place& at, const Seen& r);
    bool sweep(const Place& at);

    const AttentionCall& c_;
    const AttentionBackward* b_ = nullptr;
    RowF64* row_ = nullptr;
    // The gradients of the task's segment, batch and head, once one of their rows was asked for.
    Scratch* swept_ = nullptr;
    bool finite_ = false;
};

}  // namespace demi::DEMI_BACKEND::attention
