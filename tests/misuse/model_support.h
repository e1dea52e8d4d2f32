#pragma once
// What the walks of layers and models share.
#include "models/layers.h"
#include "models/vision_transformer.h"
#include "tests/misuse/walk.h"
#include "tests/support/tiny_vit.h"

namespace demi::test {

inline ForwardContext context_of(bool training, Precision precision, Generator* generator) {
    ForwardContext context;
    context.training = training;
    context.precision = precision;
    context.generator = generator;
    return context;
}

inline Generator* some_generator() {
    static Generator generator{1};
    return &generator;
}

// Every parameter of a model, read; and the model on a device.
template <class Model> void use_model(Model& model, Device device = {}) {
    use(Variable(Tensor::zeros({static_cast<int64_t>(parameters_of(model).size())})));
    to_device(model, device);
}

// `made`: a layer that works; otherwise one that was only declared.
template <class Layer, class... Args> Layer layer_or_none(bool made, Args&&... args) {
    return made ? Layer(std::forward<Args>(args)...) : Layer();
}

inline ViTConfig small_vit() {
    ViTConfig c = tiny_vit(4, 4, 2);
    c.patch_size = 2;
    c.in_chans = 1;
    c.num_register_tokens = 1;
    c.init_values = 1.0;
    return c;
}

}  // namespace demi::test
