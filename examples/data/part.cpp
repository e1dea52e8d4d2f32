#include "examples/data/part.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "examples/data/keyed_rng.h"
#include "examples/data/stored.h"
#include "runtime/check.h"

namespace demi::data {
namespace {

struct Quota {
    int64_t label = 0, have = 0, taken = 0;
    double missing = 0;  // to the exact share
    uint32_t tie = 0;
};

// Shares by largest remainder.
std::vector<Quota> quotas(const std::vector<std::vector<int64_t>>& classes, int64_t count, int64_t total,
                          uint64_t seed) {
    std::vector<Quota> all;
    for (size_t c = 0; c < classes.size(); ++c)
        if (!classes[c].empty()) all.push_back({static_cast<int64_t>(c), std::ssize(classes[c])});
    int64_t left = count;
    for (Quota& q : all) {
        const double share =
            static_cast<double>(count) * static_cast<double>(q.have) / static_cast<double>(total);
        q.taken = std::min(static_cast<int64_t>(share), q.have);
        if (count >= std::ssize(all)) q.taken = std::max<int64_t>(q.taken, 1);
        q.missing = share - static_cast<double>(q.taken);
        q.tie = KeyedRng(seed, Purpose::part, 0, static_cast<uint64_t>(q.label)).bits();
        left -= q.taken;
    }
    std::sort(all.begin(), all.end(), [](const Quota& a, const Quota& b) {
        return a.missing != b.missing ? a.missing > b.missing : a.tie < b.tie;
    });
    while (left > 0)
        for (size_t i = 0; i < all.size() && left > 0; ++i)
            if (all[i].taken < all[i].have) ++all[i].taken, --left;
    while (left < 0)  // small classes got their one sample: the large ones give it
        for (size_t i = all.size(); i-- > 0 && left < 0;)
            if (all[i].taken > 1) --all[i].taken, ++left;
    return all;
}

}  // namespace

std::vector<int64_t> stratified_part(const std::vector<int64_t>& labels, int64_t count, uint64_t seed) {
    check(count >= 0, "data", "a part has 0 or more samples, got ", count);
    const auto total = std::ssize(labels);
    std::vector<int64_t> part;
    if (count >= total) {
        part.resize(labels.size());
        std::iota(part.begin(), part.end(), int64_t{0});
        return part;
    }
    std::vector<std::vector<int64_t>> classes;
    for (int64_t i = 0; i < total; ++i) {
        const auto label = static_cast<size_t>(labels[static_cast<size_t>(i)]);
        if (label >= classes.size()) classes.resize(label + 1);
        classes[label].push_back(i);
    }
    for (const Quota& q : quotas(classes, count, total, seed)) {
        std::vector<int64_t>& members = classes[static_cast<size_t>(q.label)];
        KeyedRng rng(seed, Purpose::part, 1, static_cast<uint64_t>(q.label));
        for (int64_t i = 0; i < q.taken; ++i) {
            std::swap(members[static_cast<size_t>(i)],
                      members[static_cast<size_t>(i + rng.below(q.have - i))]);
            part.push_back(members[static_cast<size_t>(i)]);
        }
    }
    std::sort(part.begin(), part.end());
    return part;
}

std::vector<int64_t> without(const std::vector<int64_t>& part, int64_t size) {
    std::vector<int64_t> rest;
    size_t at = 0;
    for (int64_t i = 0; i < size; ++i) {
        if (at < part.size() && part[at] == i)
            ++at;
        else
            rest.push_back(i);
    }
    return rest;
}

std::vector<int64_t> labels_of(const DataSet& set) {
    std::vector<int64_t> labels(static_cast<size_t>(set.size()));
    for (size_t i = 0; i < labels.size(); ++i) labels[i] = set.label(static_cast<int64_t>(i));
    return labels;
}

int64_t classes_present(const DataSet& set) {
    const std::vector<int64_t> labels = labels_of(set);
    return std::ssize(std::set<int64_t>(labels.begin(), labels.end()));
}

DataSetPtr part_of(const DataSetPtr& set, int64_t count, uint64_t seed) {
    return !set || count >= set->size() ? set : subset(set, stratified_part(labels_of(*set), count, seed));
}

}  // namespace demi::data
