#include "models/context.h"

namespace demi {

DType compute_dtype(Precision precision) {
    switch (precision) {
    case Precision::f32: return DType::f32;
    case Precision::bf16: return DType::bf16;
    case Precision::f16: return DType::f16;
    }
    return DType::f32;
}

const char* name(Precision precision) {
    switch (precision) {
    case Precision::f32: return "f32";
    case Precision::bf16: return "bf16";
    case Precision::f16: return "f16";
    }
    return "?";
}

Precision parse_precision(std::string_view text) {
    for (Precision precision : {Precision::f32, Precision::bf16, Precision::f16})
        if (text == name(precision)) return precision;
    fail("precision", "needs f32, bf16 or f16: got '", text, "'");
}

std::vector<int64_t> ForwardContext::draw_permutation(int64_t n) const {
    if (permutation) {
        std::vector<int64_t> drawn = permutation(n);
        check(static_cast<int64_t>(drawn.size()) == n, "stochastic_depth",
              "the given permutation must have length ", n, ": got ", drawn.size());
        for (int64_t row : drawn)
            check(row >= 0 && row < n, "stochastic_depth", "the given permutation must hold rows below ", n,
                  ": got ", row);
        return drawn;
    }
    check(generator != nullptr, "stochastic_depth",
          "training with a drop rate needs ForwardContext::generator");
    return generator->permutation(n);
}

}  // namespace demi
