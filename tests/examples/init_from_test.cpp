// --init-from: a model starts from the weights of another one.
#include "examples/train/init_from.h"

#include <doctest/doctest.h>

#include "examples/common/metrics.h"
#include "examples/train/classifier.h"
#include "examples/train/model_file.h"
#include "examples/train/selfsupervised.h"
#include "examples/train/supervised.h"
#include "models/checkpoint.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/temporary.h"

using namespace demi;
using namespace demi::examples;
using namespace demi::test;

namespace {

ViTConfig small(int64_t channels = 3) {
    ViTConfig c;
    c.img_size = 16;
    c.patch_size = 4;
    c.in_chans = channels;
    c.embed_dim = 24;
    c.depth = 3;
    c.num_heads = 3;
    c.ffn_hidden = 40;
    return c;
}

const data::ChannelStats kStats{{0.2f, 0.4f, 0.6f}, {0.3f, 0.2f, 0.5f}};

struct Start {
    TemporaryFolder folder;
    TrainOptions options;
    Classifier model;
    std::vector<std::string> names = {"bee", "fly", "wasp"};

    explicit Start(const ViTConfig& config = small()) {
        Generator generator{3};
        model = Classifier(config, 3, generator);
        for (auto& [name, parameter] : parameters_of(model)) uniform(parameter.value(), generator, -0.5, 0.5);
        options.init_from = folder / "model.safetensors";
        options.out = folder / "run";
        write();
    }
    NamedTensors tensors() { return state_dict(parameters_of(model)); }
    void write() { write(tensors()); }
    void write(const NamedTensors& tensors, bool facts = true) {
        Metadata m = facts ? model_metadata("train_vit", model.backbone.config(), kStats) : Metadata();
        add_classes(m, names);
        write_safetensors(options.init_from, tensors, m);
    }
    // A model as the weights and the options say, and its head by these classes.
    bool load(Classifier& into, const std::vector<std::string>& classes) {
        const InitFrom weights(options);
        TrainOptions o = options;
        weights.adapt(o);
        const int64_t channels = o.channels > 0 ? o.channels : 3;
        Generator generator{9};
        into = Classifier(weights.config(o, o.image_size, channels), std::ssize(classes), generator);
        return weights.load(parameters_of(into), classes, o.partial);
    }
    std::string refused() {
        return error_of([&] {
            Classifier other;
            load(other, names);
        });
    }
};

Tensor parameter(Classifier& model, const std::string& wanted) {
    for (const auto& [name, parameter] : parameters_of(model))
        if (name == wanted) return parameter.value();
    return {};
}

}  // namespace

TEST_CASE("the weights say what the model and the pictures are") {
    Start start;
    const InitFrom weights(start.options);
    TrainOptions o = start.options;
    weights.adapt(o);
    CHECK(o.image_size == 16);
    CHECK(o.patch == 4);
    CHECK(o.channels == 3);
    const ViTConfig c = weights.config(o, 16, 3);
    CHECK(c.embed_dim == 24);
    CHECK(c.ffn_hidden == 40);
    CHECK(o.depth == 3);
    CHECK(o.heads == 3);
    const data::ChannelStats stats = weights.stats({}, 3);
    CHECK(stats.mean[2] == kStats.mean[2]);
    CHECK(stats.std[1] == kStats.std[1]);
    Classifier other;
    CHECK(start.load(other, start.names));
    for (size_t i = 0; i < start.tensors().size(); ++i)
        CHECK(same_bits(parameters_of(other)[i].second.value(), start.tensors()[i].second) == "");
}

TEST_CASE("larger pictures of our own weights get larger patches, others more of them") {
    Start start;
    const auto patch = [&](int64_t side, int64_t asked) {
        TrainOptions o = start.options;
        o.image_size = side;
        o.patch = asked;
        InitFrom(o).adapt(o);
        return o.patch;
    };
    CHECK(patch(24, 0) == 6);
    CHECK(patch(24, 4) == 4);
    CHECK(patch(8, 0) == 2);
    CHECK(patch(20, 0) == 5);
    CHECK(patch(18, 0) == 4);  // which config() refuses: no whole number of patches
    start.options.image_size = 18;
    CHECK(has(start.refused(), "16 or 20 would fit"));
    start.write(start.tensors(), false);
    CHECK(patch(24, 0) == 4);
    start.options.image_size = 24;
    Classifier other;
    start.load(other, start.names);
    CHECK(other.backbone.config().img_size == 24);
    CHECK(parameter(other, "pos_embed").shape() == Shape({1, 37, 24}));
}

