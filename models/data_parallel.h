#pragma once
// Training on the ranks of a job, with the same bits on any number of them. A step's batch is cut into S shards in the
// order of the data; forward and backward run shard by shard, so that every product has the same shape wherever it
// runs, and each rank takes S / R of them. Gradients are added over shards in a fixed binary tree by their numbers
// (runtime/comm/tree_sum.h), and so is everything else that looks at the whole batch.
//
//   none      parameters, gradients and moments on every rank
//   grad_op   each rank reduces and updates its own piece of every unit (a block; a head; the rest): moments and
//             averages exist once in the job; parameters are gathered after the step
//   full      parameters, too, exist once in the job: a block is gathered while it computes, and again in backward;
//             its gradient is reduced to the pieces at once. Heads and the rest are gathered for a shard.
//
//   DataParallel parallel(world, {.shards = 4, .sharding = Sharding::full}, model);
//   Optimizer optimizer(parallel.parameters(), parameter_options(parallel.parameters(), rules));
//   for (...) {
//       for (int64_t shard : parallel.own_shards()) {
//           parallel.begin_shard();
//           scaler.backward(loss_of(shard));       // the mean over the shard; context.units = &parallel
//           parallel.end_shard();
//       }
//       parallel.step(optimizer, scaler, {.lr = 1e-3, .clip_grad = 1});
//   }
//
// All ranks must make the same calls in the same order.
#include "models/context.h"
#include "models/flat_model.h"
#include "models/grad_scaler.h"
#include "runtime/comm/tree_sum.h"

namespace demi {

enum class Sharding { none, grad_op, full };
Sharding parse_sharding(std::string_view text);  // "none", "grad_op", "full"
const char* name(Sharding sharding);

struct ParallelOptions {
    int64_t shards = 1;  // S; a multiple of the number of ranks
    Sharding sharding = Sharding::none;
};

class DataParallel : public UnitScope {
  public:
    // The model's parameters move to flat memory and become new leaves: lists that were made before are stale.
    // It must be on its device, must outlive this and stay where it is, and hold f32 parameters.
    template <class Model>
    DataParallel(const Communicator& world, const ParallelOptions& options, Model& model)
        : DataParallel(world, options, places_of(model)) {}
    DataParallel(const Communicator& world, const ParallelOptions& options,
                 const std::vector<std::pair<std::string, Variable*>>& parameters);
    ~DataParallel() override;

    // A second model that is not trained but averaged (a teacher): sharded as the moments are.
    template <class Model> void add_average(Model& model) { add_average(places_of(model)); }
    void add_average(const std::vector<std::pair<std::string, Variable*>>& parameters);

    const Communicator& world() const { return world_; }
    const ParallelOptions& options() const { return options_; }
    // The numbers of the shards that this rank takes, in the order in which it must.
    const std::vector<int64_t>& own_shards() const { return own_; }
    // For the optimizer: all parameters, or the parts that this rank updates. Under the model's names.
    const NamedParameters& parameters() const { return parameters_; }
    FlatModel& model() { return model_; }
    FlatModel* average() { return average_.get(); }
    bool own_pieces() const { return options_.sharding != Sharding::none; }

    void begin_shard();    // before the forward of one
    void end_shard();      // after its backward: takes the gradients
    void begin_average();  // before and after a forward of the average
    void end_average();
    void enter(const void* begin, const void* end) override;
    void leave(const void* begin, const void* end, const std::vector<Variable>& results) override;

    // Gradients are reduced, unscaled, clipped by rates.clip_grad (rates.clip_groups: of consecutive parameters of
    // the model), and a step is taken, or none where one of them is infinite or NaN. The norm is that of the mean
    // over the shards.
    StepOutcome step(Optimizer& optimizer, GradScaler& scaler, const StepRates& rates);
    void update_average(double decay);  // average = decay * average + (1 - decay) * parameter

    // Numbers of each own shard, to those of all shards in order: f64 [S, columns] from [own, columns].
    Tensor over_shards(const Tensor& own) const;

  private:
    template <class Model> static std::vector<std::pair<std::string, Variable*>> places_of(Model& model) {
        std::vector<std::pair<std::string, Variable*>> places;
        model.visit("", [&](const std::string& name, Variable& p) { places.emplace_back(name, &p); });
        return places;
    }
    struct InUse;
    void gather(FlatModel& model, size_t unit);
    void take_gradient(size_t unit, const Tensor& flat);
    Tensor flat_gradient(size_t unit, const Tensors& grads);
    void reduce();
    std::vector<Tensor> norms(const std::vector<size_t>& groups);
    GradFactors factors(const StepRates& rates, double multiplier, StepOutcome& outcome);

    Communicator world_;
    ParallelOptions options_;
    FlatModel model_;
    std::unique_ptr<FlatModel> average_;
    NamedParameters parameters_, average_parameters_;
    std::vector<int64_t> own_;
    size_t ended_ = 0;                // shards of this step
    std::vector<TreeSum> sums_;       // per unit; in `full`, of the own pieces of all shards
    std::vector<Tensor> reduced_;     // per unit: the own piece of the sum over shards
    std::vector<Tensor> held_grads_;  // full: of units that are no block, until the end of the shard
    std::vector<uint8_t> present_;    // per entry: whether any shard so far gave a gradient
};

}  // namespace demi
