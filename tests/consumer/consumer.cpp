// A program outside the tree.
#include "runtime/isa.h"

#include <cstdio>

int main() {
    std::printf("instruction set %d\n", int(demi::cpu_isa()));
    return 0;
}
