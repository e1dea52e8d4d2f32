#pragma once
// A model's parameters in flat memory, unit by unit (a block; a head; the rest), so that the ranks of a job can hold
// a part each. A unit's memory is cut into as many equal slices as the batch has shards, whatever the number of
// ranks: rank r of R holds slices [r S / R, (r + 1) S / R), its piece. f32, on one device.
#include "models/parameter.h"
#include "runtime/comm/communicator.h"
#include "runtime/non_copyable.h"

namespace demi {

class FlatModel {
  public:
    struct Entry {
        std::string name;
        Shape shape;
        size_t unit;
        int64_t at, count;  // in the unit's memory
        bool requires_grad;
        Variable* place;  // in the model
    };
    struct Unit {
        std::vector<size_t> entries;
        bool block = false;  // brought into memory while it computes; the others for a whole pass
        int64_t total = 0;
        Tensor whole;  // all of it; undefined where it is sharded and not in use
        Tensor piece;  // of this rank: a view of `whole`, or memory of its own where it is sharded
    };

    // Moves the model's parameters there; they become new leaves. `sharded`: only the pieces stay.
    FlatModel(const std::vector<std::pair<std::string, Variable*>>& parameters, const Communicator& world,
              int64_t shards, bool sharded);

    const std::vector<Entry>& entries() const { return entries_; }
    const std::vector<Unit>& units() const { return units_; }
    bool sharded() const { return sharded_; }
    int64_t slice(size_t unit) const { return units_[unit].total / shards_; }
    // The elements of an entry that lie in a rank's piece, counted from the entry's first.
    std::pair<int64_t, int64_t> part(const Entry& entry, int rank) const;

    // What an optimizer or an average works on: the entries, or their parts in this rank's pieces, one-dimensional
    // leaves under the parameters' names.
    NamedParameters segments(bool own_pieces) const;
    // The unit whose struct lies there; entries().size() for none.
    size_t unit_at(const void* begin, const void* end) const;
    // A unit's memory as the parameters of the model: constants, or what `make` gives for the views.
    Tensors views(size_t unit, const Tensor& whole) const;
    void set_places(size_t unit, const std::vector<Variable>& values);
    // Sharded: from the pieces of all ranks. Not sharded: after the own pieces have changed.
    Tensor gather_unit(size_t unit) const;
    void gather_all();
    // While it lives, a sharded model is whole on this rank and may be used like any other one.
    class Whole;

    // An entry's values; where `segment` is given, of what has that part of it on this rank (a moment). Rank 0 gets
    // it, whole, with the entry's shape; all ranks must ask. `own_pieces` as in segments().
    Tensor collect(const Entry& entry, const Tensor& segment, bool own_pieces) const;
    Tensor collect(const Entry& entry) const;
    void store(const Entry& entry, const Tensor& values);  // whole, on all ranks

  private:
    std::vector<Entry> entries_;
    std::vector<Unit> units_;
    Communicator world_;
    int64_t shards_;
    bool sharded_;
};

class FlatModel::Whole : NonCopyable {
  public:
    explicit Whole(FlatModel& model);
    ~Whole();

  private:
    FlatModel& model_;
};

}  // namespace demi
