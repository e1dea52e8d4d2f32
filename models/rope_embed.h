#pragma once
// The positions of DINOv3: no embedding is added; attention turns q and k of the patch tokens by angles that depend on
// where the patch lies (ops/rope). With n = head size / 4 frequencies for each axis:
//   periods      T_j = base^(j / n), or min_period (max_period / min_period)^(j / (n - 1))
//   coordinates  of patch (i, j) of H x W: (i + 1/2) / H and (j + 1/2) / W ("separate"), both divided by max(H, W)
//                ("max") or min(H, W) ("min"); then c <- 2 c - 1
//   angles       2 pi y / T_0, ..., 2 pi y / T_{n-1}, 2 pi x / T_0, ..., 2 pi x / T_{n-1}
// In training a table draws, in this order, where the number is not 0: shift s, y += u and x += u', u in (-s, s);
// jitter J >= 1, y *= e^u and x *= e^u', u in (-ln J, ln J); rescale R >= 1, both *= e^u, u in (-ln R, ln R).
#include <string>
#include <vector>

#include "models/context.h"
#include "ops/rope/rope.h"

namespace demi {

struct RopeConfig {
    double base = 100;
    double min_period = 0, max_period = 0;  // both above 0: instead of base
    std::string coordinates = "separate";   // or "max", "min"
    double shift = 0, jitter = 0, rescale = 0;
    // "rope_embed.periods" of a file of Meta (rounded to bf16 there), n of them; empty: by the formulas
    std::vector<double> periods = {};

    bool draws() const { return shift != 0 || jitter != 0 || rescale != 0; }
};

// Throws Error where a number is out of range or the head size is no multiple of 4.
void check_rope(const RopeConfig& config, int64_t head_size);

// Angles of the patches of one grid, behind `prefix` tokens without a position. Without a table: no positions.
struct RopeGrid {
    Tensor table;  // as rope() takes it, f32
    int64_t prefix = 0;

    bool defined() const { return table.defined(); }
    // For `sequences` pictures of this grid.
    RopeSegment segment(int64_t sequences) const { return {table, sequences, prefix}; }
};

// [2, height width, head size / 2], the patches in row-major order. Draws from the context's generator in training; drawn
// again in each replay of a captured step.
Tensor rope_table(const RopeConfig& config, int64_t head_size, int64_t height, int64_t width,
                  const ForwardContext& context, Device device);

}  // namespace demi
