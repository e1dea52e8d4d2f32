// Graphs of steps: shapes that come and go, and steps that cannot be captured.
#include "examples/train/step_graphs.h"

#include <doctest/doctest.h>

#include <optional>
#include <thread>

#include "ops/dropout/dropout.h"
#include "ops/operators.h"
#include "ops/reduce/reduce.h"
#include "runtime/copy.h"
#include "runtime/upload.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"

using namespace demi;
using namespace demi::examples;
using namespace demi::test;

namespace {

// Learns one weight from rows behind dropout.
struct Learner {
    Device device;
    Generator generator{3};
    Variable weight;
    std::optional<Optimizer> optimizer;
    std::optional<StepGraphs> steps;
    bool reads = false;  // something that no graph can
    int bodies = 0;
    std::vector<std::string> refused;

    explicit Learner(bool capture) : device(Device::parse("auto")) {
        weight = Variable(Tensor::full({1, 4}, 0.5, DType::f32, device), true);
        const NamedParameters parameters{{"weight", weight}};
        optimizer.emplace(parameters, parameter_options(parameters, {}));
        steps.emplace(StepGraphs::Options{device, 2, capture, &generator, &*optimizer,
                                          [this](const std::string& why) { refused.push_back(why); }},
                      [this](const Tensors& inputs, const Tensor& numbers) { body(inputs, numbers); });
    }
    void body(const Tensors& inputs, Tensor numbers) {
        ++bodies;
        const Variable x = dropout(Variable(inputs[0]), 0.25, generator, true) * weight;
        const Variable loss = mean(x * x);
        loss.backward();
        if (reads) (void)loss.item();
        optimizer->step({.lr = 0.1});
        optimizer->zero_grad();
        copy(numbers.select(0, 0), loss.value());
        fill(numbers.select(0, 1), static_cast<double>(inputs[0].size(0)));
    }
    void step(int64_t rows, int number) {
        const Tensor x = drawn({rows, 4}, 100 + static_cast<uint64_t>(number));
        optimizer->set_rates({.lr = 0.1});
        (*steps)({upload(x, device), Tensor()});
    }
};

void check_same(Learner& got, Learner& want) {
    CHECK(same_bits(got.weight.value(), want.weight.value()) == "");
    CHECK(got.generator == want.generator);
    CHECK(got.optimizer->steps() == want.optimizer->steps());
}

}  // namespace

TEST_CASE(
    "step graphs: a short last batch is captured beside the others, and so are more shapes than are kept") {
    Learner plain(false), graph(true);
    const int64_t rows[] = {8, 8, 5, 8, 8, 5, 8, 5, 1, 2, 3, 4, 8, 8, 1, 1, 5, 5, 5};
    int number = 0;
    for (const int64_t count : rows) {
        plain.step(count, number);
        graph.step(count, number++);
    }
    CHECK(plain.steps->read() == graph.steps->read());
    CHECK(graph.steps->read().empty());
    check_same(graph, plain);
    CHECK(plain.bodies == number);
    if (graph.device.is_cpu()) return;
    CHECK(graph.steps->graphs() == StepGraphs::kMostGraphs);
    CHECK(graph.bodies == number - 5);  // of 8 three replays; of 5 one, and one of the graph that came later
    CHECK(graph.refused.empty());
}

TEST_CASE("step graphs: a step that cannot be captured is taken as it is, and the random stream with it") {
    Learner plain(false), graph(true);
    graph.reads = true;
    for (int i = 0; i < 5; ++i) {
        plain.step(4, i);
        graph.step(4, i);
    }
    CHECK(plain.steps->read() == graph.steps->read());
    check_same(graph, plain);
    if (graph.device.is_cpu()) return;
    REQUIRE(graph.refused.size() == 1);
    CHECK(has(graph.refused[0], "a captured step cannot read values back"));
    CHECK(!graph.steps->captures());
}

TEST_CASE("step graphs: numbers wait until they are read, but not for ever") {
    Learner learner(true);
    for (int64_t i = 0; i < StepGraphs::kMostUnread; ++i) learner.step(2, 0);
    CHECK(learner.steps->full());
    CHECK(has(error_of([&] { learner.step(2, 0); }), "have to be read first"));
    const auto rows = learner.steps->read();
    CHECK(std::ssize(rows) == StepGraphs::kMostUnread);
    for (const auto& row : rows) CHECK(row[1] == 2);
    CHECK(rows.back()[0] < rows.front()[0]);
    learner.step(2, 0);
}

TEST_CASE("upload: the bytes of a tensor, from any thread") {
    const Device device = Device::parse("auto");
    const Tensor x = drawn({300, 70}, 1);
    CHECK(same_bits(upload(x, device).to(Device::cpu()), x) == "");
    CHECK(same_bits(upload(x.transpose(0, 1), device).to(Device::cpu()), x.transpose(0, 1).contiguous()) ==
          "");
    CHECK(upload(Tensor::zeros({0, 3}), device).shape() == Shape({0, 3}));
    std::vector<std::thread> threads;
    std::vector<Tensor> there(4);
    for (size_t i = 0; i < there.size(); ++i)
        threads.emplace_back([&, i] { there[i] = upload(drawn({50, 50}, i), device); });
    for (std::thread& t : threads) t.join();
    for (size_t i = 0; i < there.size(); ++i)
        CHECK(same_bits(there[i].to(Device::cpu()), drawn({50, 50}, i)) == "");
    CHECK(has(error_of([&] { upload(Tensor(), device); }), "[upload] needs a tensor of the CPU"));
}
