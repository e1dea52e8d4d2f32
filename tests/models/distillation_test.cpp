// A frozen teacher: its targets, its features, and what is read of it.
#include <doctest/doctest.h>

#include <cmath>

#include "models/checkpoint.h"
#include "models/mask_generator.h"
#include "models/pretrained/teacher.h"
#include "models/ssl_meta_arch.h"
#include "runtime/copy.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary.h"
#include "tests/support/tiny_vit.h"

using namespace demi;
using namespace demi::test;

namespace {

SslConfig student_config() {
    SslConfig c;
    c.backbone = tiny_vit(16, 8, 2);
    c.head = {8, 12, 16, 6, 3};
    return c;
}

void randomise(const NamedParameters& parameters, uint64_t seed) {
    Generator g{seed};
    for (const auto& [name, p] : parameters) normal(Variable(p).value(), g, 0, 0.4);
}

Tensor random(const Shape& shape, uint64_t seed) {
    Generator g{seed};
    Tensor x = Tensor::empty(shape);
    normal(x, g);
    return x;
}

SslBatch batch_of(int64_t images) {
    Generator g{4};
    return {random({2 * images, 3, 16, 16}, 1), random({3 * images, 3, 8, 8}, 2),
            block_masks(2 * images, 4, 4, {}, g)};
}

// Of another width and depth, with heads of another hidden width.
FrozenTeacher other_teacher(int64_t patch = 4) {
    Generator g{7};
    ViTConfig c = tiny_vit(16, 12, 3);
    c.img_size = 4 * patch;
    c.patch_size = patch;
    FrozenTeacher teacher;
    teacher.backbone = DinoVisionTransformer(c, g);
    teacher.dino_head = DINOHead({12, 12, 5, 4, 2}, g);
    randomise(parameters_of(teacher), 8);
    return teacher;
}

ForwardContext context() {
    ForwardContext c;
    c.boundary.mode = BoundaryMode::off;
    return c;
}

std::vector<double> numbers(const Tensor& t) { return t.to_vector<double>(); }

// sum (a - b)^2 / sum b^2 over some rows, in double; `layer` makes a of the student's tokens.
double mismatch(const Tensor& tokens, const Tensor& weight, const Tensor& bias, const Tensor& target) {
    const auto x = numbers(tokens), w = numbers(weight), b = numbers(bias), t = numbers(target);
    const size_t in = static_cast<size_t>(weight.size(1)), out = static_cast<size_t>(weight.size(0));
    double difference = 0, size = 0;
    for (size_t r = 0; r < t.size() / out; ++r)
        for (size_t o = 0; o < out; ++o) {
            double y = b[o];
            for (size_t i = 0; i < in; ++i) y += w[o * in + i] * x[r * in + i];
            difference += std::pow(y - t[r * out + o], 2);
            size += std::pow(t[r * out + o], 2);
        }
    return difference / size;
}

}  // namespace

TEST_CASE("a frozen copy of the teacher makes the same losses, and stays when the average moves") {
    for (const char* centering : {"sinkhorn_knopp", "centering"}) {
        SslConfig config = student_config();
        config.centering = centering;
        config.separate_ibot_head = true;
        Generator g{1};
        SSLMetaArch still(config, g), frozen(config, g);
        randomise(still.student_parameters(), 2);
        randomise(still.teacher_parameters(), 3);
        copy_parameters(frozen.student_parameters(), still.student_parameters());
        copy_parameters(frozen.teacher_parameters(), still.student_parameters());  // another one
        FrozenTeacher teacher;
        teacher.backbone = DinoVisionTransformer(config.backbone, g);
        teacher.dino_head = DINOHead(config.head, g);
        teacher.ibot_head = DINOHead(config.head, g);
        copy_parameters(parameters_of(teacher), still.teacher_parameters());
        frozen.distil(teacher);
        for (int step = 0; step < 2; ++step) {
            const SslLosses a = still.losses(batch_of(3), 0.1, context()),
                            b = frozen.losses(batch_of(3), 0.1, context());
            CHECK(a.total.item() == b.total.item());
            CHECK(a.ibot.item() == b.ibot.item());
            CHECK(a.ibot.item() > 0);
            CHECK(a.target_entropy.item() == b.target_entropy.item());
            still.commit(1);  // the average stays
            frozen.commit(0.5);
        }
    }
}

