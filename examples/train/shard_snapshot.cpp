#include "examples/train/shard_snapshot.h"

#include <map>
#include <optional>

#include "models/state.h"
#include "runtime/copy.h"

namespace demi::examples {
namespace {

// What is written, one tensor at a time.
struct Listing {
    std::vector<TensorSpec> specs;
    std::vector<std::function<Tensor()>> make;

    void add(const std::string& name, DType dtype, const Shape& shape, std::function<Tensor()> fn) {
        specs.push_back({name, dtype, shape});
        make.push_back(std::move(fn));
    }
    void add(const std::string& prefix, FlatModel& model) {
        for (const FlatModel::Entry& e : model.entries())
            add(prefix + e.name, DType::f32, e.shape, [&model, &e] { return model.collect(e); });
    }
    void write(const std::string& path, const Metadata& metadata, bool checksums) const {
        stream_safetensors(
            path, specs, [&](size_t i) { return make[i](); }, metadata, checksums);
    }
};

// Fields with their lengths, for any text in them.
std::string packed(const Metadata& metadata) {
    std::string text;
    for (const auto& [key, value] : metadata)
        for (const std::string* field : {&key, &value}) text += std::to_string(field->size()) + ":" + *field;
    return text;
}

Metadata unpacked(const std::string& text) {
    std::vector<std::string> fields;
    for (size_t at = 0; at < text.size();) {
        const size_t colon = text.find(':', at), length = std::stoull(text.substr(at, colon - at));
        fields.push_back(text.substr(colon + 1, length));
        at = colon + 1 + length;
    }
    Metadata metadata;
    for (size_t i = 0; i + 1 < fields.size(); i += 2) metadata[fields[i]] = fields[i + 1];
    return metadata;
}

}  // namespace

void save_shards(const std::string& path, const SnapshotHead& head, const ShardParts& parts) {
    DataParallel& parallel = *parts.parallel;
    NamedTensors local;
    Metadata metadata = head.more;
    parts.optimizer->save(local, metadata);
    const std::map<std::string, Tensor> moments(local.begin(), local.end());
    metadata["program"] = head.program;
    metadata["step"] = std::to_string(head.step);
    metadata["data_fingerprint"] = std::to_string(head.fingerprint);
    metadata["shards"] = std::to_string(parallel.options().shards);
    metadata.merge(parts.scaler->state());
    save_generator(metadata, "generator", *parts.generator);
    Listing list;
    list.add(parts.model_prefix, parallel.model());
    if (parallel.average()) list.add(parts.average_prefix, *parallel.average());
    for (const auto& [name, tensor] : parts.more)
        list.add(name, tensor.dtype(), tensor.shape(), [t = tensor] { return t; });
    for (const std::string& kind : parts.optimizer->moment_names())
        for (const FlatModel::Entry& e : parallel.model().entries()) {
            if (!e.requires_grad) continue;
            list.add(kind + e.name, DType::f32, e.shape, [&, name = kind + e.name] {
                const auto found = moments.find(name);
                return parallel.model().collect(e, found == moments.end() ? Tensor() : found->second,
                                                parallel.own_pieces());
            });
        }
    list.write(parallel.world().rank() == 0 ? path : "", metadata, true);
    parallel.world().barrier();
}

SnapshotHead load_shards(const std::string& path, const SnapshotHead& expected, const ShardParts& parts) {
    DataParallel& parallel = *parts.parallel;
    const Communicator& world = parallel.world();
    std::optional<SafetensorsFile> file;
    std::string text;
    if (world.rank() == 0) {
        file.emplace(path);
        check_snapshot(*file, expected);
        text = packed(file->metadata());
    }
    SnapshotHead head = expected;
    head.more = unpacked(world.all_gather_text(text)[0]);
    head.step = state_int(head.more, "step");
    const auto shards = head.more.find("shards");
    check(shards != head.more.end() && shards->second == std::to_string(parallel.options().shards), "resume",
          "'", path, "' was trained with --shards ", shards == head.more.end() ? "1" : shards->second,
          ", not ", parallel.options().shards);
    const auto fetch = [&](const std::string& name, const Shape& shape, DType dtype) {
        Tensor tensor = Tensor::empty(shape, dtype);
        if (file) {
            check(file->contains(name), "resume", "'", path, "' has no tensor '", name,
                  "': it is a checkpoint of another model");
            const Tensor there = file->load(name);
            check(there.shape() == shape && there.dtype() == dtype, "resume", "'", path, "': ", name, " is ",
                  there, ", the model needs ", dtype, " ", shape, ": it is a checkpoint of another model");
            copy(tensor, there);
        }
        world.broadcast(tensor);
        return tensor;
    };
    const auto restore = [&](const std::string& prefix, FlatModel& model) {
        for (const FlatModel::Entry& e : model.entries())
            model.store(e, fetch(prefix + e.name, e.shape, DType::f32));
    };
    restore(parts.model_prefix, parallel.model());
    if (parallel.average()) restore(parts.average_prefix, *parallel.average());
    for (const auto& [name, tensor] : parts.more) copy(tensor, fetch(name, tensor.shape(), tensor.dtype()));
    std::map<std::string, Tensor> moments;
    for (const std::string& kind : parts.optimizer->moment_names())
        for (const FlatModel::Entry& e : parallel.model().entries()) {
            if (!e.requires_grad) continue;
            const Tensor whole = fetch(kind + e.name, e.shape, DType::f32);
            const auto [begin, end] = parallel.own_pieces() ? parallel.model().part(e, world.rank())
                                                            : std::pair(int64_t{0}, e.count);
            moments[kind + e.name] = whole.reshape({e.count}).slice(0, begin, end).clone();
        }
    parts.optimizer->load(
        head.more,
        [&](const std::string& name) {
            const auto found = moments.find(name);
            return found == moments.end() ? Tensor() : found->second;
        },
        path);
    parts.scaler->load(head.more);
    *parts.generator = load_generator(head.more, "generator");
    return head;
}

void load_model(const std::string& path, FlatModel& model, const Communicator& world) {
    std::optional<SafetensorsFile> file;
    if (world.rank() == 0) file.emplace(path);
    for (const FlatModel::Entry& e : model.entries()) {
        Tensor values = Tensor::empty(e.shape);
        if (file) copy(values, file->load(e.name));
        world.broadcast(values);
        model.store(e, values);
    }
}

}  // namespace demi::examples
