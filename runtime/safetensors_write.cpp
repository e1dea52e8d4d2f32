#include <algorithm>
#include <set>

#include "runtime/atomic_file.h"
#include "runtime/json.h"
#include "runtime/safetensors.h"
#include "runtime/safetensors_checksum.h"

namespace demi {
namespace {

const char* file_name(DType dtype) {
    switch (dtype) {
    case DType::f16: return "F16";
    case DType::bf16: return "BF16";
    case DType::f32: return "F32";
    case DType::f64: return "F64";
    case DType::i32: return "I32";
    case DType::i64: return "I64";
    case DType::u8: return "U8";
    case DType::boolean: return "BOOL";
    }
    return "?";
}

// Order of the reference writer: widest alignment first, so that every tensor lies aligned in the file.
int rank_of(DType dtype) {
    constexpr DType order[] = {DType::i64,  DType::f64, DType::f32, DType::i32,
                               DType::bf16, DType::f16, DType::u8,  DType::boolean};
    return static_cast<int>(std::find(std::begin(order), std::end(order), dtype) - std::begin(order));
}

void quote(std::string& out, const std::string& text, const std::string& path) {
    if (!append_json(out, text)) fail("safetensors", "'", path, "': names and metadata must be valid UTF-8");
}

}  // namespace

void write_safetensors(const std::string& path, const NamedTensors& tensors, const Metadata& metadata,
                       bool checksums) {
    static_assert(std::endian::native == std::endian::little, "the data is written as it lies in memory");
    NamedTensors sorted;
    std::set<std::string> seen;
    for (const auto& [name, tensor] : tensors) {
        check(tensor.defined(), "safetensors", "'", path, "': tensor '", name, "' is undefined");
        check(name != "__metadata__", "safetensors", "'", path, "': a tensor cannot be named __metadata__");
        check(seen.insert(name).second, "safetensors", "'", path, "': two tensors are named '", name, "'");
        sorted.emplace_back(name, tensor.to(Device::cpu()).contiguous());
    }
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
        const int x = rank_of(a.second.dtype()), y = rank_of(b.second.dtype());
        return x != y ? x < y : a.first < b.first;
    });

    Metadata all = metadata;
    for (const auto& [key, value] : metadata)
        check(!is_checksum_key(key), "safetensors", "'", path, "': metadata key '", key,
              "' is reserved for checksums");
    if (checksums) all[kHeaderChecksum] = checksum_text(0);
    std::string entries;
    int64_t at = 0;
    for (const auto& [name, tensor] : sorted) {
        const int64_t bytes = tensor.numel() * static_cast<int64_t>(size_of(tensor.dtype()));
        entries += ',';
        quote(entries, name, path);
        entries.append(":{\"dtype\":\"").append(file_name(tensor.dtype())).append("\",\"shape\":[");
        for (int i = 0; i < tensor.rank(); ++i) {
            if (i > 0) entries += ',';
            entries += std::to_string(tensor.size(i));
        }
        entries += "],\"data_offsets\":[" + std::to_string(at) + ',' + std::to_string(at + bytes) + "]}";
        at += bytes;
        if (checksums && bytes > 0)
            all[tensor_checksum(name)] = checksum_text(crc32c(tensor.raw(), static_cast<size_t>(bytes)));
    }
    std::string text = all.empty() ? "" : "\"__metadata__\":{";
    for (const auto& [key, value] : all) {
        if (text.back() != '{') text += ',';
        quote(text, key, path);
        text += ':';
        quote(text, value, path);
    }
    if (!all.empty()) text += '}';
    text = '{' + (all.empty() && !entries.empty() ? entries.substr(1) : text + entries) + '}';
    text.resize((text.size() + 7) / 8 * 8, ' ');
    if (checksums) {
        const std::string digits = checksum_text(crc32c(text.data(), text.size()));
        text.replace(header_checksum_at(text), kChecksumDigits, digits);
    }
    char length[8];
    for (size_t i = 0; i < 8; ++i)
        length[i] = static_cast<char>(static_cast<uint64_t>(text.size()) >> (8 * i));

    AtomicFile file(path);
    file.write(length, 8);
    file.write(text);
    for (const auto& [name, tensor] : sorted)
        if (tensor.numel() > 0)
            file.write(tensor.raw(), static_cast<size_t>(tensor.numel()) * size_of(tensor.dtype()));
    file.commit();
}

}  // namespace demi
