// k-NN, linear probe and pictures from saved features.
#include "examples/features/probe.h"

#include <doctest/doctest.h>

#include "examples/data/decode.h"
#include "examples/data/read_file.h"
#include "examples/features/write.h"
#include "tests/examples/extract_support.h"
#include "tests/support/check_error.h"

using namespace demi;
using namespace demi::examples;
using namespace demi::test;

namespace {

// Two classes apart from each other along one of four directions.
Tensor two_classes(int64_t count, Generator& generator, std::vector<int64_t>& labels) {
    Tensor rows = Tensor::empty({count, 4});
    normal(rows, generator);
    for (int64_t i = 0; i < count; ++i) {
        labels.push_back(i % 2);
        rows.mutable_data<float>()[4 * i + 2] += i % 2 == 0 ? 6.0f : -6.0f;
    }
    return rows;
}

}  // namespace

TEST_CASE("saved features come back as they were written, from both kinds of files") {
    ExtractFolder folder;
    ExtractOptions o = folder.options;
    o.patch_tokens = true;
    CHECK(extract_features(o) == 0);
    const SavedFeatures one = read_features(o.out);
    const Tensor patches = read_patches(o.out, 3);
    CHECK(patches.shape() == Shape({3, 4, 4, 8}));
    o.out = folder / "f.npy";
    CHECK(extract_features(o) == 0);
    const SavedFeatures two = read_features(o.out);
    CHECK(one.features.rows.to_vector<float>() == two.features.rows.to_vector<float>());
    CHECK(one.features.labels == two.features.labels);
    CHECK(one.classes == two.classes);
    CHECK(one.split == two.split);
    CHECK(one.split_names == two.split_names);
    CHECK(one.files == two.files);
    CHECK(read_patches(o.out, 3).to_vector<float>() == patches.to_vector<float>());

    ProbeOptions probe;
    probe.ks.clear();
    for (const std::string& file : {folder / "out.safetensors", o.out}) {
        probe.features = file;
        probe.pca = folder / "pca";
        probe.pictures = 4;
        probe_features(probe);
    }
    const std::string picture = folder / "pca/000003-3.png";
    CHECK(data::decode_image(data::read_file(picture), picture).height == 4 * 14);
    CHECK(!std::filesystem::exists(folder / "pca/000004-4.png"));
}

TEST_CASE("what is learned from and tested with: parts, two files, or a tenth of each class") {
    TemporaryFolder folder;
    Generator generator{5};
    std::vector<int64_t> labels;
    const Tensor rows = two_classes(40, generator, labels);
    std::vector<int64_t> split(40, 0);
    for (size_t i = 30; i < 40; ++i) split[i] = 2;
    const auto write = [&](const std::string& path, const Metadata& extra) {
        Metadata metadata{{"class.0", "a"}, {"class.1", "b"}};
        metadata.insert(extra.begin(), extra.end());
        write_safetensors(path,
                          {{"features", rows},
                           {"labels", Tensor::from(labels, {40})},
                           {"split", Tensor::from(split, {40})}},
                          metadata);
    };
    write(folder / "parts.safetensors", {{"split_names", "[\"train\",\"val\",\"test\"]"}});
    ProbeOptions options;
    options.features = folder / "parts.safetensors";
    ProbeSets sets = probe_sets(options);
    CHECK(sets.train.rows.size(0) == 30);
    CHECK(sets.test.labels.size() == 10);
    CHECK(knn_accuracy(sets.train, sets.test, {3})[0] == 1);
    CHECK(linear_probe_accuracy(sets.train, sets.test) == 1);

    options.test = options.features;
    labels[7] = -1;  // without a label: left out
    write(options.features, {{"split_names", "[\"train\",\"val\",\"test\"]"}});
    sets = probe_sets(options);
    CHECK(sets.test.rows.size(0) == 39);
    options.test.clear();
    write(options.features, {{"split_names", "[\"all\",\"x\",\"y\"]"}});
    sets = probe_sets(options);
    CHECK(sets.test.rows.size(0) == 3);
    CHECK(sets.train.rows.size(0) == 36);
    options.linear = true;
    probe_features(options);
}

TEST_CASE("a file that is none is refused by what is wrong with it") {
    TemporaryFolder folder;
    const auto refused = [&](const NamedTensors& tensors, const Metadata& metadata = {}) {
        write_safetensors(folder / "f.safetensors", tensors, metadata);
        return error_of([&] { read_features(folder / "f.safetensors"); });
    };
    const Tensor rows = Tensor::zeros({3, 2});
    const auto labels = [](std::vector<int64_t> all) { return Tensor::from(all, {std::ssize(all)}); };
    CHECK(has(refused({{"x", rows}}), "'features'"));
    CHECK(has(refused({{"features", Tensor::zeros({3})}}), "[pictures, width]"));
    CHECK(has(refused({{"features", rows}, {"labels", labels({0, 1})}}), "3 numbers"));
    CHECK(has(refused({{"features", rows}, {"labels", labels({0, 1, -2})}}), "3 numbers"));
    CHECK(has(refused({{"features", rows}, {"labels", labels({0, 1, 1 << 30})}}), "1073741824"));
    CHECK(has(refused({{"features", rows}, {"labels", labels({0, 1, 5})}}, {{"class.0", "a"}}), "3 numbers"));
    CHECK(has(refused({{"features", rows}, {"split", labels({0, 1, 0})}}), "3 numbers"));
    CHECK(has(refused({{"features", rows}}, {{"files", "a\nb\n"}}), "2 names"));
    CHECK(has(refused({{"features", rows}}, {{"split_names", "[1"}}), "f.safetensors"));
    CHECK(refused({{"features", rows}}) == "");
    write_npy(folder / "f.npy", {3, 2}, [&](int64_t) { return rows; });
    CHECK(read_features(folder / "f.npy").features.labels == std::vector<int64_t>{-1, -1, -1});
    const std::string bytes = get_file(folder / "f.npy");
    for (size_t cut = 0; cut < bytes.size(); ++cut) {
        put_file(folder / "f.npy", bytes.substr(0, cut));
        CHECK(error_of([&] { read_features(folder / "f.npy"); }) != "");
    }
    std::string other = bytes;
    other.replace(other.find("<f4"), 3, "<f8");
    put_file(folder / "f.npy", other);
    CHECK(has(error_of([&] { read_features(folder / "f.npy"); }), "f32"));
    ProbeOptions options;
    options.features = folder / "f.safetensors";
    CHECK(has(error_of([&] { probe_features(options); }), "two or more"));
    CHECK(has(error_of([&] { read_patches(options.features, 1); }), "--patch-tokens"));
}
