#pragma once
// A small network in a file and a few pictures, for the tests of extract_features.
#include <string>

#include "examples/features/extract.h"
#include "examples/train/model_file.h"
#include "models/checkpoint.h"
#include "tests/examples/image_files.h"
#include "tests/support/temporary.h"
#include "tests/support/tiny_vit.h"

namespace demi::test {

inline ViTConfig small_vit() {
    ViTConfig c = tiny_vit(16, 8, 3);
    c.num_register_tokens = 2;
    return c;
}

inline DinoVisionTransformer made_vit() {
    Generator generator{3};
    DinoVisionTransformer model(small_vit(), generator);
    for (auto& [name, parameter] : parameters_of(model)) normal(parameter.value(), generator, 0, 0.3);
    return model;
}

// model.safetensors; pictures/cat and pictures/dog with five pictures each.
class ExtractFolder {
  public:
    ExtractFolder() {
        DinoVisionTransformer model = made_vit();
        write_safetensors(folder_ / "model.safetensors", state_dict(parameters_of(model)),
                          examples::model_metadata("test", small_vit(), {}));
        for (const std::string name : {"cat", "dog"}) {
            std::filesystem::create_directories(folder_ / ("pictures/" + name));
            for (int i = 0; i < 5; ++i)
                write_file(folder_ / ("pictures/" + name + "/" + std::to_string(i) + ".png"),
                           png_of(pattern(20 + i, 24, 3, i + (name == "cat" ? 0 : 10))));
        }
        options.checkpoint = folder_ / "model.safetensors";
        options.data = folder_ / "pictures";
        options.out = folder_ / "out.safetensors";
        options.batch = 2;
    }
    std::string operator/(const std::string& name) const { return folder_ / name; }

    examples::ExtractOptions options;

  private:
    TemporaryFolder folder_;
};

}  // namespace demi::test
