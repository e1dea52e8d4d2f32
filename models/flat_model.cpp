#include "models/flat_model.h"

#include <algorithm>
#include <map>

#include "runtime/copy.h"

namespace demi {
namespace {

constexpr int64_t kAlign = 16;  // elements: 64 bytes

int64_t aligned(int64_t count) { return (count + kAlign - 1) / kAlign * kAlign; }

// "backbone.blocks.3.", "dino_head.", or "" for the rest.
std::string unit_name(const std::string& name) {
    const size_t at = name.find("blocks.");
    if (at != std::string::npos && (at == 0 || name[at - 1] == '.')) {
        size_t end = at + 7;
        const auto number = [&](size_t from) {  // behind a number and a dot; npos for anything else
            size_t to = from;
            while (to < name.size() && name[to] >= '0' && name[to] <= '9') ++to;
            return to > from && to < name.size() && name[to] == '.' ? to + 1 : std::string::npos;
        };
        for (size_t next = number(end); next != std::string::npos; next = number(end)) end = next;
        return name.substr(0, end);
    }
    const std::string first = name.substr(0, name.find('.') + 1);
    return first.ends_with("_head.") ? first : "";
}

}  // namespace

FlatModel::FlatModel(const std::vector<std::pair<std::string, Variable*>>& parameters,
                     const Communicator& world, int64_t shards, bool sharded)
    : world_(world), shards_(shards), sharded_(sharded) {
    check(shards >= 1 && shards <= int64_t{1} << 20 && shards % world.size() == 0, "flat_model",
          "the number of shards must be a multiple of the ", world.size(), " ranks, at most 2^20: got ",
          shards);
    check(!parameters.empty(), "flat_model", "there are no parameters");
    std::map<std::string, size_t> known;
    for (const auto& [name, place] : parameters) {
        check(place != nullptr && place->defined() && place->dtype() == DType::f32, "flat_model", "'", name,
              "' must be an f32 parameter: got ", place == nullptr ? Tensor() : place->value());
        const std::string unit = unit_name(name);
        const auto [found, fresh] = known.try_emplace(unit, units_.size());
        if (fresh) units_.emplace_back().block = unit.find("blocks.") != std::string::npos;
        Unit& u = units_[found->second];
        u.entries.push_back(entries_.size());
        entries_.push_back(
            {name, place->shape(), found->second, u.total, place->numel(), place->requires_grad(), place});
        u.total += aligned(place->numel());
    }
    const Device device = parameters[0].second->device();
    for (size_t i = 0; i < units_.size(); ++i) {
        Unit& u = units_[i];
        u.total = aligned((u.total + shards - 1) / shards) * shards;
        u.whole = Tensor::zeros({u.total}, DType::f32, device);
        const Tensors to = views(i, u.whole);
        std::vector<Variable> leaves;
        for (size_t k = 0; k < to.size(); ++k) {
            const Entry& entry = entries_[u.entries[k]];
            copy(to[k], entry.place->value());
            leaves.push_back(entry.requires_grad ? Variable(to[k], true) : Variable(to[k]));
        }
        set_places(i, leaves);
        const int64_t length = u.total / world.size();
        u.piece = u.whole.slice(0, world.rank() * length, (world.rank() + 1) * length);
        if (!sharded) continue;
        u.piece = u.piece.clone();
        set_places(i, std::vector<Variable>(to.size()));
        u.whole = Tensor();
    }
}

std::pair<int64_t, int64_t> FlatModel::part(const Entry& entry, int rank) const {
    const int64_t length = units_[entry.unit].total / world_.size();
    const auto within = [&](int64_t at) { return std::clamp(at - entry.at, int64_t{0}, entry.count); };
    return {within(rank * length), within((rank + 1) * length)};
}

NamedParameters FlatModel::segments(bool own_pieces) const {
    check(own_pieces || !sharded_, "flat_model", "a sharded model has its own pieces only");
    NamedParameters all;
    for (const Entry& entry : entries_) {
        const Unit& unit = units_[entry.unit];
        auto [begin, end] = own_pieces ? part(entry, world_.rank()) : std::pair(int64_t{0}, entry.count);
        if (begin == end && entry.count > 0) continue;
        const int64_t first = own_pieces ? world_.rank() * (unit.total / world_.size()) : 0;
        const Tensor view =
            (own_pieces ? unit.piece : unit.whole).slice(0, entry.at + begin - first, entry.at + end - first);
        Variable leaf = Variable(view, true);
        if (!entry.requires_grad) leaf.requires_grad_(false);
        all.emplace_back(entry.name, leaf);
    }
    return all;
}

size_t FlatModel::unit_at(const void* begin, const void* end) const {
    for (const Entry& entry : entries_)
        if (entry.place >= begin && entry.place < end) return entry.unit;
    return units_.size();
}

Tensors FlatModel::views(size_t unit, const Tensor& whole) const {
    Tensors views;
    for (size_t e : units_[unit].entries) {
        const Entry& entry = entries_[e];
        views.push_back(whole.slice(0, entry.at, entry.at + entry.count).view(entry.shape));
    }
    return views;
}

void FlatModel::set_places(size_t unit, const std::vector<Variable>& values) {
    for (size_t k = 0; k < values.size(); ++k) *entries_[units_[unit].entries[k]].place = values[k];
}

Tensor FlatModel::gather_unit(size_t unit) const { return world_.all_gather(units_[unit].piece); }

void FlatModel::gather_all() {
    for (Unit& unit : units_)
        if (unit.whole.defined()) world_.all_gather_into(unit.whole, unit.piece);
}

Tensor FlatModel::collect(const Entry& entry, const Tensor& segment, bool own_pieces) const {
    if (!own_pieces) return segment.reshape(entry.shape);
    std::vector<int64_t> counts;
    for (int r = 0; r < world_.size(); ++r) {
        const auto [begin, end] = part(entry, r);
        counts.push_back(end - begin);
    }
    const Device device = units_[entry.unit].piece.device();
    const Tensor own = segment.defined() ? segment : Tensor::empty({0}, DType::f32, device);
    const Tensor all = world_.gather(own, counts);
    return all.defined() ? all.view(entry.shape) : all;
}

Tensor FlatModel::collect(const Entry& entry) const {
    const Unit& unit = units_[entry.unit];
    if (unit.whole.defined()) return unit.whole.slice(0, entry.at, entry.at + entry.count).view(entry.shape);
    const auto [begin, end] = part(entry, world_.rank());
    const int64_t first = world_.rank() * (unit.total / world_.size());
    if (begin == end) return collect(entry, Tensor(), true);
    return collect(entry, unit.piece.slice(0, entry.at + begin - first, entry.at + end - first), true);
}

void FlatModel::store(const Entry& entry, const Tensor& values) {
    const Unit& unit = units_[entry.unit];
    const Tensor flat = values.reshape({entry.count});
    if (unit.whole.defined()) copy(unit.whole.slice(0, entry.at, entry.at + entry.count), flat);
    if (!sharded_) return;
    const auto [begin, end] = part(entry, world_.rank());
    const int64_t first = world_.rank() * (unit.total / world_.size());
    if (begin < end)
        copy(unit.piece.slice(0, entry.at + begin - first, entry.at + end - first),
             flat.slice(0, begin, end));
}

FlatModel::Whole::Whole(FlatModel& model) : model_(model) {
    for (size_t i = 0; model.sharded_ && i < model.units_.size(); ++i) {
        model.units_[i].whole = model.gather_unit(i);
        const Tensors views = model.views(i, model.units_[i].whole);
        model.set_places(i, {views.begin(), views.end()});
    }
}

FlatModel::Whole::~Whole() {
    for (size_t i = 0; model_.sharded_ && i < model_.units_.size(); ++i) {
        model_.set_places(i, std::vector<Variable>(model_.units_[i].entries.size()));
        model_.units_[i].whole = Tensor();
    }
}

}  // namespace demi
