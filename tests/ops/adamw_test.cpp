#include "ops/optimizer/adamw.h"

#include <doctest/doctest.h>

#include <cmath>

#include "runtime/parallel.h"
#include "runtime/safetensors.h"
#include "tests/ops/normal_tensors.h"
#include "tests/support/compare.h"
#include "tests/support/env.h"
#include "tests/support/skip.h"

namespace demi::test {
namespace {

struct Model {
    std::vector<Tensor> params, exp_avg, exp_avg_sq;

    Model(const std::vector<Shape>& shapes, DType dtype) {
        params = normal_tensors(shapes, dtype, 1);
        for (const Shape& shape : shapes) {
            exp_avg.push_back(Tensor::zeros(shape, dtype == DType::f64 ? DType::f64 : DType::f32));
            exp_avg_sq.push_back(exp_avg.back().clone());
        }
    }
    std::vector<AdamwTensor> step(const std::vector<Tensor>& grads, int64_t step) const {
        std::vector<AdamwTensor> out;
        for (size_t i = 0; i < params.size(); ++i)
            out.push_back({params[i], grads[i], exp_avg[i], exp_avg_sq[i], 1e-2 / static_cast<double>(i + 1),
                           0.1 * static_cast<double>(i), step});
        return out;
    }
};

// One parameter in doubles, from the paper's formulas.
struct Oracle {
    std::vector<double> p, m, v;

