#pragma once
// What the walks of layers and models share.
#include "models/layers.h"
#include "tests/misuse/walk.h"

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

}  // namespace demi::test
