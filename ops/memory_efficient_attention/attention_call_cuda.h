#pragma once
// Internal: one call of attention on the GPU: what its kernels are given, and the memory behind it.
#include "ops/memory_efficient_attention/attention_arguments.h"
#include "ops/memory_efficient_attention/attention_cuda.h"

namespace demi {

// Whether eight elements of a row can be had at a time, from addresses that are multiples of 16 bytes.
bool is_wide(const Tensor& x);

class AttentionCall {
  public:
    explicit AttentionCall(const AttentionArguments& args);

    bool is_empty() const { return job.p.segment_count == 0 || job.p.batch * job.p.heads == 0; }
    gpu::Stream stream() const;

    // Whether the tensor cores can do it; `more` comes on top of q, k and v.
    bool fits_matrix(const AttentionOperand* more = nullptr) const;
    // Whether, of what the tensor cores can do, the kernels for whole segments can do it.
    bool is_full() const;

    // The segments on the device, for the plain kernels.
    void upload_segments();
    // For the tensor cores; the functions give the shared memory that a tile of so many rows takes.
    gpu_kernels::AttentionMatrixJob matrix(size_t (*shared)(int64_t, int),
                                           size_t (*shared_keys)(int64_t, int));

    gpu_kernels::AttentionJob job{};

  private:
    template <class F>
    gpu_kernels::AttentionTiles cut(size_t (*shared)(int64_t, int), F&& length,
                                    std::vector<int64_t>& first) const;
    // The segments and some numbers to the device; gives where the numbers are.
    const int64_t* upload(const std::vector<int64_t>& numbers);

    const AttentionArguments& args_;
    Device device_;
    Tensor memory_;
};

}  // namespace demi
