// Calls every public function with wrong arguments; see walk.h. Prints TAP.
//   build/tests/misuse [--calls N] [--only PART] [--patience SECONDS]
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/misuse/walk.h"

int main(int argc, char** argv) {
    using namespace demi::test;
    RunOptions options;
    for (int i = 1; i < argc; i += 2) {
        const char* name = argv[i];
        const char* text = i + 1 < argc ? argv[i + 1] : "";
        if (std::strcmp(name, "--calls") == 0)
            options.calls = std::atoll(text);
        else if (std::strcmp(name, "--only") == 0)
            options.only = text;
        else if (std::strcmp(name, "--patience") == 0)
            options.patience = std::atof(text);
        else
            return std::fprintf(stderr, "misuse [--calls N] [--only PART] [--patience SECONDS]\n"), 2;
    }
    Walks walks;
    tensor_walks(walks);
    runtime_walks(walks);
    file_walks(walks);
    autograd_walks(walks);
    op_walks(walks);
    compare_walks(walks);
    layer_op_walks(walks);
    boundary_op_walks(walks);
    layer_walks(walks);
    model_walks(walks);
    training_walks(walks);
    distillation_walks(walks);
    comm_walks(walks);
    return run_walks(walks, options) == 0 ? 0 : 1;
}
