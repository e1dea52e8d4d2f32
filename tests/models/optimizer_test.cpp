#include "models/optimizer.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "models/ema.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/temporary.h"

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

TEST_CASE("clip_grad clips by the norm of all, or of each group, and its norm can be asked for") {
    for (double limit : {0.5, 3.0, 1e6})
        for (bool grouped : {false, true}) {
            Variable a = parameter({5, 3}, 1), b = parameter({7}, 2);
            const NamedParameters all{{"a", a}, {"b", b}};
            OptimizerOptions settings;
            settings.kind = OptimizerKind::sgd;
            settings.momentum = 0;
            Optimizer optimizer(all, parameter_options(all, {}), settings);
            std::vector<double> norms(2);
            std::vector<std::vector<double>> p{a.value().to_vector<double>(), b.value().to_vector<double>()},
                g(2);
            for (size_t i = 0; i < 2; ++i) {
                Variable x = all[i].second;
                x.set_grad(gradient(x.shape(), 5 + i));
                g[i] = x.grad().to_vector<double>();
                for (double v : g[i]) norms[i] += v * v;
            }
            const double norm = std::sqrt(norms[0] + norms[1]);
            StepRates rates{.lr = 0.1, .clip_grad = limit};
            if (grouped) rates.clip_groups = {1, 1};
            optimizer.step(rates);
            CHECK(optimizer.outcome().norm == doctest::Approx(norm).epsilon(1e-12));
            for (size_t i = 0; i < 2; ++i) {
                const double factor = std::min(1.0, limit / ((grouped ? std::sqrt(norms[i]) : norm) + 1e-6));
                for (size_t j = 0; j < g[i].size(); ++j) p[i][j] -= 0.1 * factor * g[i][j];
            }
            CHECK(compare(a.value(), Tensor::from(p[0], {5, 3}), {1e-6, 1e-6}) == "");
            CHECK(compare(b.value(), Tensor::from(p[1], {7}), {1e-6, 1e-6}) == "");
        }
}

TEST_CASE("a step that could teach nothing, or only harm, is refused and changes nothing") {
    Variable a = parameter({3}, 1), b = parameter({2}, 2);
    const NamedParameters all{{"a", a}, {"b", b}};
    Optimizer optimizer(all, parameter_options(all, {}));
    const Tensor before = a.value().clone();
    const auto refused = [&](const StepRates& rates) { return error_of([&] { optimizer.step(rates); }); };
    CHECK(has(refused({.lr = 0.1}), "[optimizer] no parameter has a gradient"));
    a.set_grad(gradient({3}, 3));
    CHECK(has(refused({}), "[optimizer] StepRates::lr has to be given"));
    CHECK(has(refused({.weight_decay = 0.1}), "[optimizer] StepRates::lr has to be given"));
    CHECK(has(error_of([&] { optimizer.set_rates({}); }), "[optimizer] StepRates::lr has to be given"));
    for (const StepRates& bad :
         {StepRates{.lr = -0.1}, StepRates{.lr = INFINITY}, StepRates{.lr = 1, .weight_decay = NAN},
          StepRates{.lr = 1, .weight_decay = -1}, StepRates{.lr = 1, .last_layer_lr = NAN},
          StepRates{.lr = 1, .backbone_lr = NAN}})
        CHECK(has(refused(bad), "must be finite and not negative"));
    CHECK(has(refused({.lr = 1, .clip_grad = -1}), "must not be negative"));
    CHECK(has(refused({.lr = 1, .clip_grad = NAN}), "must not be negative"));
    CHECK(has(refused({.lr = 1, .clip_grad = 1, .clip_groups = {1}}), "needs the group of each parameter"));
    CHECK(has(refused({.lr = 1, .clip_grad = 1, .clip_groups = {1, 5}}), "groups hold more than the 2"));
    CHECK(has(refused({.lr = 1, .grad_multipliers = {1}}), "gradient multipliers"));
    CHECK(has(refused({.lr = 1, .grad_multipliers = {1, 1}, .clip_grad = 1}), "got both"));
    CHECK(has(error_of([&] { optimizer.outcome(); }), "[optimizer] the last step looked at no norm"));
    a.set_grad(Tensor::full({3}, INFINITY));
    CHECK(has(refused({.lr = 1, .clip_grad = 1}), "the norm of the gradients is not finite"));
    CHECK(same_bits(a.value(), before) == "");
    CHECK(optimizer.steps() == 0);
    a.set_grad(gradient({3}, 3));
    optimizer.step({.lr = 0});  // stated: a schedule may begin with it
    CHECK(same_bits(a.value(), before) == "");
    optimizer.step({.lr = 0.1});  // b has no gradient: fine
    CHECK(same_bits(a.value(), before) != "");
    CHECK(optimizer.steps() == 2);
}

