#include "models/data_parallel.h"

#include "autograd/grad_mode.h"
#include "autograd/record.h"
#include "models/ema.h"
#include "runtime/copy.h"

namespace demi {

Sharding parse_sharding(std::string_view text) {
    for (Sharding s : {Sharding::none, Sharding::grad_op, Sharding::full})
        if (text == name(s)) return s;
    fail("sharding", "needs none, grad_op or full: got '", text, "'");
}

const char* name(Sharding sharding) {
    return sharding == Sharding::none ? "none" : sharding == Sharding::grad_op ? "grad_op" : "full";
}

DataParallel::DataParallel(const Communicator& world, const ParallelOptions& options,
                           const std::vector<std::pair<std::string, Variable*>>& parameters)
    : world_(world), options_(options),
      model_(parameters, world, options.shards, options.sharding == Sharding::full) {
    parameters_ = model_.segments(own_pieces());
    const int64_t each = options.shards / world.size();
    // Whole subtrees of the sum on a rank where gradients stay there until the end of the step; where pieces are
    // reduced at once, shards that are computed at the same time follow one another.
    for (int64_t i = 0; i < each; ++i)
        own_.push_back(options.sharding == Sharding::full ? i * world.size() + world.rank()
                                                          : world.rank() * each + i);
    const int64_t first = options.sharding == Sharding::full ? 0 : own_[0];
    sums_.assign(model_.units().size(), TreeSum(first));
    reduced_.resize(model_.units().size());
    held_grads_.resize(model_.units().size());
    present_.assign(model_.entries().size(), 0);
}

DataParallel::~DataParallel() = default;

void DataParallel::add_average(const std::vector<std::pair<std::string, Variable*>>& parameters) {
    average_ = std::make_unique<FlatModel>(parameters, world_, options_.shards, own_pieces());
    average_parameters_ = average_->segments(own_pieces());
    check(average_parameters_.size() == parameters_.size(), "data_parallel",
          "the average must have the model's parameters: got ", average_parameters_.size(), " for ",
          parameters_.size());
}

Tensor DataParallel::over_shards(const Tensor& own) const {
    const auto count = static_cast<int64_t>(own_.size());
    check(own.defined() && own.rank() == 2 && own.size(0) == count, "over_shards",
          "needs a row for each of the ", count, " shards of this rank: got ", own);
    const Tensor all = world_.all_gather(own);
    if (options_.sharding != Sharding::full) return all;
    const int64_t columns = own.size(1);  // [rank, turn] to [turn, rank]
    return all.view({world_.size(), count, columns}).transpose(0, 1).reshape({options_.shards, columns});
}

void DataParallel::take_gradient(size_t unit, const Tensor& flat) {
    if (options_.sharding != Sharding::full) return sums_[unit].add(flat);
    const Tensor pieces = world_.all_to_all(flat);
    const int64_t length = flat.numel() / world_.size();
    for (int r = 0; r < world_.size(); ++r)
        sums_[unit].add(world_.size() == 1 ? pieces : pieces.slice(0, r * length, (r + 1) * length).clone());
}

// Undefined gradients count as zeros, and so does the memory between parameters.
Tensor DataParallel::flat_gradient(size_t unit, const Tensors& grads) {
    const FlatModel::Unit& u = model_.units()[unit];
    Tensor flat = Tensor::empty({u.total}, DType::f32, u.piece.device());
    const Tensors to = model_.views(unit, flat);
    int64_t written = 0;
    for (size_t k = 0; k < grads.size(); ++k) {
        if (!grads[k].defined()) continue;
        const FlatModel::Entry& e = model_.entries()[u.entries[k]];
        fill(flat.slice(0, written, e.at), 0);
        copy(to[k], grads[k]);
        written = e.at + e.count;
        present_[u.entries[k]] = 1;
    }
    fill(flat.slice(0, written, u.total), 0);
    return flat;
}

void DataParallel::begin_shard() {
    for (size_t unit = 0; model_.sharded() && unit < model_.units().size(); ++unit)
        if (!model_.units()[unit].block) gather(model_, unit);
}

// A unit's parameters become the results of an op whose backward reduces their gradients.
void DataParallel::gather(FlatModel& model, size_t unit) {
    const FlatModel::Unit& u = model.units()[unit];
    const Tensor whole = model.gather_unit(unit);
    const Tensors views = model.views(unit, whole);
    if (&model != &model_ || !grad_enabled()) return model.set_places(unit, {views.begin(), views.end()});
    std::vector<Variable> values =
        record("gather_unit", {Variable(u.piece, true)}, views,
               [this, unit](std::span<const Tensor> grads, const Needs&) -> Tensors {
                   const Tensor flat = flat_gradient(unit, {grads.begin(), grads.end()});
                   if (model_.units()[unit].block)
                       take_gradient(unit, flat);
                   else
                       held_grads_[unit] = flat;
                   return {Tensor()};
               });
    for (size_t k = 0; k < values.size(); ++k)
        if (!model.entries()[u.entries[k]].requires_grad) values[k] = values[k].detach();
    model.set_places(unit, values);
}

void DataParallel::enter(const void* begin, const void* end) {
    for (FlatModel* model : {&model_, average_.get()}) {
        if (model == nullptr || !model->sharded()) continue;
        const size_t unit = model->unit_at(begin, end);
        if (unit < model->units().size()) gather(*model, unit);
    }
}

// The memory goes, and comes back when the backward of the unit begins; what the graph has saved are views of it.
void DataParallel::leave(const void* begin, const void* end, const std::vector<Variable>& results) {
    for (FlatModel* model : {&model_, average_.get()}) {
        if (model == nullptr || !model->sharded()) continue;
        const size_t unit = model->unit_at(begin, end);
        if (unit >= model->units().size()) continue;
        const FlatModel::Unit& u = model->units()[unit];
        const Tensor view = model->entries()[u.entries[0]].place->value();
        model->set_places(unit, std::vector<Variable>(u.entries.size()));
        bool recorded = false;
        for (Variable result : results) {
            if (!result.requires_grad() || result.is_leaf()) continue;
            recorded = true;
            result.register_hook([this, unit, buffer = std::weak_ptr<Buffer>(view.buffer())](const Tensor&) {
                const auto memory = buffer.lock();
                if (!memory || !memory->dropped()) return;
                memory->restore();
                const Tensor whole = model_.gather_unit(unit);
                memory->fill_restored(whole.raw(), static_cast<size_t>(whole.numel()) * sizeof(float));
            });
        }
        if (recorded) view.buffer()->drop();
    }
}

void DataParallel::end_shard() {
    check(++ended_ <= own_.size(), "data_parallel", "this rank has ", own_.size(),
          " shards in a step: got more");
    for (size_t unit = 0; unit < model_.units().size(); ++unit) {
        const FlatModel::Unit& u = model_.units()[unit];
        if (!model_.sharded()) {
            Tensors grads;
            for (size_t e : u.entries) {
                const Variable& p = *model_.entries()[e].place;
                grads.push_back(p.requires_grad() ? p.grad() : Tensor());
            }
            take_gradient(unit, flat_gradient(unit, grads));
            for (size_t e : u.entries) model_.entries()[e].place->zero_grad();
        } else if (!u.block) {
            Tensor flat = std::exchange(held_grads_[unit], Tensor());
            take_gradient(unit, flat.defined() ? flat : flat_gradient(unit, {}));
            model_.set_places(unit, std::vector<Variable>(u.entries.size()));
        }
    }
}

void DataParallel::begin_average() {
    for (size_t unit = 0; average_ && average_->sharded() && unit < average_->units().size(); ++unit)
        if (!average_->units()[unit].block) gather(*average_, unit);
}

void DataParallel::end_average() {
    for (size_t unit = 0; average_ && average_->sharded() && unit < average_->units().size(); ++unit)
        if (!average_->units()[unit].block)
            average_->set_places(unit, std::vector<Variable>(average_->units()[unit].entries.size()));
}

void DataParallel::update_average(double decay) {
    check(average_ != nullptr, "data_parallel", "there is no average: say add_average() first");
    ema_update(average_parameters_, parameters_, decay);
}

}  // namespace demi
