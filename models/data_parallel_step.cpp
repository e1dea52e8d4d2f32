// The end of a step: gradients become one, and a step is taken.
#include <algorithm>
#include <cmath>

#include "models/data_parallel.h"
#include "ops/optimizer/grad_norm.h"

namespace demi {

// The own piece of each unit's sum over all shards.
void DataParallel::reduce() {
    if (options_.sharding == Sharding::full) {
        for (size_t unit = 0; unit < sums_.size(); ++unit) reduced_[unit] = sums_[unit].take();
        sums_.assign(sums_.size(), TreeSum());
        return;
    }
    const int64_t each = static_cast<int64_t>(own_.size());
    std::vector<std::vector<int64_t>> sizes;
    size_t most = 0;
    for (int64_t r = 0; r < world_.size(); ++r) {
        sizes.push_back(TreeSum::block_sizes(r * each, (r + 1) * each));
        most = std::max(most, sizes.back().size());
    }
    for (size_t unit = 0; unit < sums_.size(); ++unit) {
        const int64_t total = model_.units()[unit].total, length = total / world_.size();
        std::vector<Tensor> blocks = sums_[unit].take_blocks();
        std::vector<Tensor> came;
        for (size_t b = 0; b < most; ++b) {  // ranks have more or fewer where S / R is no power of two
            if (b >= blocks.size()) blocks.push_back(Tensor::zeros({total}, DType::f32, blocks[0].device()));
            came.push_back(world_.size() == 1 ? blocks[b] : world_.all_to_all(blocks[b]));
            blocks[b] = Tensor();
            if (b == 0) blocks[0] = came[0];  // for its device
        }
        TreeSum sum;
        for (size_t r = 0; r < sizes.size(); ++r)
            for (size_t b = 0; b < sizes[r].size(); ++b)
                sum.add(
                    came[b].slice(0, static_cast<int64_t>(r) * length, static_cast<int64_t>(r + 1) * length),
                    sizes[r][b]);
        reduced_[unit] = sum.take();
    }
    sums_.assign(sums_.size(), TreeSum(own_[0]));
}

// Norms of the groups and the factor of all gradients. The norm of a unit is put together from those of its slices, in
// order, which do not depend on the number of ranks.
GradFactors DataParallel::factors(const StepRates& rates, double multiplier, StepOutcome& outcome) {
    std::vector<size_t> group_of(model_.entries().size(), 0);
    size_t groups = 1, at = 0;
    for (size_t g = 0; g < rates.clip_groups.size(); ++g, groups = g)
        for (size_t i = 0; i < rates.clip_groups[g]; ++i, ++at) {
            check(at < group_of.size(), "data_parallel", "clip_groups hold more than the ", group_of.size(),
                  " parameters");
            group_of[at] = g;
        }
    groups = std::max<size_t>(groups, 1);
    std::vector<std::vector<Tensor>> slices;
    for (size_t unit = 0; unit < reduced_.size(); ++unit)
        for (int64_t i = 0; i < static_cast<int64_t>(own_.size()); ++i)
            slices.push_back({reduced_[unit].slice(0, i * model_.slice(unit), (i + 1) * model_.slice(unit))});
    std::vector<double> own;
    const Device device = reduced_[0].device();
    for (size_t begin = 0; begin < slices.size(); begin += 64) {
        const size_t count = std::min<size_t>(64, slices.size() - begin);
        const std::vector<double> some = grad_factors(std::span(slices).subspan(begin, count), 1.0, 0, device)
                                             .select(0, 0)
                                             .to_vector<double>();
        own.insert(own.end(), some.begin(), some.end());
    }
    const std::vector<double> all =
        world_.all_gather(Tensor::from(own, {static_cast<int64_t>(own.size())})).to_vector<double>();
    std::vector<double> squares(groups, 0);
    const size_t each = own_.size(), units = reduced_.size();
    for (size_t unit = 0; unit < units; ++unit) {
        const FlatModel::Unit& u = model_.units()[unit];
        const size_t group = group_of[u.entries[0]];
        for (size_t e : u.entries)
            check(group_of[e] == group, "data_parallel", "a unit must lie in one group of clip_groups: '",
                  model_.entries()[e].name, "' does not");
        for (size_t r = 0; r < static_cast<size_t>(world_.size()); ++r)
            for (size_t i = 0; i < each; ++i) {
                const double norm = all[(r * units + unit) * each + i] * multiplier;
                squares[group] += norm * norm;
            }
    }
    std::vector<double> values(2 * groups);
    double total = 0;
    for (size_t g = 0; g < groups; ++g) {
        values[g] = std::sqrt(squares[g]);
        total += squares[g];
        values[groups + g] =
            multiplier * (rates.clip_grad > 0 ? std::min(1.0, rates.clip_grad / (values[g] + 1e-6)) : 1);
    }
    outcome.norm = std::sqrt(total);
    outcome.taken = std::isfinite(outcome.norm);
    if (!outcome.taken)
        std::fill(values.begin() + static_cast<std::ptrdiff_t>(groups), values.end(), std::nan(""));
    GradFactors result;
    result.values = Tensor::from(values, {2, static_cast<int64_t>(groups)}, device);
    size_t entry = 0;
    for (const auto& [name, parameter] : parameters_) {
        while (model_.entries()[entry].name != name) ++entry;
        result.group_of.push_back(group_of[entry]);
    }
    return result;
}

StepOutcome DataParallel::step(Optimizer& optimizer, GradScaler& scaler, const StepRates& rates) {
    check(!rates.factors.values.defined() && rates.grad_multipliers.empty(), "data_parallel",
          "unscales itself: StepRates::factors and grad_multipliers are not for it");
    check(ended_ == own_.size(), "data_parallel", "a step takes the ", own_.size(),
          " shards of this rank: got ", ended_);
    ended_ = 0;
    reduce();
    const auto entries = static_cast<int64_t>(present_.size());
    const std::vector<uint8_t> flags =
        world_.all_gather(Tensor::from(present_, {entries})).to_vector<uint8_t>();
    for (size_t i = 0; i < flags.size(); ++i) present_[i % present_.size()] |= flags[i];
    check(std::count(present_.begin(), present_.end(), 0) < entries, "data_parallel",
          "no parameter has a gradient: was backward() called between begin_shard() and end_shard()?");

    StepOutcome outcome;
    StepRates factored = rates;
    factored.clip_grad = 0;
    factored.clip_groups = {};
    factored.may_be_empty = true;
    factored.factors = factors(rates, scaler.inverse() / static_cast<double>(options_.shards), outcome);
    size_t entry = 0;
    std::vector<Tensor> whole(reduced_.size());
    for (auto& [name, parameter] : parameters_) {
        while (model_.entries()[entry].name != name) ++entry;
        const FlatModel::Entry& e = model_.entries()[entry];
        if (present_[entry] == 0) continue;
        if (!own_pieces() && !whole[e.unit].defined())
            whole[e.unit] = world_.all_gather(std::exchange(reduced_[e.unit], Tensor()));
        const auto [begin, end] =
            own_pieces() ? model_.part(e, world_.rank()) : std::pair(int64_t{0}, e.count);
        const int64_t length = model_.units()[e.unit].total / world_.size();
        const int64_t first = own_pieces() ? world_.rank() * length : 0;
        parameter.set_grad((own_pieces() ? reduced_[e.unit] : whole[e.unit])
                               .slice(0, e.at + begin - first, e.at + end - first));
    }
    optimizer.step(factored);
    if (!outcome.taken) optimizer.take_back();
    scaler.update(!outcome.taken);
    optimizer.zero_grad();
    std::fill(reduced_.begin(), reduced_.end(), Tensor());
    std::fill(present_.begin(), present_.end(), uint8_t{0});
    if (options_.sharding == Sharding::grad_op) model_.gather_all();
    return outcome;
}

}  // namespace demi
