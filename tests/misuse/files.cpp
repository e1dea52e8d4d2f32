// Files, profiles, and what checkpoints are made of. The working directory is a folder that is removed afterwards.
#include "models/checkpoint.h"
#include "models/state.h"
#include "runtime/atomic_file.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/half.h"
#include "runtime/profile.h"
#include "tests/misuse/walk.h"
#include "tests/support/temporary.h"
#include "tests/support/torch_bytes.h"

namespace demi::test {
namespace {

const std::string kFile = "good.safetensors";

SafetensorsFile written(const NamedTensors& tensors, const Metadata& metadata = {}, bool checksums = false) {
    write_safetensors(kFile, tensors, metadata, checksums);
    return SafetensorsFile(kFile);
}

void safetensors_walks(Walks& walks) {
    walks.add(
        "SafetensorsFile::SafetensorsFile",
        [](std::string path, std::string bytes, uint64_t length) {
            put_file(kFile, std::string(reinterpret_cast<const char*>(&length), 8) + bytes);
            SafetensorsFile file(path);
        },
        kFile, std::string("{}"), 2);
    walks.add(
        "SafetensorsFile::path SafetensorsFile::metadata SafetensorsFile::names SafetensorsFile::contains "
        "SafetensorsFile::info SafetensorsFile::load",
        [](std::string name) {
            static const SafetensorsFile file = written({{"x", tensor({2, 3})}});
            (void)(file.path(), file.metadata(), file.names(), file.contains(name));
            (void)file.info(name);
            return file.load(name);
        },
        std::string("x"));
    walks.add(
        "write_safetensors",
        [](std::string name, Tensor t, Metadata metadata, bool checksums, bool twice) {
            NamedTensors tensors{{name, t}, {"other", tensor({3})}};
            if (twice) tensors.push_back(tensors[0]);
            return written(tensors, metadata, checksums).load(name);
        },
        std::string("x"), tensor({2, 3}), Metadata(), true, false);
    walks.add(
        "stream_safetensors AtomicFile::write_at",
        [](std::string path, std::string name, DType dtype, Shape shape, Tensor t, Metadata metadata,
           uint64_t at) {
            stream_safetensors(
                path, {{name, dtype, shape}}, [&](size_t) { return t; }, metadata, true);
            AtomicFile file(kFile);
            file.write("text");
            file.write_at(static_cast<size_t>(std::min<uint64_t>(at, 1000)), "more");
        },
        kFile, std::string("x"), DType::f32, Shape{2, 3}, tensor({2, 3}), Metadata(), uint64_t{1});
    walks.add(
        "stream_safetensors_rows",
        [](std::string path, std::string name, DType dtype, Shape shape, Tensor t, Metadata metadata) {
            stream_safetensors_rows(
                path, {{name, dtype, shape}}, [&](size_t, int64_t) { return t; }, metadata, true);
        },
        kFile, std::string("x"), DType::f32, Shape{4, 3}, tensor({2, 3}), Metadata());
    walks.add(
        "write_safetensors write_file_atomic",
        [](std::string path, std::string text) {
            write_safetensors(path, {}, {{text, text}});
            write_file_atomic(path, text);
        },
        kFile, std::string("text"));
    walks.add(
        "state_dict load_state_dict",
        [](NamedParameters from, NamedParameters to, std::string prefix, bool strict) {
            const SafetensorsFile file = written(state_dict(from, prefix));
            LoadOptions options;
            options.prefix = prefix;
            options.strict = strict;
            load_state_dict(to, file, options);
        },
        NamedParameters{{"a", variable({2})}}, NamedParameters{{"a", variable({2})}}, std::string("p."),
        true);
}

void checkpoint_walks(Walks& walks) {
    walks.add(
        "open_checkpoint CheckpointFile::path CheckpointFile::format CheckpointFile::names "
        "CheckpointFile::contains "
        "CheckpointFile::info CheckpointFile::load CheckpointFile::metadata CheckpointFile::config "
        "CheckpointFile::objects CheckpointFile::preprocessor",
        [](std::string path, std::string bytes, std::string name, bool check_sums, bool torch) {
            put_file(kFile, torch ? torch_file({{"x", tensor({2, 3})}, {bytes, tensor({1})}}) : bytes);
            const CheckpointFile file = open_checkpoint(path, check_sums);
            (void)(file.path(), file.format(), file.names(), file.contains(name), file.metadata());
            (void)(file.config(), file.objects(), file.preprocessor());
            (void)file.info(name);
            return file.load(name);
        },
        kFile, std::string("y"), std::string("x"), true, true);
}

void profile_walks(Walks& walks) {
    walks.add(
        "start_profile stop_profile profiling profile_kernel innermost_scope ProfileScope::ProfileScope "
        "ScopeNames::ScopeNames",
        [](bool start, bool stop, std::string name, Device device) {
            const ScopeNames names;
            if (start) start_profile();
            {
                const ProfileScope scope(name, name);
                (void)(innermost_scope(), profiling());
                profile_kernel(device);
            }
            if (stop) use(stop_profile().table());
        },
        true, true, std::string("scope"), Device());
    walks.add(
        "Profile::trace_json Profile::write_trace Profile::table",
        [](std::string name, int thread, int64_t start, int64_t duration, int64_t bytes, Device device,
           std::string path) {
            Profile profile;
            profile.spans.push_back({name, thread, start, duration, bytes, bytes, device});
            profile.spans.push_back({"other", 0, 1, 2, 3, 4, {}});
            (void)(profile.trace_json(), profile.table());
            profile.write_trace(path);
        },
        std::string("scope"), 0, 1, 2, 3, Device(), std::string("trace.json"));
}

void state_walks(Walks& walks) {
    walks.add(
        "exact_text", [](double v) { return exact_text(v); }, 1.5);
    walks.add(
        "state_double", [](Metadata m, std::string key) { return state_double(m, key); },
        Metadata{{"key", "1"}}, std::string("key"));
    walks.add(
        "state_int", [](Metadata m, std::string key) { return state_int(m, key); }, Metadata{{"key", "1"}},
        std::string("key"));
    walks.add(
        "save_generator load_generator",
        [](Metadata m, std::string key, Generator g, bool save) {
            if (save) save_generator(m, key, g);
            return load_generator(m, key) == g;
        },
        Metadata(), std::string("key"), Generator{1, 2}, true);
    walks.add(
        "f32_to_f16_bits f16_bits_to_f32 f32_to_bf16_bits bf16_bits_to_f32 Half::Half Half::from_bits "
        "BFloat16::BFloat16 "
        "BFloat16::from_bits Half::operator float BFloat16::operator float",
        [](float v, uint32_t bits) {
            const auto low = static_cast<uint16_t>(bits);
            (void)(f16_bits_to_f32(f32_to_f16_bits(v)), bf16_bits_to_f32(f32_to_bf16_bits(v)));
            return float(Half(v)) + float(BFloat16(v)) + float(Half::from_bits(low)) +
                   float(BFloat16::from_bits(low));
        },
        1.0f, 15360);
}

}  // namespace

void file_walks(Walks& walks) {
    walks.add(
        "AtomicFile::AtomicFile AtomicFile::write AtomicFile::commit",
        [](std::string path, std::string text, bool commit) {
            AtomicFile file(path);
            file.write(text);
            if (commit) file.commit();
            if (commit) file.write(text);
        },
        std::string("file"), std::string("text"), false);
    safetensors_walks(walks);
    checkpoint_walks(walks);
    profile_walks(walks);
    state_walks(walks);
}

}  // namespace demi::test
