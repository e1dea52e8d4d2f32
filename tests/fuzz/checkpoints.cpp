// Damaged checkpoints: .pth, .safetensors and Hugging Face folders, mutated for some seconds. Each must load or be refused
// by an Error of one line; memory stays below a few times the file.
//   build/tests/fuzz_checkpoints [SECONDS] [SEED]
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "models/checkpoint.h"
#include "models/pretrained/export.h"
#include "runtime/allocator.h"
#include "tests/support/temporary.h"
#include "tests/support/tiny_vit.h"
#include "tests/support/torch_bytes.h"

namespace {

using namespace demi;
using namespace demi::test;

struct Random {
    Generator generator;
    size_t below(size_t bound) { return generator.next_below(static_cast<uint32_t>(bound)); }
    bool one_in(size_t n) { return below(n) == 0; }
};

NamedTensors small_network() {
    ViTConfig c = test::tiny_vit(8, 8, 2);
    c.num_register_tokens = 2;
    Generator generator{1};
    DinoVisionTransformer model(c, generator);
    return state_dict(parameters_of(model));
}

// A few bytes overwritten, cut out, put in twice, or moved; numbers at the ends of their range.
std::string mutated(std::string bytes, Random& random) {
    for (size_t times = 1 + random.below(4); times > 0 && !bytes.empty(); --times) {
        const size_t at = random.below(bytes.size());
        const size_t count = std::min(bytes.size() - at, 1 + random.below(random.one_in(4) ? 200 : 9));
        switch (random.below(7)) {
        case 0: bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8))); break;
        case 1: bytes[at] = static_cast<char>(random.below(256)); break;
        case 2: bytes.erase(at, count); break;
        case 3: bytes.insert(at, bytes.substr(random.below(bytes.size()), count)); break;
        case 4: bytes.replace(at, count, bytes.substr(random.below(bytes.size()), count)); break;
        case 5: bytes.resize(at); break;
        default: {
            constexpr uint64_t kNumbers[] = {0,
                                             1,
                                             0x7f,
                                             0xff,
                                             0xffff,
                                             0x7fffffff,
                                             0xffffffff,
                                             uint64_t{1} << 40,
                                             uint64_t{1} << 62,
                                             ~uint64_t{0}};
            const size_t size = size_t{1} << random.below(4);
            const std::string number = little(kNumbers[random.below(std::size(kNumbers))], size);
            bytes.replace(at, std::min(size, bytes.size() - at), number);
        }
        }
    }
    return bytes;
}

struct Fuzzer {
    TemporaryFolder folder;
    NamedTensors tensors = small_network();
    TorchWriter writer;
    std::string pickle, safetensors, torch;
    size_t loaded = 0, refused = 0;

    Fuzzer() {
        std::vector<std::pair<std::string, std::string>> items;
        for (const auto& [name, tensor] : tensors) items.emplace_back(name, writer.add(tensor));
        pickle =
            pickle_of(p_dict({{"teacher", p_dict(items)}, {"args", p_call("argparse", "Namespace", ")")}}));
        torch = zip_of(writer.parts(pickle));
        write_safetensors(folder / "x", tensors, {{"num_heads", "2"}});
        safetensors = get_file(folder / "x");
    }
    // The path of a damaged checkpoint.
    std::string next(Random& random) {
        const std::string file = folder / "x";
        const auto store = [](const std::string& path, const std::string& bytes) {
            put_file(path, bytes);
            return path;
        };
        switch (random.below(5)) {
        case 0: return store(file, mutated(torch, random));
        case 1:
            return store(file,
                         zip_of(writer.parts(mutated(pickle, random)), {64, random.one_in(4), true, ""}));
        case 2: {
            std::vector<ZipPart> parts = writer.parts(pickle);
            for (size_t i = 1 + random.below(3); i > 0; --i) {
                ZipPart& part = parts[random.below(parts.size())];
                if (random.one_in(2)) part.size = static_cast<int64_t>(random.below(100000));
                if (random.one_in(3)) part.name = mutated(part.name, random);
                if (random.one_in(4)) part.method = 8;
            }
            return store(file, zip_of(parts));
        }
        case 3: {  // the header of safetensors, with its right length
            const size_t length =
                static_cast<uint8_t>(safetensors[0]) + 256u * static_cast<uint8_t>(safetensors[1]);
            if (random.one_in(3)) return store(file, mutated(safetensors, random));
            const std::string header = mutated(safetensors.substr(8, length), random);
            return store(file, little(header.size(), 8) + header + safetensors.substr(8 + length));
        }
        default: {
            const std::string config =
                R"({"hidden_size": 8, "num_attention_heads": 2, "layer_norm_eps": 1e-6})";
            const std::string index =
                R"({"weight_map": {"cls_token": "model.safetensors", "norm.bias": "b"}})";
            put_file(folder / "config.json", mutated(config, random));
            put_file(folder / "model.safetensors.index.json", mutated(index, random));
            if (random.one_in(2))
                put_file(folder / "model.safetensors",
                         random.one_in(2) ? safetensors : mutated(torch, random));
            else
                std::filesystem::remove(folder / "model.safetensors");
            return folder.path();
        }
        }
    }
    // What is wrong with how it was taken, "" where nothing is.
    std::string run(const std::string& path) {
        try {
            const CheckpointFile file = open_checkpoint(path);
            for (const std::string& name : file.names())
                if (const Tensor tensor = file.load(name); tensor.shape() != file.info(name).shape)
                    return "other shape";
            const Pretrained weights(path);
            (void)weights.describe();
            const NamedTensors ours = load_network(weights);
            std::vector<std::string> dropped;
            for (WeightNaming naming : {WeightNaming::meta, WeightNaming::hugging_face, WeightNaming::timm})
                export_names(ours, weights.config(), naming, dropped);
            ++loaded;
        } catch (const Error& error) {
            const std::string text = error.what();
            if (text.find('\n') != std::string::npos || text.size() > 3000) return "unclear: " + text;
            ++refused;
        } catch (const std::exception& error) {
            return std::string("not an Error: ") + error.what();
        }
        return "";
    }
};

}  // namespace

int main(int argc, char** argv) {
    const double seconds = argc > 1 ? std::atof(argv[1]) : 10;
    Random random{Generator{argc > 2 ? static_cast<uint64_t>(std::atoll(argv[2])) : 1}};
    Fuzzer fuzzer;
    const auto start = std::chrono::steady_clock::now();
    while (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < seconds) {
        const uint64_t place = random.generator.offset;
        reset_peak();
        const std::string path = fuzzer.next(random), wrong = fuzzer.run(path);
        if (wrong.empty() && allocator_stats().peak_bytes < (int64_t{16} << 20)) continue;
        std::printf("wrong at offset %llu: %s (peak %lld bytes)\n", static_cast<unsigned long long>(place),
                    wrong.c_str(), static_cast<long long>(allocator_stats().peak_bytes));
        return 1;
    }
    std::printf("%zu loaded, %zu refused\n", fuzzer.loaded, fuzzer.refused);
    return 0;
}
