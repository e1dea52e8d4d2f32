// A program outside the tree.
#include "autograd/variable.h"

#include <cstdio>

int main() {
    const demi::Variable x(demi::Tensor::full({1}, 2.0), true);
    x.backward();
    std::printf("gradient %g\n", x.grad().item());
    return x.grad().item() == 1.0 ? 0 : 1;
}
