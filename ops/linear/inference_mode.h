#pragma once
#include "autograd/grad_mode.h"

namespace demi {

// For programs that only go forward: while one of these lives, its thread records nothing, and linear() and mlp() on the CPU
// hold their weights in the order in which products read them, from their first use on. This is a second copy of the
// weights (f32 for every dtype), given back when the outermost of the thread ends, or with the weight. A weight that was
// written to in between is packed anew. The results have the bits that they have without.
class InferenceMode {
  public:
    InferenceMode();
    ~InferenceMode();

  private:
    NoGrad no_grad_;
};

}  // namespace demi
