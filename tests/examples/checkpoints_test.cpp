// Checkpoints that the real libraries wrote, and what those compute from them: DEMI_SHARED/checkpoints.
#include <doctest/doctest.h>

#include <cstring>

#include "examples/features/extract.h"
#include "runtime/json.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/env.h"
#include "tests/support/skip.h"
#include "tests/support/temporary.h"

using namespace demi;
using namespace demi::examples;
using namespace demi::test;

namespace {

// An .npy of f32 as one row of numbers.
Tensor numbers(const std::string& path) {
    const std::string bytes = get_file(path);
    const size_t begin = 10 + static_cast<uint8_t>(bytes[8]) + 256u * static_cast<uint8_t>(bytes[9]);
    std::vector<float> values((bytes.size() - begin) / sizeof(float));
    std::memcpy(values.data(), bytes.data() + begin, values.size() * sizeof(float));
    return Tensor::from(values, {static_cast<int64_t>(values.size())});
}

}  // namespace

TEST_CASE("features are what the checkpoint's own library computes") {
    const std::string folder = shared_path("checkpoints");
    if (folder.empty()) DEMI_SKIP("DEMI_SHARED names no folder with checkpoints/");
    TemporaryFolder out;
    const Json cases = parse_json("{\"all\":" + get_file(folder + "/cases.json") + "}", 8);
    for (const Json& one : cases.find("all")->items) {
        const std::string name = one.find("name")->text, pictures = one.find("pics")->text;
        CAPTURE(name);
        ExtractOptions options;
        options.checkpoint = folder + "/" + one.find("file")->text;
        options.data = folder + "/" + pictures;
        options.image_size = std::stoll(pictures.substr(pictures.find('-') + 1));
        options.out = out / (name + ".npy");
        options.heads = static_cast<int64_t>(one.find("heads")->natural);
        const std::string text = error_of([&] { extract_features(options); });
        const bool refused = !one.find("error")->items.empty();
        CHECK((text != "") == refused);
        if (refused || text != "") continue;
        const Tolerance tolerance{one.find("tol")->real, 0};
        CHECK(compare(numbers(options.out), numbers(folder + "/" + one.find("want")->text), tolerance) == "");
    }
}