TEST_CASE("features: the loss is its formula, of whole batches and of parts") {
    SslConfig config = student_config();
    config.feature_dim = 12;
    config.ibot_weight = 0.5;
    config.dino_weight = 2;
    config.koleo_weight = 0;
    Generator g{1};
    SSLMetaArch model(config, g);
    randomise(model.student_parameters(), 2);
    FrozenTeacher teacher = other_teacher();
    teacher.dino_head = {};
    model.distil(teacher);
    const int64_t n = 3;
    const SslBatch batch = batch_of(n);
    const SslLosses losses = model.losses(batch, 0.1, context());

    Tensor weight, bias;
    for (const auto& [name, p] : model.student_parameters()) {
        CHECK(name.find("dino_head") == std::string::npos);
        if (name == "feature_head.weight") weight = p.value();
        if (name == "feature_head.bias") bias = p.value();
    }
    REQUIRE(weight.shape() == Shape({12, 8}));
    const ViTOutput t = teacher.backbone.forward_features(Variable(batch.global_crops), context());
    const auto s = model.student_backbone().forward_features(
        std::vector{Variable(batch.global_crops), Variable(batch.local_crops)}, context());
    const Tensor cls = t.x_norm_clstoken.value();
    const double global = mismatch(s[0].x_norm_clstoken.value(), weight, bias, cls) * 2 / 8;
    double local = 0;
    for (int64_t v = 0; v < 3; ++v)
        for (int64_t view = 0; view < 2; ++view)
            local += mismatch(s[1].x_norm_clstoken.value().slice(0, v * n, (v + 1) * n), weight, bias,
                              cls.slice(0, view * n, (view + 1) * n)) /
                     8;
    const double patches =
        mismatch(s[0].x_norm_patchtokens.value(), weight, bias, t.x_norm_patchtokens.value());
    CHECK(losses.dino_global.item() == doctest::Approx(global).epsilon(1e-5));
    CHECK(losses.dino_local.item() == doctest::Approx(local).epsilon(1e-5));
    CHECK(losses.ibot.item() == doctest::Approx(patches).epsilon(1e-5));
    CHECK(losses.total.item() == doctest::Approx(2 * (global + local) + 0.5 * patches).epsilon(1e-5));

    const std::vector<SslLogits> logits{model.teacher_logits(batch, context())};
    const auto targets = model.targets(logits, 0.1, [](const Tensor& own) { return own; });
    CHECK(model.student_losses(batch, targets[0], context()).total.item() == losses.total.item());
    CHECK(has(error_of([&] {
                  model.student_losses(batch, {cls.slice(0, 0, 2), cls}, context());
              }),
              "(6, 12)"));
    CHECK(has(error_of([&] { model.student_losses(batch, {cls, cls}, context()); }), "(96, 12)"));

    // the gradient, by differences; none for the teacher
    losses.total.backward();
    for (const auto& [name, p] : parameters_of(teacher)) CHECK(!p.grad().defined());
    for (auto& [name, p] : model.student_parameters()) {
        if (name != "feature_head.weight" && name != "feature_head.bias" &&
            name != "backbone.blocks.1.mlp.fc1.weight")
            continue;
        CAPTURE(name);
        Tensor shared = p.value();
        float* value = shared.mutable_data<float>();
        const double got = numbers(p.grad())[3];
        const float before = value[3];
        double f[2];
        for (int side = 0; side < 2; ++side) {
            value[3] = before + (side == 0 ? -5e-3f : 5e-3f);
            f[side] = model.losses(batch, 0.1, context()).total.item();
        }
        value[3] = before;
        CHECK(got == doctest::Approx((f[1] - f[0]) / 1e-2).epsilon(0.02));
    }
}