TEST_CASE("a classifier is loaded class by class") {
    Start start;
    Classifier other;
    CHECK(start.load(other, {"wasp", "bee", "fly"}));
    const Tensor mine = parameter(start.model, "head.weight"), bias = parameter(start.model, "head.bias");
    for (const auto& [here, there] : {std::pair<int64_t, int64_t>{0, 2}, {1, 0}, {2, 1}}) {
        CHECK(same_bits(parameter(other, "head.weight").select(0, here), mine.select(0, there)) == "");
        CHECK(parameter(other, "head.bias").select(0, here).item() == bias.select(0, there).item());
    }
    CHECK_FALSE(start.load(other, {"ant", "fly"}));
    CHECK(same_bits(parameter(other, "head.weight").select(0, 1), mine.select(0, 1)) == "");
    CHECK(parameter(other, "head.bias").select(0, 0).item() == 0);
    CHECK_FALSE(start.load(other, {"a", "b", "c"}));
    start.names.clear();  // of a file that names none
    start.write();
    CHECK(start.load(other, {"a", "b", "c"}));
    CHECK(same_bits(parameter(other, "head.weight"), mine) == "");
    CHECK_FALSE(start.load(other, {"a", "b"}));
}

TEST_CASE("grey weights start on RGB pictures, RGB weights on grey ones") {
    Start grey(small(1));
    Classifier other;
    const InitFrom weights(grey.options);
    TrainOptions o = grey.options;
    weights.adapt(o);
    CHECK(o.channels == 0);  // as the pictures are
    CHECK(weights.stats({}, 3).mean[2] == kStats.mean[0]);
    CHECK(grey.load(other, grey.names));
    CHECK(other.backbone.config().in_chans == 3);
    const Tensor w = parameter(other, "patch_embed.proj.weight"),
                 from = parameter(grey.model, "patch_embed.proj.weight");
    CHECK(w.select(1, 1).select(0, 0).select(0, 0).select(0, 0).item() ==
          doctest::Approx(0.587 * from.select(1, 0).select(0, 0).select(0, 0).select(0, 0).item()));
    Start rgb;
    InitFrom(rgb.options).adapt(rgb.options);
    CHECK(rgb.options.channels == 3);
}

TEST_CASE("what does not fit is refused, or goes on with --partial") {
    Start start;
    const auto with = [&](const char* flag, auto set) {
        Start other;
        other.options.given = {flag};
        set(other.options);
        return other.refused();
    };
    CHECK(has(with("dim", [](TrainOptions& o) { o.dim = 96; }), "has --dim 24: got --dim 96"));
    CHECK(has(with("mlp-ratio", [](TrainOptions& o) { o.mlp_ratio = 4; }), "mlp-ratio"));
    CHECK(has(with("swiglu", [](TrainOptions& o) { o.swiglu = true; }), "swiglu"));
    CHECK(has(with("model",
                   [](TrainOptions& o) {
                       o.model = "vit_small";
                       o.patch = 4;
                   }),
              "no vit_small"));
    CHECK(has(with("depth", [](TrainOptions& o) { o.depth = 2; }), "no place for: blocks.2."));
    CHECK(has(with("depth", [](TrainOptions& o) { o.depth = 4; }), "lacks blocks.3."));
    CHECK(has(with("registers", [](TrainOptions& o) { o.registers = 2; }), "lacks register_tokens"));
    CHECK(has(with("init-from", [](TrainOptions& o) { o.layer_scale = 0.1; }), "lacks blocks.0.ls1.gamma"));
    NamedTensors tensors = start.tensors();
    tensors.emplace_back("blocks.0.attn.q_norm.weight", Tensor::ones({4}));
    start.write(tensors);
    CHECK(has(start.refused(), "no place for: blocks.0.attn.q_norm.weight"));
    start.options.partial = true;
    CHECK(start.refused() == "");
    std::erase_if(tensors, [](const auto& entry) { return entry.first.find("norm") != std::string::npos; });
    start.write(tensors);
    CHECK(start.refused() == "");
    start.options.partial = false;
    CHECK(has(start.refused(), "lacks blocks.0.norm1.weight"));
}

TEST_CASE("--freeze keeps the backbone, or its first blocks") {
    Start start;
    const auto learning = [&](const std::string& what) {
        Generator generator{3};
        Classifier model(small(), 3, generator);
        freeze(parameters_of(model), what, 3);
        std::string text;
        for (const auto& [name, parameter] : parameters_of(model))
            if (parameter.requires_grad()) text += name + " ";
        return text;
    };
    CHECK(learning("backbone") == "head.weight head.bias ");
    CHECK(has(learning("3"), "norm.weight norm.bias head.weight"));
    CHECK_FALSE(has(learning("3"), "blocks."));
    const std::string two = learning("2");
    for (const char* name : {"cls_token", "pos_embed", "patch_embed", "blocks.0.", "blocks.1."})
        CHECK_FALSE(has(two, name));
    CHECK(has(two, "blocks.2.norm1.weight"));
    for (const char* bad : {"4", "0", "-1", "2x", "head", "backbones"})
        CHECK(has(error_of([&] { learning(bad); }), "from 1 to 3: got '" + std::string(bad) + "'"));
}

