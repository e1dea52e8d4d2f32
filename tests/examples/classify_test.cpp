// predict and evaluate: what a file of a classifier says, and that nothing else is needed.
#include "examples/train/classify.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

#include "autograd/grad_mode.h"
#include "examples/data/folder.h"
#include "examples/train/model_file.h"
#include "models/checkpoint.h"
#include "runtime/json.h"
#include "tests/examples/image_files.h"
#include "tests/support/check_error.h"
#include "tests/support/env.h"
#include "tests/support/skip.h"
#include "tests/support/temporary.h"
#include "tests/support/tiny_vit.h"

using namespace demi;
using namespace demi::examples;
using namespace demi::test;

namespace {

const std::vector<std::string> kNames = {"bee", "caf\xc3\xa9 \"two\"", "zebra"};
const data::ChannelStats kStats{{0.2f, 0.4f, 0.6f}, {0.3f, 0.2f, 0.5f}};

ViTConfig small(int64_t channels = 3) {
    ViTConfig c = tiny_vit(12, 8, 2);
    c.in_chans = channels;
    return c;
}

// A model whose classifier says different things of different pictures.
Classifier made(const ViTConfig& config) {
    Generator generator{5};
    Classifier model(config, 3, generator);
    for (auto& [name, parameter] : parameters_of(model))
        if (name != "head.bias") normal(parameter.value(), generator, 0, 0.5);
    return model;
}

void write_model(const std::string& path, Classifier& model, const std::vector<std::string>& names) {
    Metadata m = model_metadata("test", model.backbone.config(), kStats);
    add_classes(m, names);
    write_safetensors(path, state_dict(parameters_of(model)), m);
}

struct Output {
    int status = 0;
    std::string text;
};
template <class Options> Output run(int (*program)(const Options&, std::FILE*), const Options& options) {
    Output output;
    char* bytes = nullptr;
    size_t size = 0;
    std::FILE* out = ::open_memstream(&bytes, &size);
    try {
        output.status = program(options, out);
    } catch (...) {
        std::fclose(out);
        std::free(bytes);
        throw;
    }
    std::fclose(out);
    output.text.assign(bytes, size);
    std::free(bytes);
    return output;
}

// Probabilities of one picture, in double.
std::vector<double> probabilities(const Classifier& model, const std::string& file) {
    const NoGrad no_grad;
    const ViTConfig& config = model.backbone.config();
    const data::FolderDataSet one({{""}, {{file, 0}}, true}, config.img_size, config.in_chans);
    Tensor image = Tensor::empty({1, config.in_chans, config.img_size, config.img_size});
    data::normalize(one.sample(0).image, kStats, image.mutable_data<float>());
    std::vector<double> p;
    double sum = 0;
    ForwardContext exact;
    exact.boundary.mode = BoundaryMode::off;
    for (float logit : model.forward(image, exact).value().to_vector<float>())
        sum += p.emplace_back(std::exp(static_cast<double>(logit)));
    for (double& x : p) x /= sum;
    return p;
}

}  // namespace

TEST_CASE("predict says the label, how sure it is and the next ones, by the file alone") {
    for (const int64_t channels : {3, 1}) {
        TemporaryFolder folder;
        Classifier model = made(small(channels));
        write_model(folder / "model.safetensors", model, kNames);
        PredictOptions options;
        options.model = folder / "model.safetensors";
        options.json = true;
        options.batch = 2;
        for (int i = 0; i < 5; ++i) {
            const std::string name = folder / (std::to_string(i) + ".png");
            write_file(name, png_of(pattern(15 + i, 20, i % 2 == 0 ? 3 : 1, i)));
            options.pictures.push_back(name);
        }
        const Output output = run(predict, options);
        CHECK(output.status == 0);
        size_t at = 0;
        for (const std::string& file : options.pictures) {
            const size_t end = output.text.find('\n', at);
            REQUIRE(end != std::string::npos);
            const Json line = parse_json(std::string_view(output.text).substr(at, end - at), 8);
            at = end + 1;
            const std::vector<double> p = probabilities(model, file);
            const auto best = static_cast<size_t>(std::max_element(p.begin(), p.end()) - p.begin());
            CHECK(line.find("file")->text == file);
            CHECK(line.find("label")->text == kNames[best]);
            CHECK(line.find("index")->natural == best);
            CHECK(line.find("confidence")->real == doctest::Approx(p[best]).epsilon(1e-5));
            const std::vector<Json>& top = line.find("top")->items;
            REQUIRE(top.size() == 3);
            double sum = 0, before = 1;
            for (const Json& one : top) {
                const double here = one.find("confidence")->real;
                CHECK(one.find("label")->text == kNames[one.find("index")->natural]);
                CHECK(here == doctest::Approx(p[one.find("index")->natural]).epsilon(1e-5));
                CHECK(here <= before);
                before = here;
                sum += here;
            }
            CHECK(sum == doctest::Approx(1).epsilon(1e-5));
        }
        CHECK(at == output.text.size());
        options.json = false;
        options.top = 1;
        options.pictures = {folder.path()};  // the file of weights there is left alone
        CHECK(has(run(predict, options).text, options.pictures[0] + "/4.png: "));
    }
}

