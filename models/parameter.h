#pragma once
// Parameters are leaf Variables in plain structs. A struct lists them by visiting, under DINOv2's names:
//   void visit(const std::string& prefix, const ParameterVisitor& fn) { fn(prefix + "weight", weight); ... }
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "autograd/variable.h"
#include "runtime/non_copyable.h"
#include "runtime/random.h"
#include "runtime/safetensors.h"

namespace demi {

using ParameterVisitor = std::function<void(const std::string& name, Variable& parameter)>;
// Handles: they share value and gradient.
using NamedParameters = std::vector<std::pair<std::string, Variable>>;

// Throws "[layer] holds no parameters: ..." where a layer or model was made by its default constructor.
void check_made(bool made, std::string_view layer);
// The size, which must lie in [1, most].
int64_t checked_size(std::string_view op, std::string_view name, int64_t size, int64_t most = INT32_MAX);

template <class Model> NamedParameters parameters_of(Model& model, const std::string& prefix = "") {
    NamedParameters all;
    model.visit(prefix, [&](const std::string& name, Variable& parameter) {
        check_made(parameter.defined(), name);
        all.emplace_back(name, parameter);
    });
    return all;
}

int64_t parameter_count(const NamedParameters& parameters);
void zero_grad(const NamedParameters& parameters);
// Moves every parameter of a model to a device, with its gradient. They stay the same parameters: optimizers,
// averages and lists that were made before go on with them (a captured step does not: capture it after the
// move). On that device already: nothing happens.
template <class Model> void to_device(Model& model, Device device) {
    for (auto [name, parameter] : parameters_of(model)) parameter.move_to(device);
}
// dst's values become src's, by position; names and shapes must agree.
void copy_parameters(const NamedParameters& dst, const NamedParameters& src);

// While it lives, new parameters of this thread are not filled with random numbers, and none are drawn: for
// models whose weights are loaded. Constants (biases, norms) are set all the same.
class SkipInit : NonCopyable {
  public:
    SkipInit();
    ~SkipInit();
};

// New f32 parameters.
Variable constant_parameter(const Shape& shape, double value);
Variable normal_parameter(const Shape& shape, Generator& generator, double std);
Variable trunc_normal_parameter(const Shape& shape, Generator& generator,
                                double std);                                         // cut at +-2, as in timm
Variable uniform_parameter(const Shape& shape, Generator& generator, double bound);  // U(-bound, bound)

}  // namespace demi