TEST_CASE("frozen parameters are left alone, and count their steps from the one in which they are thawed") {
    for (OptimizerKind kind : {OptimizerKind::adamw, OptimizerKind::sgd})
        for (bool frozen_first : {true, false}) {
            OptimizerOptions settings;
            settings.kind = kind;
            Variable a = parameter({4, 3}, 1), b = parameter({2}, 2), fresh(a.value().clone(), true);
            const NamedParameters all{{"a", a}, {"b", b}};
            if (frozen_first) a.requires_grad_(false);
            Optimizer optimizer(all, parameter_options(all, {}), settings);
            if (!frozen_first) {
                a.set_grad(gradient({4, 3}, 9));  // from before: must not count
                a.requires_grad_(false);
            }
            const Tensor before = a.value().clone();
            for (uint64_t step = 0; step < 3; ++step) {
                b.set_grad(gradient({2}, step));
                optimizer.step({.lr = 0.1, .weight_decay = 0.1, .clip_grad = 1});
            }
            CHECK(same_bits(a.value(), before) == "");
            NamedTensors saved;
            Metadata metadata;
            optimizer.save(saved, metadata);
            for (const auto& [name, moment] : saved) CHECK(name.ends_with(".b"));
            const TemporaryFolder folder;
            write_safetensors(folder / "o.safetensors", saved, metadata);
            Variable a2(a.value().clone(), true), b2(b.value().clone(), true);
            const NamedParameters again{{"a", a2}, {"b", b2}};
            Optimizer resumed(again, parameter_options(again, {}), settings);
            CHECK_THROWS_AS(resumed.load(SafetensorsFile(folder / "o.safetensors")), Error);  // a learns here
            a2.requires_grad_(false);
            resumed.load(SafetensorsFile(folder / "o.safetensors"));

            Optimizer new_one({{"a", fresh}}, {ParameterOptions()}, settings);
            for (Variable* x : {&a, &a2}) x->requires_grad_(true);
            for (uint64_t step = 0; step < 4; ++step) {
                if (step == 2) {  // a thawed parameter's count is saved, too
                    NamedTensors tensors;
                    Metadata more;
                    optimizer.save(tensors, more);
                    write_safetensors(folder / "p.safetensors", tensors, more);
                    resumed.load(SafetensorsFile(folder / "p.safetensors"));
                }
                for (Variable* x : {&a, &a2, &fresh}) x->set_grad(gradient({4, 3}, 20 + step));
                for (Variable* x : {&b, &b2}) x->set_grad(gradient({2}, 30 + step));
                for (Optimizer* o : {&optimizer, &resumed, &new_one})
                    o->step({.lr = 0.1, .weight_decay = 0.1});
            }
            CHECK(same_bits(a.value(), fresh.value()) == "");
            CHECK(same_bits(a2.value(), fresh.value()) == "");
            CHECK(same_bits(b2.value(), b.value()) == "");
            a.requires_grad_(false);
            b.requires_grad_(false);
            CHECK(has(error_of([&] { optimizer.step({.lr = 0.1}); }), "no parameter has a gradient"));
            CHECK(gradient_norm(all, 1, 0).norm == 0);
        }
}

TEST_CASE("an optimizer refuses what is no parameter, and absurd multipliers") {
    Variable a = parameter({3}, 1);
    const std::vector<ParameterOptions> one(1);
    for (const Variable& bad : {Variable(), Variable(Tensor::zeros({3}))})
        CHECK(has(error_of([&] { Optimizer o({{"bad", bad}}, one); }), "'bad' is not a parameter"));
    CHECK(has(error_of([&] { Optimizer o({{"a", a}}, {}); }), "needs options for each parameter"));
    for (const ParameterOptions& bad :
         {ParameterOptions{.lr_multiplier = -1}, ParameterOptions{.lr_multiplier = NAN},
          ParameterOptions{.wd_multiplier = INFINITY}})
        CHECK(has(error_of([&] {
                      Optimizer o({{"a", a}}, {bad});
                  }),
                  "multipliers must be finite, not negative"));
    Optimizer none({}, {});
    CHECK(has(error_of([&] { none.step({.lr = 0.1}); }), "no parameter has a gradient"));
    CHECK(has(error_of([&] { none.step({.lr = 0.1, .clip_grad = 1}); }), "no parameter has a gradient"));
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

TEST_CASE("optimizer: a backbone that waits has a rate of its own") {
    for (const OptimizerKind kind : {OptimizerKind::adamw, OptimizerKind::sgd}) {
        const auto after = [&](double lr, double backbone_lr) {
            const NamedParameters parameters = {{"backbone.w", Variable(Tensor::ones({3}), true)},
                                                {"dino_head.w", Variable(Tensor::ones({3}), true)}};
            Optimizer optimizer(parameters, parameter_options(parameters, {}), {.kind = kind});
            for (int step = 0; step < 2; ++step) {
                for (auto [name, p] : parameters) p.set_grad(Tensor::full({3}, 0.5));
                optimizer.step({.lr = lr, .weight_decay = 0.1, .backbone_lr = backbone_lr});
            }
            return std::pair(parameters[0].second.value(), parameters[1].second.value());
        };
        CHECK(same_bits(after(0.1, 0).first, Tensor::ones({3})) == "");
        CHECK(same_bits(after(0.1, 0.02).first, after(0.02, -1).first) == "");
        CHECK(same_bits(after(0.1, 0.02).second, after(0.1, -1).second) == "");
    }
}

}  // namespace demi::test