TEST_CASE("the teacher sees its own colours and the same grid of patches") {
    FrozenTeacher teacher = other_teacher(6);
    const Tensor crops = random({2, 3, 16, 8}, 5);
    CHECK(teacher.images(crops, 4).shape() == Shape({2, 3, 24, 12}));
    CHECK(teacher.images(Tensor::full({1, 3, 16, 16}, 0.5), 4).to_vector<float>()[40] ==
          doctest::Approx(0.5));
    teacher.scale = {2, 1, 0.5};
    teacher.shift = {1, 0, -1};
    const std::vector<float> seen = teacher.images(crops, 6).to_vector<float>(), x = crops.to_vector<float>();
    CHECK(seen[0] == 2 * x[0] + 1);
    CHECK(seen[128] == x[128]);
    CHECK(seen[256] == x[256] * 0.5f - 1);
    teacher.shift = {1};
    CHECK(has(error_of([&] { teacher.images(crops, 6); }), "3 and 1"));
    teacher.scale.clear();
    teacher.shift.clear();
    CHECK(has(error_of([&] { teacher.images(random({2, 1, 16, 16}, 5), 4); }), "3 channels"));
    CHECK(has(error_of([&] { teacher.images(random({2, 3, 16, 2}, 5), 4); }), "smaller than a patch"));
    Generator g{1};
    SslConfig config = student_config();
    config.head.out_dim = 13;
    CHECK(has(error_of([&] { SSLMetaArch(config, g).distil(other_teacher()); }), "12 prototypes"));
    config.feature_dim = 11;
    CHECK(has(error_of([&] { SSLMetaArch(config, g).distil(other_teacher()); }), "12"));
    CHECK(has(error_of([&] { SSLMetaArch(config, g).losses(batch_of(2), 0.1, context()); }), "distil()"));
}

TEST_CASE("heads of a file: weight norm of either kind, or none; others are refused by name") {
    TemporaryFolder folder;
    FrozenTeacher made = other_teacher();
    const NamedTensors all = state_dict(parameters_of(made));
    const auto open = [&](const NamedTensors& tensors) {
        write_safetensors(folder / "x", tensors, {{"num_heads", "2"}});
        return load_teacher(Pretrained(folder / "x"));
    };
    const auto logits = [&](const FrozenTeacher& t) {
        return t.dino_head.forward(t.backbone.forward(Variable(random({2, 3, 16, 16}, 6)), context()))
            .value()
            .to_vector<double>();
    };
    const std::vector<double> want = logits(made);
    CHECK(logits(open(all)) == want);

    NamedTensors plain, parametrised, bare;
    for (const auto& [name, tensor] : all) {
        if (name == "dino_head.last_layer.weight_g") {
            parametrised.emplace_back("dino_head.last_layer.parametrizations.weight.original0", tensor);
        } else if (name == "dino_head.last_layer.weight_v") {
            parametrised.emplace_back("dino_head.last_layer.parametrizations.weight.original1", tensor);
            plain.emplace_back("dino_head.last_layer.weight", tensor);
        } else {
            for (NamedTensors* list : {&plain, &parametrised}) list->emplace_back(name, tensor);
            if (name.starts_with("backbone.")) bare.emplace_back(name, tensor);
        }
    }
    CHECK(logits(open(parametrised)) == want);
    // y = x v^T
    FrozenTeacher without_norm = open(plain);
    for (const auto& [name, p] : parameters_of(made))
        if (name == "dino_head.last_layer.weight_g") {
            Tensor g = Variable(p).value();
            const auto v = numbers(made.dino_head.weight_v.value());
            for (int64_t k = 0; k < 12; ++k) {
                double square = 0;
                for (int64_t i = 0; i < 4; ++i) square += std::pow(v[static_cast<size_t>(4 * k + i)], 2);
                g.mutable_data<float>()[k] = static_cast<float>(std::sqrt(square));
            }
        }
    const std::vector<double> a = logits(without_norm), b = logits(made);
    for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-5));
    CHECK(!open(bare).has_heads());

    const auto refused = [&](const std::string& name, const Tensor& tensor) {
        NamedTensors changed;
        for (const auto& [n, t] : all)
            if (n != name) changed.emplace_back(n, t);
        if (tensor.defined()) changed.emplace_back(name, tensor);
        return error_of([&] { open(changed); });
    };
    CHECK(has(refused("dino_head.mlp.1.weight", Tensor::ones({5})), "no place for dino_head.mlp.1.weight"));
    CHECK(has(refused("dino_head.mlp.0.weight", Tensor::ones({5, 13})), "no part of an MLP"));
    CHECK(has(refused("dino_head.mlp.0.weight", Tensor()), "no mlp"));
    CHECK(has(refused("dino_head.mlp.2.bias", Tensor::ones({5})), "dino_head.mlp.2.bias"));
    CHECK(has(refused("dino_head.last_layer.weight_v", Tensor()), "no last layer"));
    CHECK(has(refused("dino_head.last_layer.weight_g", Tensor()), "no weight_g"));
    CHECK(has(refused("dino_head.last_layer.weight_g", Tensor::full({12, 1}, INFINITY)), "NaN or infinity"));
}