TEST_CASE("fine-tuning starts on larger pictures where training ended") {
    TemporaryFolder folder;
    TrainOptions o;
    o.dim = 32;
    o.depth = 2;
    o.heads = 2;
    o.batch = 32;
    o.lr = 3e-3;
    o.image_size = 16;
    o.train_images = 1600;
    o.test_images = 1000;
    o.steps = 250;
    o.tensorboard = false;
    o.out = folder / "small";
    const auto score = [&](int64_t step) {
        for (const Record& r : read_metrics(o.out + "/metrics.jsonl"))
            if (r.find("test_accuracy") && r.number("step") == static_cast<double>(step))
                return r.number("test_accuracy");
        return -1.0;
    };
    CHECK(train_supervised(o, {}) == 0);
    const double end = score(250);
    CHECK(end > 0.25);  // of ten classes
    TrainOptions larger = o;
    larger.init_from = o.out + "/model.safetensors";
    larger.image_size = 24;
    larger.steps = 1;
    o.out = larger.out = folder / "large";
    CHECK(train_supervised(larger, {}) == 0);
    CHECK(std::abs(score(0) - end) < 0.02);
}

TEST_CASE("weights of DINOv3 are fine-tuned in every precision, and what is frozen stays") {
    TemporaryFolder folder;
    ViTConfig c = small();
    c.num_register_tokens = 2;
    c.num_heads = 2;  // of 12 elements: rope needs a multiple of four
    c.norm_eps = 1e-5;
    c.rope.emplace();
    c.mask_k_bias = c.drop_path_subsets = true;
    Start start(c);
    for (const auto& [precision, boundary] : {std::pair{"f32", "off"}, {"bf16", "wide"}, {"f16", "strict"}}) {
        TrainOptions o = start.options;
        o.precision = precision;
        o.boundary = boundary;
        o.freeze = "1";
        o.batch = 16;
        o.train_images = o.test_images = 32;
        o.steps = 2;
        o.lr = 1e-3;
        o.overwrite = true;
        o.tensorboard = false;
        CHECK(train_supervised(o, {}) == 0);
        const Pretrained made(o.out + "/model.safetensors");
        CHECK(made.config().dinov3);
        CHECK(made.config().mask_k_bias);
        CHECK(made.config().norm_eps == 1e-5);
        CHECK(made.config().classes.size() == 10);
        for (const auto& [name, tensor] : start.tensors())
            if (!name.starts_with("head.") && name != "mask_token")
                CHECK((same_bits(made.file().load(name), tensor) == "") ==
                      !(name.starts_with("blocks.1.") || name.starts_with("blocks.2.") ||
                        name.starts_with("norm.")));
    }
}

TEST_CASE("self-supervised training goes on from a backbone, which waits until new heads have learnt") {
    Start start;
    NamedTensors backbone = start.tensors();
    std::erase_if(backbone, [](const auto& entry) { return entry.first.starts_with("head."); });
    start.write(backbone);
    TrainOptions o = start.options;
    o.lr = -1;
    o.batch = 16;
    o.train_images = o.test_images = 32;
    o.prototypes = 16;
    o.head_hidden = 16;
    o.bottleneck = 8;
    o.warmup_heads = 2;
    o.linear_probe = o.tensorboard = false;
    o.overwrite = true;
    const auto moved = [&](int64_t steps,
                           const char* part) {  // the largest change of the backbone, of the heads
        o.steps = steps;
        CHECK(train_selfsupervised(o, {}) == 0);
        const SafetensorsFile file(o.out + "/checkpoint.safetensors");
        double change = 0;
        for (const auto& [name, tensor] : backbone) {
            const Tensor now = file.load(std::string(part) + name);
            const std::vector<float> a = now.to_vector<float>(), b = tensor.to_vector<float>();
            for (size_t i = 0; i < a.size(); ++i)
                change = std::max(change, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
        }
        return change;
    };
    CHECK(moved(2, "student.backbone.") == 0);
    CHECK(moved(2, "backbone.") < 1e-6);  // an average of equal numbers rounds
    CHECK(moved(4, "student.backbone.") > 1e-5);
    // With heads of these sizes in the file nothing waits.
    o.init_from = start.folder / "whole.safetensors";
    std::filesystem::copy_file(o.out + "/teacher.safetensors", o.init_from);
    backbone.clear();
    const SafetensorsFile whole(o.init_from);
    for (const std::string& name : whole.names())
        if (name.starts_with("backbone.")) backbone.emplace_back(name.substr(9), whole.load(name));
    o.warmup_heads = -1;
    CHECK(moved(1, "student.backbone.") > 1e-6);
}