TEST_CASE("predict leaves broken pictures out and says so") {
    TemporaryFolder folder;
    Classifier model = made(small());
    write_model(folder / "model.safetensors", model, kNames);
    PredictOptions options;
    options.model = folder / "model.safetensors";
    write_file(folder / "a.png", png_of(pattern(16, 16, 3)));
    Bytes cut = png_of(pattern(16, 16, 3));
    cut.resize(cut.size() / 2);
    write_file(folder / "b.png", cut);
    write_file(folder / "c.png", png_of(pattern(16, 16, 3)));
    options.pictures = {folder / "a.png", folder / "b.png", folder / "nowhere.png", folder / "c.png"};
    const Output output = run(predict, options);
    CHECK(output.status == 1);
    CHECK(has(output.text, "a.png: "));
    CHECK(has(output.text, "c.png: "));
    CHECK(!has(output.text, "b.png: "));
    options.pictures = {folder / "b.png"};
    CHECK(run(predict, options).status == 1);
}

TEST_CASE("predict and evaluate refuse what they cannot do, by name") {
    TemporaryFolder folder;
    Classifier model = made(small());
    const std::string path = folder / "model.safetensors";
    write_model(path, model, kNames);
    std::filesystem::create_directories(folder / "empty");
    write_file(folder / "a.png", png_of(pattern(16, 16, 3)));
    PredictOptions options;
    options.model = path;
    const auto refused = [&] { return error_of([&] { run(predict, options); }); };
    CHECK(has(refused(), "needs pictures"));
    options.pictures = {folder / "empty"};
    CHECK(has(refused(), "holds no pictures"));
    options.pictures = {folder / "a.png"};
    options.image_size = 10;
    CHECK(has(refused(), "multiple of the model's patch 4: got 10"));
    options.image_size = 0;
    options.model = folder / "modle.safetensors";
    CHECK(has(refused(), "modle.safetensors"));
    options.model = path;
    write_model(path, model, {"bee", "wasp"});
    CHECK(has(refused(), "names 2 classes, but its head has 3 outputs"));
    write_safetensors(path, state_dict(parameters_of(model.backbone)), {});
    CHECK(has(refused(), "no classifier"));
    EvaluateOptions measure;
    measure.model = path;
    measure.data = folder / "empty";
    CHECK(has(error_of([&] { run(evaluate, measure); }), "--knn and --linear"));
    Generator generator;
    Linear wide(24, 3, true, generator);
    NamedTensors tensors = state_dict(parameters_of(model.backbone));
    for (auto& entry : state_dict(parameters_of(wide, "head."))) tensors.push_back(std::move(entry));
    write_safetensors(path, tensors, {});
    CHECK(has(refused(), "needed is [classes, 16]"));
}

TEST_CASE("evaluate finds the model's classes by their names") {
    TemporaryFolder folder;
    Classifier model = made(small());
    const std::string path = folder / "model.safetensors";
    // Two of the three classes, and every picture under the name that the model gives it.
    int right[3] = {};
    for (int i = 0; i < 60; ++i) {
        const std::string file = folder / "picture.png";
        write_file(file, png_of(pattern(12, 12, 3, i)));
        const std::vector<double> p = probabilities(model, file);
        const auto best = static_cast<size_t>(std::max_element(p.begin(), p.end()) - p.begin());
        ++right[best];
        const std::string place = folder / ("data/" + std::to_string(best));
        std::filesystem::create_directories(place);
        std::filesystem::rename(file, place + "/" + std::to_string(i) + ".png");
    }
    REQUIRE((right[0] > 0) + (right[1] > 0) + (right[2] > 0) >= 2);
    EvaluateOptions options;
    options.model = path;
    options.data = folder / "data";
    options.classes = true;
    write_model(path, model, {"0", "1", "2"});
    CHECK(has(run(evaluate, options).text, "accuracy 100.0 %"));
    write_model(path, model, {"2", "0", "1"});
    CHECK(has(run(evaluate, options).text, "accuracy 0.0 %"));
    write_model(path, model, {"x", "y", "z"});
    CHECK(has(error_of([&] { run(evaluate, options); }), "which the model does not know: x, y, z"));
    write_model(path, model, {"0", "1", "2"});
    options.knn = options.linear = true;
    const Output output = run(evaluate, options);
    CHECK(output.status == 0);
    CHECK(has(output.text, "nearest neighbours among "));
    CHECK(has(output.text, "linear probe on "));
    options.split = "train";
    CHECK(has(error_of([&] { run(evaluate, options); }), "another one to test on"));
}

TEST_CASE("a classifier of Hugging Face tells its classes by config.json") {
    const std::string shared = shared_path("checkpoints");
    if (shared.empty()) DEMI_SKIP("DEMI_SHARED names no folder with checkpoints/");
    ClassifyOptions options;
    options.model = shared + "/hf-dinov2-classifier";
    const LoadedClassifier c = load_classifier(options);
    CHECK(c.has_head);
    CHECK(c.named);
    CHECK(c.classes.at(3) == "LABEL_3");
    CHECK(c.image_size == 56);
}
