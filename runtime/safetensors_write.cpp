#include <algorithm>
#include <numeric>
#include <optional>
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

// Places in the file's order.
std::vector<size_t> file_order(const std::vector<TensorSpec>& specs) {
    std::vector<size_t> order(specs.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t i, size_t j) {
        const int x = rank_of(specs[i].dtype), y = rank_of(specs[j].dtype);
        return x != y ? x < y : specs[i].name < specs[j].name;
    });
    return order;
}

int64_t bytes_of(const TensorSpec& spec) {
    return checked_mul(spec.shape.numel(), static_cast<int64_t>(size_of(spec.dtype)), "safetensors");
}

void check_names(const std::string& path, const std::vector<TensorSpec>& specs, const Metadata& metadata) {
    std::set<std::string> seen;
    for (const TensorSpec& spec : specs) {
        check(spec.name != "__metadata__", "safetensors", "'", path,
              "': a tensor cannot be named __metadata__");
        check(seen.insert(spec.name).second, "safetensors", "'", path, "': two tensors are named '",
              spec.name, "'");
    }
    for (const auto& [key, value] : metadata)
        check(!is_checksum_key(key), "safetensors", "'", path, "': metadata key '", key,
              "' is reserved for checksums");
}

// The header, padded; of the same length whatever the checksums in `metadata` are.
std::string header_text(const std::string& path, const std::vector<TensorSpec>& specs,
                        const std::vector<size_t>& order, const Metadata& metadata) {
    std::string entries;
    int64_t at = 0;
    for (size_t i : order) {
        const TensorSpec& spec = specs[i];
        entries += ',';
        quote(entries, spec.name, path);
        entries.append(":{\"dtype\":\"").append(file_name(spec.dtype)).append("\",\"shape\":[");
        for (int d = 0; d < spec.shape.rank(); ++d) {
            if (d > 0) entries += ',';
            entries += std::to_string(spec.shape[d]);
        }
        const int64_t end = checked_add(at, bytes_of(spec), "safetensors");
        entries += "],\"data_offsets\":[" + std::to_string(at) + ',' + std::to_string(end) + "]}";
        at = end;
    }
    std::string text = metadata.empty() ? "" : "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
        if (text.back() != '{') text += ',';
        quote(text, key, path);
        text += ':';
        quote(text, value, path);
    }
    if (!metadata.empty()) text += '}';
    text = '{' + (metadata.empty() && !entries.empty() ? entries.substr(1) : text + entries) + '}';
    text.resize((text.size() + 7) / 8 * 8, ' ');
    return text;
}

// Whether rows of a tensor, from one on, fit behind each other.
bool fits(const Tensor& rows, const TensorSpec& spec, int64_t row) {
    if (!rows.defined() || rows.dtype() != spec.dtype || rows.rank() != spec.shape.rank()) return false;
    for (int d = 1; d < rows.rank(); ++d)
        if (rows.size(d) != spec.shape[d]) return false;
    return rows.rank() == 0 ||
           (rows.size(0) <= spec.shape[0] - row && (rows.size(0) > 0 || spec.shape[0] == 0));
}

std::string length_bytes(size_t size) {
    std::string bytes;
    for (size_t i = 0; i < 8; ++i) bytes += static_cast<char>(static_cast<uint64_t>(size) >> (8 * i));
    return bytes;
}

}  // namespace

void stream_safetensors(const std::string& path, const std::vector<TensorSpec>& specs,
                        const std::function<Tensor(size_t)>& make, const Metadata& metadata, bool checksums) {
    check(make != nullptr, "safetensors", "the function that makes the tensors is empty");
    const auto whole = [&](size_t i, int64_t) {
        const TensorSpec& spec = specs[i];
        Tensor made = make(i);
        check(path.empty() || (made.defined() && made.shape() == spec.shape && made.dtype() == spec.dtype),
              "safetensors", "'", path, "': tensor '", spec.name, "' must be ", spec.dtype, " ", spec.shape,
              ": got ", made);
        return made;
    };
    stream_safetensors_rows(path, specs, whole, metadata, checksums);
}

void stream_safetensors_rows(const std::string& path, const std::vector<TensorSpec>& specs,
                             const std::function<Tensor(size_t, int64_t)>& make, const Metadata& metadata,
                             bool checksums) {
    static_assert(std::endian::native == std::endian::little, "the data is written as it lies in memory");
    check_names(path, specs, metadata);
    check(make != nullptr, "safetensors", "the function that makes the tensors is empty");
    const std::vector<size_t> order = file_order(specs);
    Metadata all = metadata;
    if (checksums) all[kHeaderChecksum] = checksum_text(0);
    for (const TensorSpec& spec : specs)
        if (checksums && bytes_of(spec) > 0) all[tensor_checksum(spec.name)] = checksum_text(0);
    std::string text = header_text(path, specs, order, all);
    std::optional<AtomicFile> file;
    if (!path.empty()) {
        file.emplace(path);
        file->write(length_bytes(text.size()));
        file->write(text);
    }
    for (size_t i : order) {
        const TensorSpec& spec = specs[i];
        const int64_t rows = spec.shape.rank() > 0 ? spec.shape[0] : 1;
        uint32_t sum = 0;
        int64_t row = 0;
        do {
            const Tensor made = make(i, row);
            if (!file) break;
            check(fits(made, spec, row), "safetensors", "'", path, "': rows from ", row, " on of tensor '",
                  spec.name, "', ", spec.dtype, " ", spec.shape, ", are needed: got ", made);
            const Tensor tensor = made.to(Device::cpu()).contiguous();
            const auto bytes = static_cast<size_t>(tensor.numel()) * size_of(spec.dtype);
            if (checksums) sum = crc32c(tensor.raw(), bytes, sum);
            if (bytes > 0) file->write(tensor.raw(), bytes);
            row += made.rank() > 0 ? made.size(0) : 1;
        } while (row < rows);
        if (checksums && bytes_of(spec) > 0) all[tensor_checksum(spec.name)] = checksum_text(sum);
    }
    if (!file) return;
    if (checksums) {
        text = header_text(path, specs, order, all);
        const std::string digits = checksum_text(crc32c(text.data(), text.size()));
        text.replace(header_checksum_at(text), kChecksumDigits, digits);
        file->write_at(8, text);
    }
    file->commit();
}

void write_safetensors(const std::string& path, const NamedTensors& tensors, const Metadata& metadata,
                       bool checksums) {
    std::vector<TensorSpec> specs;
    for (const auto& [name, tensor] : tensors) {
        check(tensor.defined(), "safetensors", "'", path, "': tensor '", name, "' is undefined");
        specs.push_back({name, tensor.dtype(), tensor.shape()});
    }
    check(!path.empty(), "safetensors", "needs the path of a file: got an empty one");
    stream_safetensors(
        path, specs, [&](size_t i) { return tensors[i].second; }, metadata, checksums);
}

}  // namespace demi
