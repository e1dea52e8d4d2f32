#include "tests/conformance/case.h"

#include <cmath>
#include <sstream>

namespace demi::conformance {

using nlohmann::json;

static json parse_metadata(const SafetensorsFile& file, const std::string& key) {
    const auto found = file.metadata().find(key);
    check(found != file.metadata().end(), "conformance", "'", file.path(), "' has no metadata '", key, "'");
    try {
        return json::parse(found->second);
    } catch (const json::exception& error) {
        fail("conformance", "'", file.path(), "': metadata '", key, "' is not JSON: ", error.what());
    }
}

Case::Case(const std::string& path, Device device) : file_(path), device_(device) {
    const auto kind = file_.metadata().find("case");
    check(kind != file_.metadata().end(), "conformance", "'", path,
          "' is not a case: its metadata has no 'case'");
    kind_ = kind->second;
    params_ = parse_metadata(file_, "params");
    tolerances_ = parse_metadata(file_, "tol");
    check(tolerances_.is_object() && !tolerances_.empty(), "conformance", "'", path,
          "' expects nothing: 'tol' is empty");
}

Boundary Case::boundary() const {
    const auto found = file_.metadata().find("boundary");
    const std::string text = found == file_.metadata().end() ? "none" : found->second;
    check(text == "fp16" || text == "none", "conformance", "boundary must be fp16 or none: got '", text, "'");
    Boundary boundary;
    boundary.mode = text == "fp16" ? BoundaryMode::strict : BoundaryMode::off;
    return boundary;
}

Tensor Case::tensor(const std::string& name) const { return file_.load(name).to(device_); }

std::vector<Tensor> Case::list(const std::string& prefix) const {
    std::vector<Tensor> all;
    while (has(prefix + std::to_string(all.size())))
        all.push_back(tensor(prefix + std::to_string(all.size())));
    return all;
}

Case::Verdict Case::compare() const {
    Verdict verdict;
    double worst_excess = -1;
    for (const auto& [name, tolerance] : tolerances_.items()) {
        const auto found = results_.find(name);
        const auto refuse = [&](const std::string& problem) {
            verdict.passed = false;
            verdict.worst = name;
            verdict.problem = problem;
        };
        if (found == results_.end() || !found->second.defined()) {
            refuse("no result");
            return verdict;
        }
        const Tensor want = file_.load(name), got = found->second;
        if (got.shape() != want.shape()) {
            std::ostringstream text;
            text << "shape " << got.shape() << ", expected " << want.shape();
            refuse(text.str());
            return verdict;
        }
        const double atol = tolerance.at(0).get<double>(), rtol = tolerance.at(1).get<double>();
        const std::vector<double> g = got.to_vector<double>(), w = want.to_vector<double>();
        double max_abs = 0, max_rel = 0, excess = 0;
        for (size_t i = 0; i < g.size(); ++i) {
            if (std::isnan(g[i]) || (std::isinf(g[i]) && g[i] != w[i])) {
                refuse(std::isnan(g[i]) ? "NaN" : "infinity");
                return verdict;
            }
            const double error = g[i] == w[i] ? 0 : std::fabs(g[i] - w[i]);
            const double limit = atol + rtol * std::fabs(w[i]);
            max_abs = std::max(max_abs, error);
            if (w[i] != 0) max_rel = std::max(max_rel, error / std::fabs(w[i]));
            excess = std::max(excess, error == 0 ? 0 : limit > 0 ? error / limit : INFINITY);
        }
        if (excess > 1) verdict.passed = false;
        if (excess > worst_excess) {
            worst_excess = excess;
            verdict.worst = name;
            verdict.max_abs = max_abs;
            verdict.max_rel = max_rel;
        }
    }
    return verdict;
}

}  // namespace demi::conformance
