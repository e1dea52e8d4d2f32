// Losses, masks, optimizers, schedules, scalers.
#include "models/dino_loss.h"
#include "models/ema.h"
#include "models/grad_scaler.h"
#include "models/mask_generator.h"
#include "models/optimizer.h"
#include "models/schedule.h"
#include "ops/operators.h"
#include "tests/misuse/walk.h"
#include "tests/support/temporary.h"

namespace demi::test {
namespace {

void loss_walks(Walks& walks) {
    walks.add(
        "softmax_center", [](Tensor t, Tensor c, double temp) { return softmax_center(t, c, temp); },
        tensor({2, 3}), tensor({1, 3}), 0.1);
    walks.add(
        "sinkhorn_knopp",
        [](Tensor t, double temp, int n) { return sinkhorn_knopp(t, temp, n > 1000 ? 1000 : n); },
        tensor({2, 3}), 0.1, 3);
    walks.add(
        "update_center", [](Tensor c, Tensor t, double momentum) { update_center(c, t, momentum); },
        tensor({1, 3}), tensor({2, 3}), 0.9);
    walks.add(
        "dino_loss", [](Vars s, Tensors t, double temp) { return dino_loss(s, t, temp); },
        Vars{variable({2, 3})}, Tensors{tensor({2, 3})}, 0.1);
    walks.add(
        "ibot_loss", [](Variable s, Tensor t, Tensor m, double temp) { return ibot_loss(s, t, m, temp); },
        variable({5, 3}), tensor({5, 3}), tensor({2, 4}, DType::boolean), 0.1);
    walks.add(
        "koleo_loss", [](Variable x, double eps) { return koleo_loss(x, eps); }, variable({3, 4}), 1e-8);
    const auto options = [](double p, double low, double high, int64_t least, double aspect) {
        return MaskOptions{p, low, high, least, aspect};
    };
    walks.add(
        "block_mask",
        [options](int64_t h, int64_t w, int64_t quota, int64_t least, double aspect) {
            Generator g{1};
            return block_mask(h, w, quota, options(0.5, 0.1, 0.5, least, aspect), g);
        },
        4, 4, 6, 2, 0.3);
    walks.add(
        "block_masks",
        [options](int64_t n, int64_t h, int64_t w, double p, double low, double high, int64_t least,
                  double aspect) {
            Generator g{1};
            return block_masks(n, h, w, options(p, low, high, least, aspect), g);
        },
        3, 4, 4, 0.5, 0.1, 0.5, 2, 0.3);
    walks.add(
        "masked_positions", [](Tensor masks) { return masked_positions(masks); },
        tensor({2, 4}, DType::boolean));
    walks.add(
        "mask_weights", [](Tensor masks) { return mask_weights(masks); }, tensor({2, 4}, DType::boolean));
    walks.add(
        "ibot_loss",
        [](Variable s, Tensor t, Tensor w, int64_t images, double temp) {
            return ibot_loss(s, t, w, images, temp);
        },
        variable({5, 3}), tensor({5, 3}), tensor({5}), 2, 0.1);
}

void parameter_walks(Walks& walks) {
    const NamedParameters two{{"a", variable({2, 3})}, {"b", variable({3})}};
    walks.add(
        "parameter_count zero_grad",
        [](NamedParameters p) {
            zero_grad(p);
            return parameter_count(p);
        },
        two);
    walks.add(
        "copy_parameters", [](NamedParameters a, NamedParameters b) { copy_parameters(a, b); }, two, two);
    walks.add(
        "ema_update", [](NamedParameters a, NamedParameters b, double decay) { ema_update(a, b, decay); },
        two, two, 0.9);
    walks.add(
        "constant_parameter", [](Shape s, double v) { return constant_parameter(s, v); }, Shape{2, 3}, 1.0);
    walks.add(
        "normal_parameter trunc_normal_parameter uniform_parameter",
        [](Shape s, Generator g, double v) {
            use(normal_parameter(s, g, v));
            use(uniform_parameter(s, g, v));
            return trunc_normal_parameter(s, g, v);
        },
        Shape{2, 3}, Generator{1}, 0.02);
    walks.add(
        "parameter_options",
        [](std::string name, NamedParameters all, double decay, double patch, int64_t depth) {
            (void)parameter_options(all, {decay, patch, depth});
            return parameter_options(name, {decay, patch, depth});
        },
        std::string("blocks.0.attn.qkv.weight"), two, 0.9, 0.2, 3);
    walks.add(
        "parameter_options",
        [](std::string number, int64_t depth) {
            return parameter_options("blocks." + number + ".norm1.weight", {0.9, 0.2, depth});
        },
        std::string("0"), 3);
}

void optimizer_walks(Walks& walks) {
    const NamedParameters two{{"a", variable({2, 3})}, {"b", variable({3})}};
    walks.add(
        "Optimizer::Optimizer Optimizer::step Optimizer::set_rates Optimizer::take_back Optimizer::zero_grad "
        "Optimizer::steps Optimizer::parameters Optimizer::save Optimizer::load",
        [](NamedParameters p, int64_t options, OptimizerKind kind, double lr, double decay, double last,
           int64_t multipliers, Tensor grad) {
            const auto count = [&](int64_t n) {
                return n < 0 ? p.size() : static_cast<size_t>(n > 9 ? 9 : n);
            };
            OptimizerOptions settings;
            settings.kind = kind;
            Optimizer optimizer(p, std::vector<ParameterOptions>(count(options)), settings);
            for (auto& [name, v] : p)
                if (grad.defined() && grad.shape() == v.shape()) v.set_grad(grad);
            StepRates rates{lr, decay, last};
            if (multipliers != -1) rates.grad_multipliers.resize(count(multipliers));
            optimizer.set_rates(rates);
            optimizer.step(rates);
            NamedTensors tensors;
            Metadata metadata;
            optimizer.save(tensors, metadata);
            write_safetensors("optimizer", tensors, metadata);
            optimizer.load(SafetensorsFile("optimizer"));
            optimizer.take_back();
            optimizer.zero_grad();
            (void)(optimizer.steps(), optimizer.parameters());
        },
        two, -1, OptimizerKind::adamw, 1e-3, 0.1, -1.0, -1, tensor({2, 3}));
    walks.add(
        "gradient_factors",
        [](NamedParameters p, uint64_t a, uint64_t b, double multiplier, double limit) {
            return gradient_factors(p, {a, b}, multiplier, limit).values;
        },
        two, 1, 1, 1.0, 1.0);
    walks.add(
        "outcome_of",
        [](double norm, double factor, uint64_t count) {
            const std::vector<double> values{norm, factor};
            return outcome_of(std::span(values).first(std::min<uint64_t>(count, 2))).norm;
        },
        1.0, 1.0, 2);
    walks.add(
        "gradient_norm",
        [](NamedParameters p, double m, double limit) { return gradient_norm(p, m, limit).norm; }, two, 1.0,
        1.0);
    walks.add(
        "GradScaler::GradScaler GradScaler::scale GradScaler::inverse GradScaler::live_inverse "
        "GradScaler::update "
        "GradScaler::skipped GradScaler::skipped_in_a_row GradScaler::enabled GradScaler::state "
        "GradScaler::load",
        [](bool on, double init, double grow, double back, int64_t interval, double floor, double cap,
           Metadata state) {
            GradScaler scaler({on, init, grow, back, interval, floor, cap});
            (void)(scaler.scale() + scaler.inverse() + scaler.live_inverse().value + scaler.enabled());
            for (int i = 0; i < 3; ++i) scaler.update(i != 1);
            (void)(scaler.skipped(), scaler.skipped_in_a_row());
            scaler.load(state.empty() ? scaler.state() : state);
        },
        true, 65536.0, 2.0, 0.5, 2, 1.0, 1e6, Metadata());
    walks.add(
        "GradScaler::backward",
        [](Variable loss, bool retain) {
            GradScaler scaler;
            scaler.backward(mul(loss, 2.0), {.retain_graph = retain});
        },
        variable({}), false);
    walks.add(
        "GradScaler::step GradScaler::settle Optimizer::outcome",
        [](NamedParameters p, double lr, double clip, bool backward) {
            Optimizer optimizer(p, std::vector<ParameterOptions>(p.size()));
            GradScaler scaler;
            if (backward && !p.empty()) scaler.backward(mul(p.at(0).second, 2.0));
            StepRates rates;
            rates.lr = lr;
            rates.clip_grad = clip;
            scaler.step(optimizer, rates);
            (void)(scaler.settle(), optimizer.outcome());
        },
        NamedParameters{{"a", variable({1})}}, 1e-3, 1.0, true);
    walks.add(
        "CosineSchedule::at",
        [](double base, double last, int64_t total, int64_t warmup, double start, int64_t freeze,
           int64_t step) { return CosineSchedule{base, last, total, warmup, start, freeze}.at(step); },
        1.0, 0.0, 10, 2, 0.0, 1, 4);
    walks.add(
        "LinearSchedule::at",
        [](double a, double b, int64_t n, int64_t step) {
            return LinearSchedule{a, b, n}.at(step);
        },
        0.0, 1.0, 10, 4);
}

}  // namespace

void training_walks(Walks& walks) {
    loss_walks(walks);
    parameter_walks(walks);
    optimizer_walks(walks);
}

}  // namespace demi::test
