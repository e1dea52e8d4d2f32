// A program outside the tree: trains a two-layer net to tell the inside of a ring from its outside.
#include "autograd/variable.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/linear/linear.h"
#include "runtime/random.h"
#include "runtime/tensor.h"

#include <cmath>
#include <cstdio>
#include <exception>
#include <vector>

using namespace demi;

namespace {

// Points in the square [-1, 1]^2; class 1 where 0.4 < r < 0.9.
void draw(Generator& generator, int64_t count, Tensor& points, Tensor& classes) {
    std::vector<float> xy;
    std::vector<int64_t> label;
    for (int64_t i = 0; i < count; ++i) {
        const float x = 2 * generator.next_uniform() - 1, y = 2 * generator.next_uniform() - 1;
        const float r = std::sqrt(x * x + y * y);
        xy.insert(xy.end(), {x, y});
        label.push_back(r > 0.4f && r < 0.9f);
    }
    points = Tensor::from(xy, {count, 2});
    classes = Tensor::from(label, {count});
}

struct Net {
    std::vector<Variable> parameters;

    explicit Net(Generator& generator) {
        for (const Shape& shape : {Shape{32, 2}, Shape{32}, Shape{2, 32}, Shape{2}}) {
            Tensor values = Tensor::zeros(shape);
            normal(values, generator, 0, shape.rank() == 2 ? 1.5 / std::sqrt(double(shape[1])) : 0.5);
            parameters.emplace_back(values, true);
        }
    }

    Variable operator()(const Variable& x) const {
        const Variable hidden = linear(x, parameters[0], parameters[1], Activation::gelu);
        return linear(hidden, parameters[2], parameters[3]);
    }

    void step(float rate) {
        for (Variable& parameter : parameters) {
            Tensor value = parameter.value();
            const Tensor gradient = parameter.grad();
            float* v = value.mutable_data<float>();
            for (int64_t i = 0; i < value.numel(); ++i) v[i] -= rate * gradient.data<float>()[i];
            parameter.zero_grad();
        }
    }
};

double accuracy(const Net& net, const Tensor& points, const Tensor& classes) {
    const std::vector<float> logits = net(points).value().to_vector<float>();
    const std::vector<int64_t> wanted = classes.to_vector<int64_t>();
    int64_t right = 0;
    for (size_t i = 0; i < wanted.size(); ++i)
        right += (logits[2 * i + 1] > logits[2 * i]) == (wanted[i] == 1);
    return double(right) / double(wanted.size());
}

}  // namespace

int main() {
    try {
        Generator generator{7};
        Net net(generator);
        Tensor points, classes, held_out, held_out_classes;
        draw(generator, 1000, held_out, held_out_classes);
        for (int step = 0; step < 600; ++step) {
            draw(generator, 128, points, classes);
            const Variable loss = cross_entropy(net(points), Variable(classes));
            loss.backward();
            net.step(1.0f);
            if (step % 100 == 0) std::printf("step %3d  loss %.4f\n", step, loss.item());
        }
        const double right = accuracy(net, held_out, held_out_classes);
        std::printf("accuracy on held-out points: %.3f\n", right);
        return right > 0.9 ? 0 : 1;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
