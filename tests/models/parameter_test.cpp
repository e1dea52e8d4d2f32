// Parameters keep their identity: what was made of them before a model moves goes on with the same ones.
#include "models/parameter.h"

#include <doctest/doctest.h>

#include "models/ema.h"
#include "models/optimizer.h"
#include "models/ssl_meta_arch.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/elementwise/functions.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/skip.h"
#include "tests/support/tiny_vit.h"

namespace demi::test {
namespace {

Mlp made() {
    Generator g{1};
    return {6, 8, true, g};
}

// A model with its optimizer, average and lists, all made on the CPU.
struct Run {
    Mlp model = made(), average = made();
    NamedParameters parameters = parameters_of(model), averages = parameters_of(average);
    Optimizer optimizer{parameters, parameter_options(parameters, {})};
    Device device = Device::cpu();

    void backward(uint64_t step) {
        const Tensor x = drawn({5, 6}, 10 + step).to(device);
        sum(square(model.forward(x))).backward();
    }
    void step() {
        optimizer.step({.lr = 1e-2, .weight_decay = 0.1, .clip_grad = 3});
        optimizer.zero_grad();
        ema_update(averages, parameters, 0.5);
    }
    void move(Device to) {
        to_device(model, to);
        to_device(average, to);
        device = to;
    }
};

}  // namespace

TEST_CASE("to_device to the same device does nothing") {
    Run run;
    run.backward(0);
    std::vector<const void*> places;
    std::vector<uint64_t> versions;
    for (const auto& [name, p] : run.parameters) {
        places.push_back(p.value().raw());
        places.push_back(p.grad().raw());
        versions.push_back(p.value().version());
    }
    const Variable loss = sum(square(run.model.forward(drawn({5, 6}, 3))));  // its graph stays good
    to_device(run.model, Device::cpu());
    loss.backward();
    const NamedParameters after = parameters_of(run.model);
    for (size_t i = 0; i < after.size(); ++i) {
        CHECK(after[i].second.node() == run.parameters[i].second.node());
        CHECK(after[i].second.value().raw() == places[2 * i]);
        CHECK(after[i].second.grad().raw() == places[2 * i + 1]);
        CHECK(after[i].second.value().version() == versions[i]);
    }
    const Tensor before = run.parameters[0].second.value().clone();
    run.step();
    CHECK(same_bits(run.model.fc1.weight.value(), before) != "");
}

TEST_CASE("optimizer, average and lists from before go on with a model that moved") {
    if (test_device().is_cpu()) DEMI_SKIP("moves between devices");
    for (int moved = 0; moved < 4; ++moved)
        for (bool with_gradient : {false, true}) {
            CAPTURE(moved);
            Run still, moving;
            for (int step = 0; step < 4; ++step) {
                if (step == moved && !with_gradient) moving.move(test_device());
                still.backward(static_cast<uint64_t>(step));
                moving.backward(static_cast<uint64_t>(step));
                if (step == moved && with_gradient) moving.move(test_device());
                still.step();
                moving.step();
            }
            for (size_t i = 0; i < still.parameters.size(); ++i) {
                const Variable& p = moving.parameters[i].second;
                CHECK(p.device() == test_device());
                CHECK(p.node() == parameters_of(moving.model)[i].second.node());
                CHECK(compare(p.value(), still.parameters[i].second.value(), {2e-3, 1e-3}) == "");
                CHECK(compare(moving.averages[i].second.value(), still.averages[i].second.value(),
                              {2e-3, 1e-3}) == "");
            }
            NamedTensors saved;
            Metadata metadata;
            moving.optimizer.save(saved, metadata);
            for (const auto& [name, moment] : saved) CHECK(moment.device() == test_device());
            moving.move(Device::cpu());
            moving.backward(9);
            moving.step();
        }
}

TEST_CASE("a move keeps every bit, and ends graphs that were recorded before") {
    if (test_device().is_cpu()) DEMI_SKIP("moves between devices");
    Run run;
    const Tensor view = run.model.fc1.weight.value().slice(0, 2, 5), copy = view.clone();
    run.backward(0);
    const Tensor grad = run.model.fc1.weight.grad().clone();
    const Variable loss = sum(square(run.model.forward(drawn({5, 6}, 1))));
    run.move(test_device());
    CHECK(view.device() == test_device());
    CHECK(same_bits(view, copy) == "");
    CHECK(same_bits(run.model.fc1.weight.grad(), grad) == "");
    CHECK(has(error_of([&] { loss.backward(); }), "was modified in place"));
    run.move(Device::cpu());
    CHECK(same_bits(view, copy) == "");
}

TEST_CASE("centers move with student and teacher") {
    Generator g{1};
    SslConfig config;
    config.backbone = tiny_vit(8, 8, 1);
    config.head = {8, 6, 8, 4, 2};
    config.centering = "centering";
    SSLMetaArch model(config, g);
    const NamedParameters student = model.student_parameters(), teacher = model.teacher_parameters();
    ForwardContext context;
    SslBatch batch;
    batch.global_crops = drawn({4, 3, 8, 8}, 2);
    model.losses(batch, 0.07, context);  // leaves centers that have not moved yet
    model.to_device(test_device());
    model.commit(0.9);
    for (const NamedParameters& all : {student, teacher})
        for (const auto& [name, p] : all) CHECK(p.device() == test_device());
    for (const auto& [name, center] : model.centers()) CHECK(center.device() == test_device());
    batch.global_crops = batch.global_crops.to(test_device());
    model.losses(batch, 0.07, context).total.backward();
    CHECK(student[0].second.grad().defined());
}

TEST_CASE("a move that cannot be made is refused and changes nothing") {
    Run run;
    CHECK(has(error_of([&] { Variable().move_to(Device::cpu()); }), "[move_to] needs a leaf"));
    CHECK(has(error_of([&] { (run.model.fc1.weight * 2.0).move_to(Device::cpu()); }),
              "[move_to] needs a leaf"));
    Mlp none;
    CHECK(has(error_of([&] { to_device(none, Device::cpu()); }), "holds no parameters"));
    CHECK(error_of([&] { to_device(run.model, Device::cuda(100)); }) != "");
    run.backward(0);
    run.step();
}

}  // namespace demi::test
