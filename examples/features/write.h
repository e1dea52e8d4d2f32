#pragma once
// The result of extract_features.
#include "examples/features/partial.h"
#include "examples/features/plan.h"
#include "examples/features/source.h"

namespace demi::examples {

// What lies beside the numbers: name and value; a value that begins with [ or { is JSON.
using Description = std::vector<std::pair<std::string, std::string>>;

// .safetensors: an f32 tensor for each output, labels (-1: none) and split (which of split_names), i64; the description,
// names of files (one a line) and classes ("class.0") as metadata. .npy: NAME.npy holds the features, NAME.patches.npy
// and the like what else there is, NAME.json description, classes, files, labels and split.
void write_features(const std::string& out, const PartialFile& partial, const FeaturePlan& plan,
                    const PictureSource& source, const Description& description);

// All files that would be written.
std::vector<std::string> feature_files(const std::string& out, const FeaturePlan& plan);

// NumPy's .npy format, version 1.0, little-endian f32; `rows(row)` gives rows from `row` on until all are there.
void write_npy(const std::string& path, const Shape& shape, const std::function<Tensor(int64_t row)>& rows);

}  // namespace demi::examples
