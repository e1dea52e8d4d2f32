#include "examples/data/part.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "examples/data/stored.h"
#include "examples/train/knn.h"
#include "tests/support/check_error.h"

using namespace demi;
using namespace demi::data;
using namespace demi::test;

namespace {

// Sorted by class, as folders and some files are.
std::vector<int64_t> sorted_labels(const std::vector<int64_t>& counts) {
    std::vector<int64_t> labels;
    for (size_t c = 0; c < counts.size(); ++c)
        labels.insert(labels.end(), static_cast<size_t>(counts[c]), static_cast<int64_t>(c));
    return labels;
}

std::vector<int64_t> counts_in(const std::vector<int64_t>& part, const std::vector<int64_t>& labels,
                               size_t classes) {
    std::vector<int64_t> counts(classes);
    for (const int64_t p : part) ++counts[static_cast<size_t>(labels[static_cast<size_t>(p)])];
    return counts;
}

}  // namespace

TEST_CASE("part: every class has its share, whatever the order of the samples") {
    const std::vector<int64_t> labels = sorted_labels({100, 100, 100, 100});
    for (const int64_t count : {4, 8, 40, 399})
        for (const int64_t have : counts_in(stratified_part(labels, count), labels, 4)) {
            CHECK(have >= count / 4);
            CHECK(have <= count / 4 + 1);
        }
    const std::vector<int64_t> uneven = sorted_labels({600, 300, 90, 10});
    CHECK(counts_in(stratified_part(uneven, 100), uneven, 4) == std::vector<int64_t>{60, 30, 9, 1});
    CHECK(counts_in(stratified_part(uneven, 4), uneven, 4) == std::vector<int64_t>{1, 1, 1, 1});
    const std::vector<int64_t> two = counts_in(stratified_part(labels, 2), labels, 4);
    CHECK(std::count(two.begin(), two.end(), 1) == 2);
}

TEST_CASE("part: sorted, without doubles, chosen by the seed, and the whole is the whole") {
    const std::vector<int64_t> labels = sorted_labels({50, 50});
    const std::vector<int64_t> part = stratified_part(labels, 20);
    CHECK(part.size() == 20);
    CHECK(std::is_sorted(part.begin(), part.end()));
    CHECK(std::adjacent_find(part.begin(), part.end()) == part.end());
    CHECK(part == stratified_part(labels, 20));
    CHECK(part != stratified_part(labels, 20, 1));
    CHECK(part.back() - part.front() > 20);
    CHECK(without(part, 100).size() == 80);
    CHECK(without(stratified_part(labels, 100), 100).empty());
    CHECK(stratified_part(labels, 1000).size() == 100);
    CHECK(stratified_part(labels, 0).empty());
    CHECK(has(error_of([&] { stratified_part(labels, -1); }), "got -1"));
}

TEST_CASE("part: of a data set") {
    Stored content{1, 1, 1, {}, sorted_labels({6, 6, 6}), {"a", "b", "c", "unused"}};
    for (uint8_t i = 0; i < 18; ++i) content.pixels.push_back(i);
    const DataSetPtr set = std::make_shared<StoredDataSet>(std::move(content), "here");
    CHECK(classes_present(*set) == 3);
    const DataSetPtr part = part_of(set, 3);
    CHECK(labels_of(*part) == std::vector<int64_t>{0, 1, 2});
    CHECK(part->fingerprint() != set->fingerprint());
    CHECK(part_of(set, 18) == set);
    CHECK(part_of(nullptr, 18) == nullptr);
}

// Three classes on one feature each, of which one needs the largest rate to come out; the
// rows are sorted by class.
TEST_CASE("linear probe: the order of the rows does not choose the learning rate") {
    Generator g{3};
    const int64_t per = 60, classes = 5, width = 16;
    const auto make = [&](int64_t n, bool shuffled) {
        examples::Features f;
        f.classes = classes;
        f.rows = Tensor::empty({n, width});
        normal(f.rows, g);
        float* row = f.rows.mutable_data<float>();
        const std::vector<int64_t> order = epoch_order(n, 1, 0);
        for (int64_t i = 0; i < n; ++i) {
            const int64_t label = (shuffled ? order[static_cast<size_t>(i)] : i) * classes / n;
            f.labels.push_back(label);
            row[i * width + label] += 3;
        }
        return f;
    };
    const examples::Features sorted = make(per * classes, false), mixed = make(per * classes, true);
    const examples::Features unseen = make(200, true);
    const double a = examples::linear_probe_accuracy(sorted, unseen),
                 b = examples::linear_probe_accuracy(mixed, unseen);
    CHECK(a > 0.85);
    CHECK(std::abs(a - b) < 0.06);
}
