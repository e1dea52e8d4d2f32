#include "examples/features/saved.h"

#include <algorithm>
#include <charconv>
#include <sstream>
#include <stdexcept>

#include "examples/common/files.h"
#include "runtime/copy.h"
#include "runtime/input_file.h"
#include "runtime/json.h"
#include "runtime/safetensors.h"

namespace demi::examples {
namespace {

// What follows a key of a .npy's header, up to `end`.
std::string header_field(const std::string& header, const std::string& key, char end) {
    const size_t at = header.find("'" + key + "':");
    if (at == std::string::npos) return "";
    const size_t begin = at + key.size() + 3;
    return header.substr(begin, header.find(end, begin) - begin);
}

Tensor read_npy(const std::string& path, int64_t most) {
    const InputFile file("npy", path);
    check(file.size() >= 10 && file.text(0, 8) == std::string("\x93NUMPY\x01\x00", 8), "features", path,
          ": no .npy file of version 1");
    const std::string length = file.text(8, 2);
    const int64_t start = 10 + static_cast<uint8_t>(length[0]) + 256 * static_cast<uint8_t>(length[1]);
    check(file.size() >= start, "features", path, ": the file is cut off");
    const std::string header = file.text(10, start - 10);
    check(header_field(header, "descr", ',').find("'<f4'") != std::string::npos &&
              header_field(header, "fortran_order", ',').find("False") != std::string::npos,
          "features", path, ": f32 in C order is needed: got ", header);
    std::string sizes = header_field(header, "shape", ')');
    std::replace(sizes.begin(), sizes.end(), '(', ',');
    std::istringstream in(sizes);
    std::vector<int64_t> shape;
    for (std::string part; std::getline(in, part, ',');) {
        part.erase(0, part.find_first_not_of(' '));
        if (part.empty()) continue;
        int64_t n = -1;
        std::from_chars(part.data(), part.data() + part.size(), n);
        check(n >= 0 && shape.size() < 6, "features", path, ": a shape that is none: ", sizes);
        shape.push_back(n);
    }
    check(!shape.empty(), "features", path, ": rows are needed, got one number");
    check(checked_mul(Shape(shape).numel(), 4, "features") == file.size() - start, "features", path,
          ": the header says ", Shape(shape), ", the file has ", file.size() - start, " bytes");
    shape[0] = std::min(shape[0], most);
    Tensor out = Tensor::empty(Shape(shape));
    file.read(start, out.mutable_data<float>(), out.numel() * 4);
    return out;
}

bool by_numpy(const std::string& path) { return path.ends_with(".npy"); }

std::string beside(const std::string& path, const char* ending) {
    return path.substr(0, path.size() - 4) + ending;
}

std::vector<std::string> texts(const Json* list) {
    std::vector<std::string> all;
    if (list != nullptr)
        for (const Json& item : list->items) all.push_back(item.text);
    return all;
}

std::vector<int64_t> whole_numbers(const Json* list) {
    std::vector<int64_t> all;
    if (list != nullptr)
        for (const Json& item : list->items)
            all.push_back(item.is(Json::Kind::integer) ? item.integer : static_cast<int64_t>(item.natural));
    return all;
}

Json json_of(const std::string& path, const std::string& text) {
    try {
        return parse_json(text, 16);
    } catch (const std::runtime_error& error) {
        fail("features", path, ": ", error.what());
    }
}

void read_beside(SavedFeatures& saved) {
    const std::string path = beside(saved.path, ".json");
    if (!exists(path)) return;
    const Json json = json_of(path, read_text(path));
    saved.features.labels = whole_numbers(json.find("labels"));
    saved.split = whole_numbers(json.find("split"));
    saved.classes = texts(json.find("classes"));
    saved.split_names = texts(json.find("split_names"));
    saved.files = texts(json.find("files"));
}

void read_tensors(SavedFeatures& saved) {
    const SafetensorsFile file(saved.path);
    check(file.contains("features"), "features", saved.path, ": holds no tensor 'features'");
    saved.features.rows = file.load("features").to(DType::f32);
    const auto numbers = [&](const char* name) {
        return file.contains(name) ? file.load(name).to(DType::i64).to_vector<int64_t>()
                                   : std::vector<int64_t>();
    };
    saved.features.labels = numbers("labels");
    saved.split = numbers("split");
    const Metadata& metadata = file.metadata();
    for (size_t i = 0; metadata.contains("class." + std::to_string(i)); ++i)
        saved.classes.push_back(metadata.at("class." + std::to_string(i)));
    if (const auto found = metadata.find("split_names"); found != metadata.end()) {
        const Json list = json_of(saved.path, found->second);
        saved.split_names = texts(&list);
    }
    if (const auto found = metadata.find("files"); found != metadata.end()) {
        std::istringstream lines(found->second);
        for (std::string line; std::getline(lines, line);) saved.files.push_back(line);
    }
}

}  // namespace

SavedFeatures read_features(const std::string& path) {
    SavedFeatures saved;
    saved.path = path;
    if (by_numpy(path)) {
        saved.features.rows = read_npy(path, INT64_MAX);
        read_beside(saved);
    } else {
        read_tensors(saved);
    }
    Features& f = saved.features;
    check(f.rows.rank() == 2 && f.rows.size(0) > 0 && f.rows.size(1) > 0, "features", path,
          ": features must be [pictures, width], got ", f.rows.shape());
    check(all_finite(f.rows), "features", path, ": holds NaN or infinity");
    const int64_t count = f.rows.size(0);
    if (f.labels.empty()) f.labels.assign(static_cast<size_t>(count), -1);
    if (saved.split.empty()) saved.split.assign(static_cast<size_t>(count), 0);
    if (saved.split_names.empty()) saved.split_names = {"all"};
    const auto within = [](const std::vector<int64_t>& numbers, int64_t low, int64_t end) {
        return std::all_of(numbers.begin(), numbers.end(), [&](int64_t n) { return n >= low && n < end; });
    };
    f.classes = std::ssize(saved.classes);
    if (f.classes == 0) {
        const int64_t largest = *std::max_element(f.labels.begin(), f.labels.end());
        check(largest < count, "features", path, ": label ", largest, " for ", count,
              " pictures without names of classes");
        f.classes = largest + 1;
    }
    check(std::ssize(f.labels) == count && std::ssize(saved.split) == count &&
              within(f.labels, -1, f.classes) && within(saved.split, 0, std::ssize(saved.split_names)),
          "features", path, ": labels and split must be ", count, " numbers of classes and of parts");
    check(saved.files.empty() || std::ssize(saved.files) == count, "features", path, ": ", saved.files.size(),
          " names of files for ", count, " pictures");
    return saved;
}

Tensor read_patches(const std::string& path, int64_t most) {
    Tensor patches;
    if (by_numpy(path)) {
        const std::string file = beside(path, ".patches.npy");
        check(exists(file), "features", file, ": no such file: extract_features --patch-tokens writes it");
        patches = read_npy(file, most);
    } else {
        const SafetensorsFile file(path);
        check(file.contains("patches"), "features", path,
              ": holds no patch tokens: extract_features --patch-tokens "
              "writes them");
        patches = file.load("patches").to(DType::f32);
        patches = patches.slice(0, 0, std::min(most, patches.size(0))).contiguous();
    }
    check(patches.rank() == 4 && patches.numel() > 0, "features", path,
          ": patch tokens must be [pictures, rows, columns, width], got ", patches.shape());
    return patches;
}

}  // namespace demi::examples
