// Counts of zero: batches, sequences, lists, rows. Results and gradients are defined, or an
// Error says what is missing.
#include <doctest/doctest.h>

#include <cmath>

#include "models/dino_loss.h"
#include "models/ema.h"
#include "models/mask_generator.h"
#include "models/nested.h"
#include "models/optimizer.h"
#include "models/ssl_meta_arch.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "runtime/copy.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tiny_vit.h"

namespace demi::test {
namespace {

Variable made(const Shape& shape, uint64_t seed) {
    Generator g{seed};
    Tensor x = Tensor::empty(shape);
    normal(x, g);
    return Variable(x.to(test_device()), true);
}

Block block(double drop_path, bool swiglu = false, bool scaled = true) {
    Generator g{1};
    BlockConfig config;
    config.dim = 8;
    config.heads = 2;
    config.drop_path = drop_path;
    config.swiglu = swiglu;
    if (scaled) config.init_values = 0.5;
    Block made(config, g);
    to_device(made, test_device());
    return made;
}

// The smallest row first, so that every number of kept rows is among 0 .. n.
std::vector<int64_t> turned(int64_t n) {
    std::vector<int64_t> order;
    for (int64_t i = 0; i < n; ++i) order.push_back((i + 1) % n);
    return order;
}

std::vector<Tensor> gradients(Block& model) {
    std::vector<Tensor> all;
    for (auto [name, p] : parameters_of(model)) {
        CAPTURE(name);
        CHECK(p.grad().defined());
        all.push_back(p.grad());
        p.zero_grad();
    }
    return all;
}

void check_zero(const std::vector<Tensor>& tensors) {
    for (const Tensor& t : tensors) {
        REQUIRE(t.defined());
        CHECK(same_numbers(t, Tensor::zeros(t.shape(), t.dtype())) == "");
    }
}

}  // namespace

TEST_CASE("a block on a batch or a sequence of nothing, in every mode") {
    for (const Shape& shape : {Shape{0, 3, 8}, Shape{2, 0, 8}, Shape{0, 0, 8}})
        for (double rate : {0.0, 0.05, 0.3})
            for (Precision precision : {Precision::f32, Precision::f16})
                for (int variant = 0; variant < 4; ++variant)
                    for (bool training : {false, true})
                        for (bool as_list : {false, true}) {
                            CAPTURE(shape);
                            CAPTURE(rate);
                            CAPTURE(variant);
                            CAPTURE(training);
                            CAPTURE(as_list);
                            Generator g{2};
                            ForwardContext context;
                            context.training = training;
                            context.precision = precision;
                            context.generator = &g;
                            Block model = block(rate, variant & 1, variant & 2);
                            Variable x = made(shape, 3);
                            const Variable y = as_list
                                                   ? model.forward(std::vector<Variable>{x}, context).at(0)
                                                   : model.forward(x, context);
                            CHECK(y.shape() == shape);
                            sum(y).backward();
                            REQUIRE(x.grad().defined());
                            CHECK(x.grad().shape() == shape);
                            check_zero(gradients(model));
                        }
}

TEST_CASE("an empty batch in a list changes nothing for the others") {
    for (double rate : {0.0, 0.05, 0.3, 0.9})
        for (bool scaled : {false, true})
            for (const BoundaryMode mode : {BoundaryMode::strict, BoundaryMode::wide, BoundaryMode::off})
                for (size_t at = 0; at < 3; ++at) {
                    CAPTURE(rate);
                    CAPTURE(at);
                    Generator g{2};
                    ForwardContext context;
                    context.training = true;
                    context.generator = &g;
                    context.boundary.mode = mode;
                    context.permutation = turned;
                    Block model = block(rate, false, scaled);
                    const std::vector<Variable> full{made({3, 4, 8}, 5), made({2, 6, 8}, 6)};
                    const std::vector<Variable> want = model.forward(full, context);
                    weighted_sum(want, random_weights(want, 7)).backward();
                    const std::vector<Tensor> want_grads = gradients(model);

                    std::vector<Variable> list = full;
                    for (Variable& x : list) x = Variable(x.value(), true);
                    list.insert(list.begin() + static_cast<int64_t>(at), made({0, 5, 8}, 8));
                    std::vector<Variable> got = model.forward(list, context);
                    REQUIRE(got.size() == 3);
                    CHECK(got[at].shape() == Shape{0, 5, 8});
                    got.erase(got.begin() + static_cast<int64_t>(at));
                    weighted_sum(got, random_weights(want, 7)).backward();
                    const std::vector<Tensor> got_grads = gradients(model);
                    list.erase(list.begin() + static_cast<int64_t>(at));
                    for (size_t i = 0; i < 2; ++i) {
                        CHECK(same_bits(got[i].value(), want[i].value()) == "");
                        CHECK(same_bits(list[i].grad(), full[i].grad()) == "");
                    }
                    for (size_t i = 0; i < want_grads.size(); ++i)
                        CHECK(same_bits(got_grads[i], want_grads[i]) == "");
                }
}

TEST_CASE("kept rows: none of none, at least one of some, never more than there are") {
    CHECK(kept_rows(0, 0.3) == 0);
    CHECK(kept_rows(1, 0.99) == 1);
    CHECK(kept_rows(10, 0.3) == 7);
    CHECK(kept_rows(5, 0) == 5);
    CHECK(has(error_of([] { kept_rows(-1, 0.3); }), "[kept_rows]"));
    CHECK(has(error_of([] { kept_rows(4, NAN); }), "[kept_rows]"));
    CHECK(has(error_of([] { kept_rows(4, -1); }), "[kept_rows]"));
    CHECK(has(error_of([] { first_rows({0, 1}, 3, Device::cpu()); }), "[first_rows]"));
    CHECK(first_rows({}, 0, Device::cpu()).shape() == Shape{0});
}

namespace {

ViTConfig small() { return tiny_vit_with_all(8, 8, 2); }

}  // namespace

TEST_CASE("a vision transformer on no images") {
    Generator g{4};
    DinoVisionTransformer model(small(), g);
    to_device(model, test_device());
    for (bool training : {false, true}) {
        ForwardContext context;
        context.training = training;
        context.generator = &g;
        const Tensor masks = Tensor::zeros({0, 4}, DType::boolean, test_device());
        const Variable none = made({0, 3, 8, 8}, 1), odd = made({0, 3, 4, 12}, 1);
        const ViTOutput out = model.forward_features(none, context, masks);
        CHECK(out.x_norm_clstoken.shape() == Shape{0, 8});
        CHECK(out.x_norm_regtokens.shape() == Shape{0, 1, 8});
        CHECK(out.x_norm_patchtokens.shape() == Shape{0, 4, 8});
        (sum(out.x_norm_clstoken) + sum(out.x_norm_patchtokens)).backward();
        for (auto [name, p] : parameters_of(model)) {
            CAPTURE(name);
            check_zero({p.grad()});
            p.zero_grad();
        }
        const std::vector<ViTOutput> list =
            model.forward_features(std::vector<Variable>{none, made({2, 3, 4, 4}, 2), odd}, context);
        CHECK(list[0].x_norm_patchtokens.shape() == Shape{0, 4, 8});
        CHECK(list[1].x_norm_patchtokens.shape() == Shape{2, 1, 8});
        CHECK(list[2].x_norm_patchtokens.shape() == Shape{0, 3, 8});
        Variable total = sum(list[1].x_norm_clstoken);
        for (size_t i : {size_t{0}, size_t{2}}) total = total + sum(list[i].x_norm_clstoken);
        total.backward();
        for (auto [name, p] : parameters_of(model)) p.zero_grad();
        const auto layers = model.get_intermediate_layers(none, context, {0, -1}, true);
        CHECK(layers.at(1).patches.shape() == Shape{0, 8, 2, 2});
        CHECK(model.get_intermediate_layers(none, context, {}).empty());
        CHECK(model.get_last_selfattention(none.value()).shape() == Shape{0, 2, 6});
        CHECK(has(error_of([&] { model.forward_features(std::vector<Variable>{}, context); }), "[vit]"));
    }
}

TEST_CASE("heads and losses on no rows") {
    Generator g{5};
    DINOHead head({.in_dim = 8, .out_dim = 5, .hidden_dim = 6, .bottleneck_dim = 4}, g);
    to_device(head, test_device());
    for (Precision precision : {Precision::f32, Precision::bf16, Precision::f16}) {
        Variable x = made({0, 8}, 1);
        const Variable y = head.forward(x, precision);
        CHECK(y.shape() == Shape{0, 5});
        sum(y).backward();
        CHECK(x.grad().shape() == Shape{0, 8});
        for (auto [name, p] : parameters_of(head)) {
            CAPTURE(name);
            check_zero({p.grad()});
            p.zero_grad();
        }
    }
    const Tensor none = Tensor::zeros({0, 5}, DType::f32, test_device());
    CHECK(sinkhorn_knopp(none, 0.1).shape() == Shape{0, 5});
    CHECK(softmax_center(none, Tensor::zeros({1, 5}, DType::f32, test_device()), 0.1).shape() == Shape{0, 5});
    Tensor center = Tensor::full({1, 5}, 2, DType::f32, test_device());
    update_center(center, none);
    CHECK(same_bits(center.to(Device::cpu()), Tensor::full({1, 5}, 2)) == "");

    Variable student(none, true);
    const Variable loss = dino_loss({student, student}, {none, none});
    CHECK(loss.item() == 0);
    loss.backward();
    CHECK(student.grad().shape() == Shape{0, 5});
    for (const Shape& images : {Shape{0, 4}, Shape{2, 4}, Shape{2, 0}}) {
        Variable s(none, true);
        const Variable ibot = ibot_loss(s, none, Tensor::zeros(images, DType::boolean, test_device()));
        CHECK(ibot.item() == 0);
        ibot.backward();
        CHECK(s.grad().shape() == Shape{0, 5});
    }
    CHECK(has(error_of([&] { koleo_loss(Variable(none)); }), "at least two rows"));
    const Tensor flat = Tensor::zeros({3, 0}, DType::f32, test_device());
    CHECK(has(error_of([&] { sinkhorn_knopp(flat, 0.1); }), "[sinkhorn_knopp]"));
    CHECK(has(error_of([&] { softmax_center(flat, flat, 0.1); }), "[softmax_center]"));
    CHECK(has(error_of([&] { dino_loss({Variable(flat)}, {flat}); }), "[dino_loss]"));
    CHECK(has(error_of([&] { koleo_loss(Variable(flat)); }), "[koleo_loss]"));
}

TEST_CASE("masks of no images, no patches") {
    Generator g{6};
    CHECK(block_masks(0, 4, 4, {}, g).shape() == Shape{0, 16});
    CHECK(masked_positions(Tensor::zeros({0, 16}, DType::boolean)).shape() == Shape{0});
    CHECK(masked_positions(Tensor::zeros({2, 16}, DType::boolean)).shape() == Shape{0});
    CHECK(has(error_of([&] { block_masks(2, 0, 4, {}, g); }), "[block_masks]"));
    CHECK(block_mask(4, 4, 0, {}, g) == std::vector<uint8_t>(16, 0));
}

TEST_CASE("optimizers and averages of parameters without elements") {
    for (OptimizerKind kind : {OptimizerKind::adamw, OptimizerKind::sgd}) {
        OptimizerOptions settings;
        settings.kind = kind;
        Variable none = made({0, 3}, 1), some = made({2}, 2);
        const NamedParameters all{{"none", none}, {"some", some}};
        Optimizer optimizer(all, parameter_options(all, {}), settings);
        (sum(none * 2.0) + sum(some * 3.0)).backward();
        const Tensor before = some.value().clone();
        optimizer.step({.lr = 0.1});
        CHECK(same_bits(some.value(), before) != "");
        CHECK(gradient_norm(all, 1, 0).norm == doctest::Approx(3 * std::sqrt(2)));
        Variable average(none.value().clone());
        ema_update({{"none", average}}, {{"none", none}}, 0.5);
        copy_parameters({{"none", average}}, {{"none", none}});
    }
    ema_update({}, {}, 0.5);
    CHECK(gradient_norm({}, 1, 1).norm == 0);
}

}  // namespace demi::test
