#include "models/pretrained/teacher.h"

#include <set>

#include "autograd/grad_mode.h"
#include "ops/elementwise/functions.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "runtime/copy.h"

namespace demi {
namespace {

class HeadReader {
  public:
    HeadReader(const Pretrained& weights, std::string prefix)
        : weights_(weights), prefix_(std::move(prefix)) {}

    bool any() const {
        const auto& heads = weights_.names().heads;
        const auto found = heads.lower_bound(prefix_);
        return found != heads.end() && found->first.starts_with(prefix_);
    }
    static constexpr int64_t kAny = -1;
    // f32 of this name and these sizes; undefined where there is none.
    Tensor find(const std::string& name, const std::vector<int64_t>& sizes) {
        const auto found = weights_.names().heads.find(prefix_ + name);
        if (found == weights_.names().heads.end()) return {};
        used_.insert(found->first);
        const Tensor t = weights_.file().load(found->second);
        const auto fits = [&] {
            if (t.rank() != static_cast<int>(sizes.size()) || !is_float(t.dtype())) return false;
            for (int d = 0; d < t.rank(); ++d)
                if (const int64_t size = sizes[static_cast<size_t>(d)];
                    size == kAny ? t.size(d) < 1 : t.size(d) != size)
                    return false;
            return true;
        };
        if (!fits()) refuse("'", found->second, "' is ", t, ", no part of an MLP of that width");
        check(all_finite(t), "checkpoint", "'", weights_.file().path(), "': '", found->second,
              "' holds NaN or infinity");
        return t.to(DType::f32);
    }
    template <class... Parts> [[noreturn]] void refuse(const Parts&... parts) const {
        fail("checkpoint", "'", weights_.file().path(), "': its head ", prefix_,
             " is none of DINO's: ", parts...);
    }
    // Nothing of the head may be left over: a batch norm, ...
    void finish() const {
        std::vector<std::string> rest;
        for (const auto& [name, in_file] : weights_.names().heads)
            if (name.starts_with(prefix_) && !used_.contains(name)) rest.push_back(in_file);
        if (!rest.empty()) refuse("there is no place for ", list_names(rest));
    }

  private:
    const Pretrained& weights_;
    std::string prefix_;
    std::set<std::string> used_;
};

// Rows' lengths: y = x (g v / |v|)^T is then y = x v^T.
Tensor lengths(const Tensor& rows) {
    const NoGrad no_grad;
    const Variable v(rows);
    return sqrt(sum(v * v, {1}, true)).value();
}

DINOHead read_head(const Pretrained& weights, const std::string& prefix) {
    HeadReader reader(weights, prefix);
    DINOHead head;
    if (!reader.any()) return head;
    constexpr int64_t kAny = HeadReader::kAny;
    int64_t width = weights.config().width;
    const auto add = [&](const std::string& name) {
        const Tensor weight = reader.find(name + ".weight", {kAny, width});
        if (!weight.defined()) return false;
        Tensor bias = reader.find(name + ".bias", {weight.size(0)});
        if (!bias.defined()) bias = Tensor::zeros({weight.size(0)});
        Linear layer;
        layer.weight = Variable(weight);
        layer.bias = Variable(bias);
        head.mlp.push_back(layer);
        width = weight.size(0);
        return true;
    };
    if (!add("mlp"))
        for (int i = 0; add("mlp." + std::to_string(i)); i += 2) {
        }
    if (head.mlp.empty()) reader.refuse("it has no mlp");
    const Tensor plain = reader.find("last_layer.weight", {kAny, width});
    const Tensor rows = plain.defined() ? plain : reader.find("last_layer.weight_v", {kAny, width});
    if (!rows.defined()) reader.refuse("it has no last layer");
    const Tensor length =
        plain.defined() ? lengths(rows) : reader.find("last_layer.weight_g", {rows.size(0), 1});
    if (!length.defined()) reader.refuse("its last layer has no weight_g");
    head.weight_g = Variable(length);
    head.weight_v = Variable(rows);
    reader.finish();
    return head;
}

}  // namespace

FrozenTeacher load_teacher(const Pretrained& weights, bool partial) {
    FrozenTeacher teacher;
    Generator generator;
    {
        std::optional<SkipInit> skip;
        if (!partial) skip.emplace();
        teacher.backbone = DinoVisionTransformer(vit_config(weights.config()), generator);
    }
    load_pretrained(parameters_of(teacher.backbone), weights, partial);
    teacher.dino_head = read_head(weights, "dino_head.");
    if (teacher.has_heads()) teacher.ibot_head = read_head(weights, "ibot_head.");
    return teacher;
}

}  // namespace demi
