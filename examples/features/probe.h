#pragma once
// How good saved features are, and what they show.
#include "examples/features/saved.h"

namespace demi::examples {

struct ProbeOptions {
    std::string features, test;  // test: of pictures to test with; empty: a part of `features`
    std::vector<int64_t> ks = {10};
    bool linear = false, json = false;
    std::string pca;        // folder for pictures of patch tokens; empty: none
    int64_t pictures = 64;  // of these
    uint64_t seed = 0;
};

// To learn from and to test with: two files; the parts that a file names train and test (or val); else a tenth of each
// class set apart. Rows without a label are left out.
struct ProbeSets {
    Features train, test;
    std::string how;  // "parts train and test"
};
ProbeSets probe_sets(const ProbeOptions& options);

// Prints accuracies, writes pictures.
void probe_features(const ProbeOptions& options);

}  // namespace demi::examples
