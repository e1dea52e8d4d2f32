#include "examples/features/write.h"

#include <algorithm>
#include <sstream>

#include "examples/common/text.h"
#include "runtime/atomic_file.h"
#include "runtime/safetensors.h"

namespace demi::examples {
namespace {

constexpr int64_t kBlockBytes = int64_t{16} << 20;  // of values held at a time

bool is_npy(const std::string& out) { return out.ends_with(".npy"); }

std::string stem(const std::string& out) { return out.substr(0, out.rfind('.')); }

std::string one_line(const std::string& name) {
    std::string text = valid_utf8(name);
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

Shape shape_of(int64_t count, const FeatureOutput& output) {
    std::vector<int64_t> dims{count};
    for (int64_t size : output.shape) dims.push_back(size);
    return Shape(dims);
}

// Rows of an output from `row` on.
Tensor rows_of(const PartialFile& partial, const FeatureOutput& output, int64_t row) {
    const int64_t width = output.shape.numel();
    const int64_t block = std::max<int64_t>(kBlockBytes / (4 * std::max<int64_t>(width, 1)), 1);
    const int64_t count = std::min(block, std::ssize(partial.pictures()) - row);
    return partial.read(row, count, output.begin, width).view(shape_of(count, output));
}

std::vector<int64_t> of_pictures(const PartialFile& partial, const std::function<int64_t(int64_t)>& what) {
    std::vector<int64_t> all;
    for (int64_t picture : partial.pictures()) all.push_back(what(picture));
    return all;
}

std::string json_list(const std::vector<std::string>& texts) {
    std::string out;
    for (const std::string& text : texts) out += (out.empty() ? "" : ", ") + text;
    return "[" + out + "]";
}

std::string numbers(const std::vector<int64_t>& values) {
    std::vector<std::string> texts;
    for (int64_t v : values) texts.push_back(std::to_string(v));
    return json_list(texts);
}

std::string quoted(const std::vector<std::string>& texts) {
    std::vector<std::string> all;
    for (const std::string& text : texts) all.push_back(json_quote(valid_utf8(text)));
    return json_list(all);
}

}  // namespace

std::vector<std::string> feature_files(const std::string& out, const FeaturePlan& plan) {
    std::vector<std::string> files{out};
    if (!is_npy(out)) return files;
    for (size_t i = 1; i < plan.outputs.size(); ++i)
        files.push_back(stem(out) + "." + plan.outputs[i].name + ".npy");
    files.push_back(stem(out) + ".json");
    return files;
}

void write_features(const std::string& out, const PartialFile& partial, const FeaturePlan& plan,
                    const PictureSource& source, const Description& description) {
    const int64_t count = std::ssize(partial.pictures());
    const std::vector<int64_t> labels = of_pictures(partial, [&](int64_t i) { return source.label(i); });
    const std::vector<int64_t> parts = of_pictures(partial, [&](int64_t i) { return source.part(i); });
    const auto rows = [&](size_t output, int64_t row) { return rows_of(partial, plan.outputs[output], row); };
    if (!is_npy(out)) {
        std::vector<TensorSpec> specs;
        for (const FeatureOutput& o : plan.outputs) specs.push_back({o.name, DType::f32, shape_of(count, o)});
        specs.push_back({"labels", DType::i64, {count}});
        specs.push_back({"split", DType::i64, {count}});
        Metadata metadata;
        for (const auto& [key, value] : description) metadata[key] = valid_utf8(value);
        metadata["split"] = source.split();
        metadata["split_names"] = quoted(source.parts());
        std::string& files = metadata["files"];
        for (int64_t picture : partial.pictures()) files += one_line(source.name(picture)) + "\n";
        for (size_t i = 0; i < source.classes().size(); ++i)
            metadata["class." + std::to_string(i)] = valid_utf8(source.classes()[i]);
        stream_safetensors_rows(
            out, specs,
            [&](size_t i, int64_t row) {
                if (i < plan.outputs.size()) return rows(i, row);
                return Tensor::from(i == plan.outputs.size() ? labels : parts, {count});
            },
            metadata);
        return;
    }
    const std::vector<std::string> files = feature_files(out, plan);
    std::string json;
    const auto add = [&](const std::string& key, const std::string& value) {
        json += (json.empty() ? "{\n  " : ",\n  ") + json_quote(key) + ": " + value;
    };
    for (const auto& [key, value] : description)
        add(key, value.starts_with('{') || value.starts_with('[') ? value : json_quote(valid_utf8(value)));
    std::vector<std::string> names;
    for (int64_t picture : partial.pictures()) names.push_back(one_line(source.name(picture)));
    add("classes", quoted(source.classes()));
    add("labels", numbers(labels));
    add("split_names", quoted(source.parts()));
    add("split", numbers(parts));
    add("files", quoted(names));
    write_file_atomic(files.back(), json + "\n}\n");
    for (size_t i = plan.outputs.size(); i-- > 0;)  // the features last: when they are there, all is
        write_npy(files[i], shape_of(count, plan.outputs[i]), [&](int64_t row) { return rows(i, row); });
}

void write_npy(const std::string& path, const Shape& shape, const std::function<Tensor(int64_t)>& rows) {
    std::ostringstream sizes;
    for (int64_t size : shape) sizes << size << ", ";
    std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + sizes.str() + "), }";
    header.resize((header.size() + 11 + 63) / 64 * 64 - 11, ' ');
    header += '\n';
    AtomicFile file(path);
    file.write(std::string_view("\x93NUMPY\x01\x00", 8));
    const unsigned char length[2] = {static_cast<unsigned char>(header.size() & 0xff),
                                     static_cast<unsigned char>(header.size() >> 8)};
    file.write(length, 2);
    file.write(header);
    for (int64_t row = 0; row < shape[0];) {
        const Tensor block = rows(row).to(Device::cpu()).to(DType::f32).contiguous();
        file.write(block.raw(), static_cast<size_t>(block.numel()) * sizeof(float));
        row += block.size(0);
    }
    file.commit();
}

}  // namespace demi::examples
