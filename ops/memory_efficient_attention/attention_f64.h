#pragma once
// Attention in double, one row of scores at a time: for gradient checks and as a reference, not for speed;
// and for single rows that f32 does not hold (attention_exact.h).
#include "ops/memory_efficient_attention/memory_efficient_attention_kernels.h"

namespace demi {

void attention_forward_f64(const AttentionArguments& args, Tensor out, Tensor lse);
void attention_backward_f64(const AttentionArguments& args, const AttentionIncoming& in,
                            const AttentionGradients& grads);

// Rows [batch, token, head, :] of an f64 tensor.
template <class T> struct RowsF64 {
    T* data = nullptr;
    int64_t batch = 0, token = 0, head = 0;
    T* at(int64_t b, int64_t t, int64_t h) const { return data + b * batch + t * token + h * head; }
};
RowsF64<const double> rows_f64(const Tensor& x);
RowsF64<double> writable_rows_f64(Tensor x);

// One query and the keys that it sees; they count from the start of the tensors.
struct AttentionRow {
    int64_t batch, head, query, begin, end;
    int64_t count() const { return end - begin; }
};
AttentionRow attention_row(const AttentionSegment& segment, int64_t batch, int64_t head, int64_t query);

// What one query makes of the keys that it sees, from row.begin on.
struct AttentionRowF64 {
    std::vector<double> scores, weights;  // weights before dropout, of sum 1
    std::vector<double> kept;             // dropout's factors
    std::vector<double> grads;            // of the scores
    double lse = 0;                       // -infinity: nothing has a weight
};

class AttentionInF64 {
  public:
    explicit AttentionInF64(const AttentionArguments& args);

    void score(const AttentionRow& r, AttentionRowF64& x) const;
    // Scores and weights; false where there is no finite log-sum-exp.
    bool weigh(const AttentionRow& r, AttentionRowF64& x) const;
    // And the gradients of the scores, from those of out (a row) and of the log-sum-exp.
    bool differentiate(const AttentionRow& r, const double* grad_out, double grad_lse,
                       AttentionRowF64& x) const;

    // Where a score's bias lies in a [B or 1, H or 1, Mq or 1, Mk or 1] tensor of these strides.
    int64_t bias_at(const Shape& strides, const AttentionRow& r, int64_t key) const;

    const AttentionArguments& args;
    int64_t batch, queries, heads, keys, head_size, value_size;
    RowsF64<const double> q, k, v;

  private:
    AttentionDropout dropout_;
};

double dot_f64(const double* a, const double* b, int64_t n);
void add_f64(double* to, double factor, const double* from, int64_t n);

}  // namespace demi
