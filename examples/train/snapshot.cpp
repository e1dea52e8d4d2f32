#include "examples/train/snapshot.h"

#include "models/checkpoint.h"
#include "models/state.h"
#include "runtime/copy.h"

namespace demi::examples {

void save_snapshot(const std::string& path, const SnapshotHead& head, const SnapshotParts& parts) {
    NamedTensors tensors = state_dict(parts.parameters);
    for (const auto& [prefix, parameters] : parts.extra)
        for (auto& entry : state_dict(parameters, prefix)) tensors.push_back(std::move(entry));
    Metadata metadata = head.more;
    metadata["program"] = head.program;
    metadata["step"] = std::to_string(head.step);
    metadata["data_fingerprint"] = std::to_string(head.fingerprint);
    if (parts.optimizer) parts.optimizer->save(tensors, metadata);
    if (parts.scaler) metadata.merge(parts.scaler->state());
    if (parts.generator) save_generator(metadata, "generator", *parts.generator);
    write_safetensors(path, tensors, metadata, true);
}

static void load_exactly(const NamedParameters& parameters, const std::string& prefix,
                         const SafetensorsFile& file) {
    for (const auto& [name, parameter] : parameters) {
        check(file.contains(prefix + name), "resume", "'", file.path(), "' has no tensor '", prefix + name,
              "': it is a checkpoint of another model");
        const Tensor tensor = file.load(prefix + name);
        check(tensor.shape() == parameter.shape() && tensor.dtype() == parameter.dtype(), "resume", "'",
              file.path(), "': ", prefix + name, " is ", tensor.dtype(), " ", tensor.shape(),
              ", the model needs ", parameter.dtype(), " ", parameter.shape(),
              ": it is a checkpoint of another model");
        copy(parameter.value(), tensor);
    }
}

void check_snapshot(const SafetensorsFile& file, const SnapshotHead& expected) {
    const std::string& path = file.path();
    const auto program = file.metadata().find("program");
    check(program != file.metadata().end() && file.metadata().contains("step"), "resume", "'", path,
          "' is not a training checkpoint");
    check(program->second == expected.program, "resume", "'", path, "' was written by ", program->second,
          ", not ", expected.program);
    check(state_int(file.metadata(), "data_fingerprint") == expected.fingerprint, "resume", "'", path,
          "' was trained on other data than --data now names");
}

SnapshotHead load_snapshot(const std::string& path, const SnapshotHead& expected,
                           const SnapshotParts& parts) {
    const SafetensorsFile file(path);
    check_snapshot(file, expected);
    SnapshotHead head = expected;
    head.more = file.metadata();
    head.step = state_int(file.metadata(), "step");
    load_exactly(parts.parameters, "", file);
    for (const auto& [prefix, parameters] : parts.extra) load_exactly(parameters, prefix, file);
    if (parts.optimizer) parts.optimizer->load(file);
    if (parts.scaler) parts.scaler->load(file.metadata());
    if (parts.generator) *parts.generator = load_generator(file.metadata(), "generator");
    return head;
}

}  // namespace demi::examples
