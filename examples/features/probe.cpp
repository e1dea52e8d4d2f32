#include "examples/features/probe.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "autograd/grad_mode.h"
#include "examples/common/files.h"
#include "examples/common/format.h"
#include "examples/common/pca.h"
#include "examples/common/picture.h"
#include "examples/common/record.h"
#include "examples/common/text.h"
#include "examples/data/part.h"
#include "ops/index/index_select.h"

namespace demi::examples {
namespace {

Features chosen(const Features& all, const std::vector<int64_t>& rows) {
    const NoGrad no_grad;
    const Tensor index = Tensor::from(rows, {std::ssize(rows)});
    Features some{index_select(Variable(all.rows), 0, index).value(), {}, all.classes};
    for (const int64_t row : rows) some.labels.push_back(all.labels[static_cast<size_t>(row)]);
    return some;
}

// Labelled rows, of one part or (-1) of all.
std::vector<int64_t> rows_of_part(const SavedFeatures& saved, int64_t part) {
    std::vector<int64_t> rows;
    for (int64_t i = 0; i < std::ssize(saved.split); ++i)
        if (saved.features.labels[static_cast<size_t>(i)] >= 0 &&
            (part < 0 || saved.split[static_cast<size_t>(i)] == part))
            rows.push_back(i);
    return rows;
}

int64_t part_called(const SavedFeatures& saved, const char* name) {
    const auto found = std::find(saved.split_names.begin(), saved.split_names.end(), name);
    return found == saved.split_names.end() ? -1 : found - saved.split_names.begin();
}

// Patch tokens as pictures: three principal components of all of them as colours, a square of pixels for each patch.
void write_pca(const ProbeOptions& options, const SavedFeatures& saved) {
    constexpr int kPatch = 14;
    const Tensor patches = read_patches(options.features, options.pictures);
    const int64_t count = patches.size(0), height = patches.size(1), width = patches.size(2);
    const std::vector<float> colours =
        pca_colours(patches.data<float>(), count * height * width, patches.size(3));
    make_folders(options.pca);
    for (int64_t i = 0; i < count; ++i) {
        Picture picture(static_cast<int>(width) * kPatch, static_cast<int>(height) * kPatch, 3);
        for (int y = 0; y < picture.height; ++y)
            for (int x = 0; x < picture.width; ++x) {
                const int64_t patch = (i * height + y / kPatch) * width + x / kPatch;
                for (int64_t c = 0; c < 3; ++c)
                    picture.at(x, y)[c] =
                        static_cast<uint8_t>(colours[static_cast<size_t>(3 * patch + c)] * 255 + 0.5f);
            }
        char number[32];
        std::snprintf(number, sizeof number, "%06lld", static_cast<long long>(i));
        std::string name = number;
        if (!saved.files.empty())
            name += "-" + std::filesystem::path(saved.files[static_cast<size_t>(i)]).stem().string();
        write_atomically(options.pca + "/" + name + ".png", encode_png(picture));
    }
    if (!options.json)
        std::printf("%s: %lld pictures of patch tokens\n", options.pca.c_str(),
                    static_cast<long long>(count));
}

}  // namespace

ProbeSets probe_sets(const ProbeOptions& options) {
    const SavedFeatures saved = read_features(options.features);
    const Features& all = saved.features;
    if (!options.test.empty()) {
        const SavedFeatures other = read_features(options.test);
        check(other.features.rows.size(1) == all.rows.size(1) && other.classes == saved.classes &&
                  other.features.classes <= all.classes,
              "features", options.test, ": must have the width and classes of ", options.features);
        return {chosen(all, rows_of_part(saved, -1)), chosen(other.features, rows_of_part(other, -1)),
                "two files"};
    }
    const int64_t train = part_called(saved, "train");
    int64_t test = part_called(saved, "test");
    if (test < 0) test = part_called(saved, "val");
    if (train >= 0 && test >= 0)
        return {chosen(all, rows_of_part(saved, train)), chosen(all, rows_of_part(saved, test)),
                "parts train and " + saved.split_names[static_cast<size_t>(test)]};
    const Features labelled = chosen(all, rows_of_part(saved, -1));
    const int64_t count = labelled.rows.size(0);
    check(count >= 2, "features", options.features, ": two or more pictures with labels are needed, got ",
          count);
    const std::vector<int64_t> held =
        data::stratified_part(labelled.labels, std::max<int64_t>(count / 10, 1), options.seed);
    return {chosen(labelled, data::without(held, count)), chosen(labelled, held),
            "a tenth of each class set apart"};
}

void probe_features(const ProbeOptions& options) {
    if (!options.pca.empty()) write_pca(options, read_features(options.features));
    if (options.ks.empty() && !options.linear) return;
    const ProbeSets sets = probe_sets(options);
    const int64_t train = sets.train.rows.size(0), test = sets.test.rows.size(0);
    check(train > 0 && test > 0, "features", options.features, ": ", train,
          " labelled pictures to learn from and ", test, " to test with");
    Record result;
    result.add("train", train).add("test", test).add("split", sets.how);
    if (!options.json)
        std::printf("%lld pictures to learn from, %lld to test with: %s\n", static_cast<long long>(train),
                    static_cast<long long>(test), sets.how.c_str());
    const auto report = [&](const std::string& key, const std::string& text, double accuracy) {
        result.add(key, accuracy);
        if (!options.json) std::printf("%-14s %s\n", text.c_str(), percent(accuracy).c_str());
    };
    if (!options.ks.empty()) {
        const std::vector<double> knn = knn_accuracy(sets.train, sets.test, options.ks);
        for (size_t i = 0; i < knn.size(); ++i) {
            const std::string k = std::to_string(options.ks[i]);
            report("knn_" + k, k + "-NN", knn[i]);
        }
    }
    if (options.linear)
        report("linear", "linear probe", linear_probe_accuracy(sets.train, sets.test, 30, options.seed));
    if (options.json) std::printf("%s\n", to_json(result).c_str());
}

}  // namespace demi::examples
