// DINOv3's backbone in training: every precision and boundary mode, local crops, stochastic depth, large residuals.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/grad_mode.h"
#include "ops/boundary/boundary.h"
#include "runtime/copy.h"
#include "tests/models/dinov3.h"
#include "tests/support/compare.h"

namespace demi::test {
namespace {

double size_of_gradient(const Variable& p) {
    double size = 0;
    if (p.grad().defined())
        for (double v : p.grad().to_vector<double>()) size += std::fabs(v);
    return size;
}

// Gradients of a step over a global and a local batch of pictures, as a list or one by one.
void step(DinoVisionTransformer& model, const ForwardContext& context, bool nested) {
    Tensor mask = Tensor::zeros({4, 8}, DType::boolean);
    fill(mask.slice(1, 3, 7), 1);
    const Variable global(pictures(4, 16, 8)), local(pictures(6, 8, 8));
    std::vector<ViTOutput> out;
    if (nested)
        out = model.forward_features({global, local}, context, {mask, Tensor()});
    else
        out = {model.forward_features(global, context, mask), model.forward_features(local, context)};
    Variable loss = random_sum(out[0].x_norm_patchtokens, 1) + random_sum(out[0].x_norm_clstoken, 2) +
                    random_sum(out[1].x_norm_clstoken, 3) + random_sum(out[1].x_norm_regtokens, 4);
    CHECK(std::isfinite(loss.item()));
    loss.backward();
}

}  // namespace

TEST_CASE("DINOv3: every parameter learns, in every precision and boundary mode") {
    for (const char* ffn : {"mlp", "swiglu_split"})
        for (bool nested : {false, true})
            for (Precision precision : {Precision::f32, Precision::bf16, Precision::f16})
                for (BoundaryMode mode : {BoundaryMode::off, BoundaryMode::wide, BoundaryMode::strict}) {
                    CAPTURE(std::string(ffn));
                    CAPTURE(nested);
                    CAPTURE(int(precision));
                    CAPTURE(int(mode));
                    Generator g{3};
                    ViTConfig config = dinov3(ffn);
                    config.drop_path_rate = 0.3;
                    config.cls_norm = config.local_cls_norm = true;
                    config.rope->rescale = 2;
                    DinoVisionTransformer model(config, g);
                    ForwardContext context;
                    context.training = true;
                    context.precision = precision;
                    context.boundary.mode = mode;
                    context.generator = &g;
                    step(model, context, nested);
                    for (const auto& [name, p] : parameters_of(model)) {
                        CAPTURE(name);
                        if (name.starts_with("local_cls_norm")) {
                            CHECK((size_of_gradient(p) > 0) == nested);
                            continue;
                        }
                        REQUIRE(p.grad().defined());
                        CHECK(all_finite(p.grad()));
                        CHECK(size_of_gradient(p) > 0);
                        if (name.ends_with("qkv.bias")) {
                            const Variable k(p.grad().slice(0, 32, 64));
                            CHECK(sum(k * k).item() == 0);
                        }
                    }
                }
}

TEST_CASE("DINOv3: head size 128, in halves close to f32") {
    ViTConfig config = dinov3("swiglu_split");
    config.embed_dim = 256;
    Generator g{3};
    DinoVisionTransformer model(config, g);
    const Tensor x = pictures(2, 16, 12);
    const NoGrad no_grad;
    const auto run = [&](Precision precision) {
        ForwardContext context;
        context.precision = precision;
        context.boundary.mode = BoundaryMode::off;
        return model.forward_features(Variable(x), context).x_norm_patchtokens.value().to(DType::f32);
    };
    const Tensor want = run(Precision::f32);
    CHECK(compare(run(Precision::f16), want, {1e-2, 1e-2}) == "");
    CHECK(compare(run(Precision::bf16), want, {6e-2, 6e-2}) == "");
}

TEST_CASE(
    "DINOv3: angles are drawn anew for every block and picture size, and the same seed gives the same step") {
    ViTConfig config = dinov3();
    config.rope->rescale = 2;
    Generator weights{3};
    DinoVisionTransformer model(config, weights);
    const auto run = [&](uint64_t seed) {
        Generator g{seed};
        ForwardContext context;
        context.training = true;
        context.generator = &g;
        const auto out =
            model.forward_features({Variable(pictures(2, 16, 8)), Variable(pictures(2, 8, 8))}, context);
        Generator other{seed};
        for (int64_t draws = 0; draws < 2 * config.depth; ++draws) (void)other.next_uniform();
        CHECK(g == other);
        return out[0].x_norm_clstoken.value().contiguous();
    };
    const NoGrad no_grad;
    CHECK(same_bits(run(1), run(1)) == "");
    CHECK(same_bits(run(1), run(2)) != "");
}

TEST_CASE("DINOv3: small drop rates use subsets too: of one picture, one stays and nothing is rescaled") {
    ViTConfig config = dinov3();
    Generator g{3};
    DinoVisionTransformer plain(config, g);
    config.drop_path_rate = 0.05;
    DinoVisionTransformer dropping(config, g);
    copy_parameters(parameters_of(dropping), parameters_of(plain));
    ForwardContext context;
    context.boundary.mode = BoundaryMode::off;
    const NoGrad no_grad;
    const Variable x(pictures(1, 16, 8));
    const Tensor want = plain.forward(x, context).value();
    context.training = true;
    context.generator = &g;
    CHECK(compare(dropping.forward(x, context).value(), want, {1e-5, 1e-5}) == "");
    CHECK(compare(dropping.forward_features(std::vector<Variable>{x}, context)[0].x_norm_clstoken.value(),
                  want, {1e-5, 1e-5}) == "");
}

TEST_CASE("DINOv3: a residual stream of 155,693: strict reports it by name, wide and inference carry it") {
    ViTConfig config = dinov3();
    config.drop_path_rate = 0.3;
    Generator g{3};
    DinoVisionTransformer model(config, g);
    for (auto [name, p] : parameters_of(model))
        if (name == "patch_embed.proj.bias") fill(p.value().slice(0, 5, 6), 155693);
    const std::vector<Variable> images{Variable(pictures(4, 16, 8)), Variable(pictures(4, 8, 8))};
    const auto run = [&](Boundary boundary, bool training) {
        Generator draws{8};
        ForwardContext context;
        context.training = training;
        context.boundary = boundary;
        context.generator = &draws;
        return model.forward_features(images, context)[0].x_norm_patchtokens;
    };
    {
        const NoGrad no_grad;
        CHECK(all_finite(run({.mode = BoundaryMode::strict}, false).value()));
        std::string text;
        try {
            run({.mode = BoundaryMode::strict, .overflow = OverflowPolicy::error}, true);
        } catch (const Error& error) {
            text = error.what();
        }
        CAPTURE(text);
        CHECK(text.find("[index_select_cat] overflow at the fp16 boundary (forward): sources[0] at") == 0);
        CHECK(text.find("is 155693, at most 65504 fits") != std::string::npos);
        reset_boundary_counters();
        CHECK(!all_finite(run({.mode = BoundaryMode::strict}, true).value()));
        int64_t lost = 0;
        for (const BoundaryRow& row : boundary_counters())
            if (row.op == "index_select_cat" && row.direction == Direction::forward)
                lost += row.counters.to_inf;
        CHECK(lost > 0);
        const Tensor off = run({.mode = BoundaryMode::off}, true).value();
        CHECK(all_finite(off));
        CHECK(compare(run({.mode = BoundaryMode::wide}, true).value(), off, {2e-2, 2e-2}) == "");
    }
    const Variable loss = random_sum(run({.mode = BoundaryMode::wide}, true), 1);
    loss.backward();
    for (const auto& [name, p] : parameters_of(model)) {
        CAPTURE(name);
        if (p.grad().defined()) CHECK(all_finite(p.grad()));
    }
}

}  // namespace demi::test