    void step(const std::vector<double>& grad, const AdamwTensor& t, const AdamwOptions& o) {
        m.resize(p.size());
        v.resize(p.size());
        for (size_t i = 0; i < p.size(); ++i) {
            const double g = grad[i] * o.grad_scale;
            m[i] = o.beta1 * m[i] + (1 - o.beta1) * g;
            v[i] = o.beta2 * v[i] + (1 - o.beta2) * g * g;
            const double m_hat = m[i] / (1 - std::pow(o.beta1, t.step)),
                         v_hat = v[i] / (1 - std::pow(o.beta2, t.step));
            p[i] -= t.lr * t.weight_decay * p[i];
            p[i] -= t.lr * m_hat / (std::sqrt(v_hat) + o.eps);
        }
    }
};

const std::vector<Shape> kShapes{{3}, {7, 33}, {1}, {0}, {150000}, {40, 1000}};

}  // namespace

TEST_CASE("adamw follows a double oracle") {
    const AdamwOptions options{.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .grad_scale = 0.25};
    for (DType dtype : {DType::f32, DType::f64})
        for (DType grad_dtype : {dtype, dtype == DType::f64 ? DType::f64 : DType::bf16}) {
            Model model(kShapes, dtype);
            std::vector<Oracle> oracles;
            for (const Tensor& p : model.params) oracles.push_back({p.to_vector<double>(), {}, {}});
            for (int64_t step = 1; step <= 5; ++step) {
                const std::vector<Tensor> grads =
                    normal_tensors(kShapes, grad_dtype, 10 + static_cast<uint64_t>(step));
                const auto tensors = model.step(grads, step);
                adamw(tensors, options);
                for (size_t i = 0; i < tensors.size(); ++i)
                    oracles[i].step(grads[i].to_vector<double>(), tensors[i], options);
            }
            for (size_t i = 0; i < kShapes.size(); ++i)
                CHECK(compare(model.params[i], Tensor::from(oracles[i].p, kShapes[i]),
                              dtype == DType::f64 ? Tolerance{1e-12, 1e-12} : Tolerance{4e-6, 4e-6}) == "");
        }
}

TEST_CASE("adamw in 16 bits rounds the f32 result once") {
    for (DType dtype : {DType::f16, DType::bf16}) {
        Model model(kShapes, dtype), wide(kShapes, DType::f32);
        for (size_t i = 0; i < kShapes.size(); ++i) wide.params[i] = model.params[i].to(DType::f32);
        const std::vector<Tensor> grads = normal_tensors(kShapes, dtype, 4);
        adamw(model.step(grads, 1));
        adamw(wide.step(grads, 1));
        for (size_t i = 0; i < kShapes.size(); ++i)
            CHECK(same_bits(model.params[i], wide.params[i].to(dtype)) == "");
    }
}

TEST_CASE("adamw gives the same bits on any number of threads, and for any neighbours") {
    const std::vector<Tensor> grads = normal_tensors(kShapes, DType::f32, 4);
    const int before = num_threads();
    Model one(kShapes, DType::f32), three(kShapes, DType::f32), alone(kShapes, DType::f32);
    set_num_threads(1);
    adamw(one.step(grads, 1));
    set_num_threads(3);
    adamw(three.step(grads, 1));
    for (const AdamwTensor& t : alone.step(grads, 1)) adamw({&t, 1});
    set_num_threads(before);
    for (size_t i = 0; i < kShapes.size(); ++i) {
        CHECK(same_bits(one.params[i], three.params[i]) == "");
        CHECK(same_bits(one.params[i], alone.params[i]) == "");
    }
}

TEST_CASE("adamw leaves tensors without a gradient alone, takes strided gradients, and refuses the rest") {
    Model model({{2, 3}, {2, 3}}, DType::f32);
    const Tensor before = model.params[0].clone();
    const Tensor grad = normal_tensors({{3, 2}}, DType::f32, 2)[0];
    adamw(model.step({Tensor(), grad.transpose(0, 1)}, 1));
    CHECK(same_bits(model.params[0], before) == "");
    Model plain({{2, 3}, {2, 3}}, DType::f32);
    adamw(plain.step({Tensor(), grad.transpose(0, 1).contiguous()}, 1));
    CHECK(same_bits(model.params[1], plain.params[1]) == "");

    AdamwTensor t{Tensor::zeros({2}), Tensor::zeros({3}), Tensor::zeros({2}), Tensor::zeros({2})};
    CHECK_THROWS_WITH_AS(adamw({&t, 1}),
                         "[adamw] gradient 0 must have shape and device of its parameter, f32 (2,) on cpu "
                         "(and f64 only beside f64): got f32 (3,) on cpu",
                         Error);
    t.grad = Tensor::zeros({2});
    t.exp_avg = Tensor::zeros({2}, DType::f16);
    CHECK_THROWS_AS(adamw({&t, 1}), Error);
    t.exp_avg = Tensor::zeros({2});
    t.step = 0;
    CHECK_THROWS_AS(adamw({&t, 1}), Error);
    t.step = 1;
    CHECK_THROWS_AS(adamw({&t, 1}, {.beta1 = 1}), Error);
    const uint64_t version = t.param.version();
    adamw({&t, 1});
    CHECK(t.param.version() > version);
}

TEST_CASE("adamw on the conformance case") {
    const std::string path = shared_path("golden/adamw-0.safetensors");
    if (path.empty()) DEMI_SKIP("DEMI_SHARED names no folder with golden/adamw-0.safetensors");
    const SafetensorsFile file(path);
    const std::string params = file.metadata().at("params");
    const auto number = [&](const std::string& name) {
        const size_t at = params.find('"' + name + "\":");
        REQUIRE(at != std::string::npos);
        return std::stod(params.substr(at + name.size() + 3));
    };
    const Tensor param = file.load("in.param"), m = Tensor::zeros(param.shape()), v = m.clone();
    const AdamwOptions options{.beta1 = number("beta1"), .beta2 = number("beta2"), .eps = number("eps")};
    for (int i = 0; i < static_cast<int>(number("steps")); ++i) {
        const Tensor grad = file.load("in.grad." + std::to_string(i));
        const AdamwTensor t{param, grad, m, v, number("lr"), number("weight_decay"), i + 1};
        adamw({&t, 1}, options);
    }
    CHECK(compare(param, file.load("out.param"), {1e-6, 1e-5}) == "");
}

}  // namespace demi::test
