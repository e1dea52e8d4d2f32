#include "examples/train/model_file.h"

#include <doctest/doctest.h>

#include <limits>

#include "examples/features/extract.h"
#include "examples/train/init_from.h"
#include "models/checkpoint.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/temporary.h"
#include "tests/support/tiny_vit.h"

using namespace demi;
using namespace demi::examples;
using namespace demi::test;

static ViTConfig small() { return tiny_vit(8, 8, 1); }

TEST_CASE("a checkpoint with NaN is refused by name") {
    TemporaryFolder folder;
    Generator generator{3};
    DinoVisionTransformer model(small(), generator);
    NamedParameters parameters = parameters_of(model);
    const std::string path = folder / "model.safetensors";
    Tensor weight;
    for (const auto& [name, parameter] : parameters)
        if (name == "blocks.0.mlp.fc1.weight") weight = parameter.value();
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        weight.mutable_data<float>()[5] = bad;
        write_safetensors(path, state_dict(parameters));
        DinoVisionTransformer other(small(), generator);
        TrainOptions start;
        start.init_from = path;
        const std::string text = error_of([&] { InitFrom(start).load(parameters_of(other), {}, false); });
        CHECK(has(text, "blocks.0.mlp.fc1.weight"));
        CHECK(has(text, "NaN or infinity"));
        ExtractOptions options;
        options.checkpoint = path;
        options.data = "drawn";
        options.out = folder / "features.npy";
        CHECK(has(error_of([&] { extract_features(options); }), "blocks.0.mlp.fc1.weight"));
        weight.mutable_data<float>()[5] = 0;
    }
}

TEST_CASE("what a checkpoint says of its model is not trusted") {
    TemporaryFolder folder;
    Generator generator{3};
    DinoVisionTransformer model(small(), generator);
    const auto refused = [&](const std::string& key, const std::string& value) {
        Metadata m = model_metadata("test", small(), {});
        CHECK(m.contains(key));
        m[key] = value;
        write_safetensors(folder / "model.safetensors", state_dict(parameters_of(model)), m);
        return has(error_of([&] { Pretrained(folder / "model.safetensors"); }), key);
    };
    CHECK(refused("num_heads", "0"));
    CHECK(refused("num_heads", "x"));
    CHECK(refused("std.1", "0"));
    CHECK(refused("mean.2", "nan"));
}
