#pragma once
// A conformance case: one safetensors file with inputs, parameters, and the results that are expected.
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "autograd/variable.h"
#include "ops/boundary/boundary.h"
#include "runtime/safetensors.h"

namespace demi::conformance {

class Case {
  public:
    Case(const std::string& path, Device device);

    const std::string& kind() const { return kind_; }
    const nlohmann::json& params() const { return params_; }
    Boundary boundary() const;  // strict for "fp16", off for "none"

    bool has(const std::string& name) const { return file_.contains(name); }
    Tensor tensor(const std::string& name) const;  // on the case's device; throws when missing
    Variable leaf(const std::string& name) const { return Variable(tensor(name), true); }
    std::vector<Tensor> list(const std::string& prefix) const;  // prefix + "0", prefix + "1", ...
    const std::vector<std::string>& names() const { return file_.names(); }

    // What we computed, under the name of the expected tensor ("out.y", "grad.q").
    void result(const std::string& name, const Tensor& value) { results_[name] = value; }
    void gradient(const std::string& name, const Variable& leaf) { result("grad." + name, leaf.grad()); }

    struct Verdict {
        bool passed = true;
        std::string worst;  // tensor with the largest error in units of its tolerance
        double max_abs = 0, max_rel = 0;
        std::string problem;  // a missing result, a wrong shape, a NaN
    };
    Verdict compare() const;

  private:
    SafetensorsFile file_;
    Device device_;
    std::string kind_;
    nlohmann::json params_, tolerances_;
    std::map<std::string, Tensor> results_;
};

// What runs a case of a kind and stores its results; throws Error.
using Runners = std::map<std::string, void (*)(Case&)>;
extern const Runners operator_runners, model_runners, loss_runners;

}  // namespace demi::conformance
