#pragma once
// Weights of a small classifier in a folder of their own, and a run's options that start from them.
#include "examples/train/classifier.h"
#include "examples/train/init_from.h"
#include "examples/train/model_file.h"
#include "models/checkpoint.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary.h"
#include "tests/support/tiny_vit.h"

namespace demi::test {
using namespace examples;

inline ViTConfig small(int64_t channels = 3) {
    ViTConfig c = tiny_vit(16, 24, 3, 3);
    c.in_chans = channels;
    c.ffn_hidden = 40;
    return c;
}

inline const data::ChannelStats kStats{{0.2f, 0.4f, 0.6f}, {0.3f, 0.2f, 0.5f}};

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

}  // namespace demi::test
