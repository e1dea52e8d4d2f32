#pragma once
// Internal: a sparse matrix [out, in] of weights along one axis. Row i is
// index/weight[start[i] .. start[i + 1]).
#include <cstdint>
#include <vector>

namespace demi {

struct Taps {
    int64_t in = 0, out = 0;
    std::vector<int64_t> start, index;
    std::vector<double> weight;

    Taps transposed() const;  // [in, out], each row in order of its outputs
};

// The weights of ops/interpolate_bicubic/interpolate_bicubic.h for one axis; scale 0 means out / in.
Taps bicubic_taps(int64_t in, int64_t out, double scale, bool antialias);

}  // namespace demi
