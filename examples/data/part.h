#pragma once
// A part of a data set that stands for the whole: of every class as much as its share says. Data sets are
// often sorted by class, so the first N pictures would be the first classes.
#include <vector>

#include "examples/data/dataset.h"

namespace demi::data {

// Positions, sorted, of min(count, labels.size()) samples. Each class has its share, rounded down or up, and
// at least one sample where there is room for all classes; which ones says a keyed shuffle.
std::vector<int64_t> stratified_part(const std::vector<int64_t>& labels, int64_t count, uint64_t seed = 0);

// The rest of [0, size): `part` is sorted.
std::vector<int64_t> without(const std::vector<int64_t>& part, int64_t size);

std::vector<int64_t> labels_of(const DataSet& set);
int64_t classes_present(const DataSet& set);  // different labels that occur

// The data set itself where it has no more than `count` samples.
DataSetPtr part_of(const DataSetPtr& set, int64_t count, uint64_t seed = 0);

}  // namespace demi::data
