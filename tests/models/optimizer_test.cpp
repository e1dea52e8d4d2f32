#include "models/optimizer.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "models/ema.h"
#include "tests/support/compare.h"

namespace demi::test {

static Variable parameter(const Shape& shape, uint64_t seed) {
    Generator g{seed};
    return normal_parameter(shape, g, 1);
}

static Tensor gradient(const Shape& shape, uint64_t seed) {
    Generator g{seed};
    Tensor t = Tensor::empty(shape);
    normal(t, g);
    return t;
}

TEST_CASE("adamw with groups, clipping and loss scale against a double loop") {
    Variable a = parameter({5, 3}, 1), b = parameter({7}, 2);
    const NamedParameters all{{"w.weight", a}, {"head.last_layer.bias", b}};
    const auto options = parameter_options(all, {});
    Optimizer optimizer(all, options);
    std::vector<std::vector<double>> p{a.value().to_vector<double>(), b.value().to_vector<double>()}, m(2),
        v(2);
    for (size_t i = 0; i < 2; ++i) m[i].assign(p[i].size(), 0), v[i].assign(p[i].size(), 0);
    for (int step = 1; step <= 6; ++step) {
        const double lr = 0.01 * step, wd = 0.1, last = step < 3 ? 0 : lr;
        const double scales[2] = {0.5, 0.25};
        for (size_t i = 0; i < 2; ++i) {
            Variable x = all[i].second;
            x.set_grad(gradient(x.shape(), uint64_t(10 * step) + i));
            const std::vector<double> g = x.grad().to_vector<double>();
            const double rate = i == 1 ? last : lr, decay = i == 1 ? 0 : wd;
            for (size_t j = 0; j < g.size(); ++j) {
                const double gj = g[j] * scales[i];
                p[i][j] *= 1 - rate * decay;
                m[i][j] = 0.9 * m[i][j] + 0.1 * gj;
                v[i][j] = 0.999 * v[i][j] + 0.001 * gj * gj;
                p[i][j] -= rate / (1 - std::pow(0.9, step)) * m[i][j] /
                           (std::sqrt(v[i][j] / (1 - std::pow(0.999, step))) + 1e-8);
            }
        }
        optimizer.step({lr, wd, last, {scales[0], scales[1]}});
        optimizer.zero_grad();
    }
    CHECK(compare(a.value(), Tensor::from(p[0], {5, 3}), {1e-5, 1e-5}) == "");
    CHECK(compare(b.value(), Tensor::from(p[1], {7}), {1e-5, 1e-5}) == "");
}

TEST_CASE("an optimizer that was saved and loaded goes on with the same bits") {
    for (OptimizerKind kind : {OptimizerKind::adamw, OptimizerKind::sgd}) {
        const std::string path = std::filesystem::temp_directory_path().string() + "/demi_optimizer_" +
                                 std::to_string(getpid()) + ".safetensors";
        OptimizerOptions settings;
        settings.kind = kind;
        Variable a = parameter({4, 3}, 1);
        Optimizer first({{"a", a}}, {ParameterOptions{}}, settings);
        for (uint64_t i = 0; i < 3; ++i) {
            a.set_grad(gradient({4, 3}, i));
            first.step({0.1, 0.01, -1, {}});
        }
        NamedTensors tensors;
        Metadata metadata;
        first.save(tensors, metadata);
        write_safetensors(path, tensors, metadata);
        Variable b(a.value().clone(), true);
        Optimizer second({{"a", b}}, {ParameterOptions{}}, settings);
        second.load(SafetensorsFile(path));
        CHECK(second.steps() == 3);
        for (Variable* x : {&a, &b}) x->set_grad(gradient({4, 3}, 9));
        first.step({0.1, 0.01, -1, {}});
        second.step({0.1, 0.01, -1, {}});
        CHECK(same_bits(a.value(), b.value()) == "");
        Variable c = parameter({2, 2}, 1);
        Optimizer other({{"a", c}}, {ParameterOptions{}}, settings);
        CHECK_THROWS_AS(other.load(SafetensorsFile(path)), Error);
        unlink(path.c_str());
    }
}

TEST_CASE("gradient norm and clipping factor") {
    Variable a = parameter({3}, 1), b = parameter({2}, 2);
    a.set_grad(Tensor::from(std::vector<float>{3, 0, 0}, {3}));
    b.set_grad(Tensor::from(std::vector<float>{0, 4}, {2}));
    const NamedParameters all{{"a", a}, {"b", b}};
    CHECK(gradient_norm(all, 1, 0).norm == doctest::Approx(5));
    CHECK(gradient_norm(all, 0.5, 1).clip_factor == doctest::Approx(1 / 2.5).epsilon(1e-5));
    CHECK(gradient_norm(all, 1, 10).clip_factor == 1);
    b.set_grad(Tensor::from(std::vector<float>{0, INFINITY}, {2}));
    CHECK_FALSE(gradient_norm(all, 1, 1).finite);
}

TEST_CASE("ema and copies refuse other models") {
    Variable a = parameter({3}, 1), b = parameter({3}, 2), c = parameter({4}, 3);
    const std::vector<double> x = a.value().to_vector<double>(), y = b.value().to_vector<double>();
    ema_update({{"p", a}}, {{"p", b}}, 0.75);
    for (size_t i = 0; i < 3; ++i)
        CHECK(a.value().to_vector<double>()[i] == doctest::Approx(0.75 * x[i] + 0.25 * y[i]));
    CHECK_THROWS_AS(ema_update({{"p", a}}, {{"p", c}}, 0.5), Error);
    CHECK_THROWS_AS(copy_parameters({{"p", a}}, {{"q", b}}), Error);
}

}  // namespace demi::test
