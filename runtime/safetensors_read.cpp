#include <algorithm>

#include "runtime/input_file.h"
#include "runtime/json.h"
#include "runtime/safetensors.h"
#include "runtime/safetensors_checksum.h"

namespace demi {
namespace {

using Kind = Json::Kind;
constexpr int64_t kMaxHeader = 100'000'000;

struct FileDType {
    const char* name;
    int bits;
    bool known;
    DType dtype;
};
constexpr FileDType kDTypes[] = {
    {"BOOL", 8, true, DType::boolean},    {"U8", 8, true, DType::u8},
    {"F16", 16, true, DType::f16},        {"BF16", 16, true, DType::bf16},
    {"I32", 32, true, DType::i32},        {"F32", 32, true, DType::f32},
    {"I64", 64, true, DType::i64},        {"F64", 64, true, DType::f64},
    {"F4", 4, false, DType::u8},          {"F6_E2M3", 6, false, DType::u8},
    {"F6_E3M2", 6, false, DType::u8},     {"I8", 8, false, DType::u8},
    {"F8_E5M2", 8, false, DType::u8},     {"F8_E4M3", 8, false, DType::u8},
    {"F8_E8M0", 8, false, DType::u8},     {"F8_E4M3FNUZ", 8, false, DType::u8},
    {"F8_E5M2FNUZ", 8, false, DType::u8}, {"I16", 16, false, DType::u8},
    {"U16", 16, false, DType::u8},        {"U32", 32, false, DType::u8},
    {"C64", 64, false, DType::u8},        {"U64", 64, false, DType::u8},
};

const FileDType* find_dtype(const std::string& name) {
    for (const FileDType& dtype : kDTypes)
        if (name == dtype.name) return &dtype;
    return nullptr;
}

template <class... Parts> [[noreturn]] void refuse(const std::string& path, const Parts&... parts) {
    fail("safetensors", "'", path, "': ", parts...);
}

Json parse_strict(const std::string& text, const std::string& path) {
    Json header;
    try {
        header = parse_json(text, 4);
    } catch (const std::runtime_error& error) {
        refuse(path, "header ", error.what());
    }
    if (!header.is(Kind::object)) refuse(path, "header is not a JSON object");
    return header;
}

int64_t read_size(const Json& value, const std::string& path, const std::string& name, const char* what) {
    if (!value.is(Kind::natural) || value.natural > uint64_t{INT64_MAX})
        refuse(path, "tensor '", name, "': ", what, " must be an unsigned integer: got ", value.dump());
    return static_cast<int64_t>(value.natural);
}

SafetensorsFile::Info read_info(const Json& entry, const std::string& path, const std::string& name) {
    const Json *dtype = entry.find("dtype"), *shape = entry.find("shape"),
               *offsets = entry.find("data_offsets");
    if (entry.members.size() != 3 || dtype == nullptr || shape == nullptr || offsets == nullptr)
        refuse(path, "tensor '", name, "' must have exactly dtype, shape and data_offsets");
    if (!dtype->is(Kind::text) || find_dtype(dtype->text) == nullptr)
        refuse(path, "tensor '", name, "' has an unknown dtype: ", dtype->dump());
    if (!shape->is(Kind::list))
        refuse(path, "tensor '", name, "': shape must be a list: got ", shape->dump());
    if (!offsets->is(Kind::list) || offsets->items.size() != 2)
        refuse(path, "tensor '", name, "': data_offsets must be two numbers: got ", offsets->dump());

    SafetensorsFile::Info info;
    info.dtype = dtype->text;
    const int64_t element = find_dtype(info.dtype)->bits;
    int64_t bits = element;
    info.rank = static_cast<int64_t>(shape->items.size());
    for (const Json& item : shape->items) {
        const int64_t size = read_size(item, path, name, "a size");
        if (info.shape.rank() < Shape::kMaxRank) info.shape.push_back(size);
        if (__builtin_mul_overflow(bits, size, &bits))
            refuse(path, "tensor '", name, "': shape ", info.shape, " overflows");
    }
    if (info.rank > Shape::kMaxRank) info.shape = Shape{bits / element};
    info.begin = read_size(offsets->items[0], path, name, "an offset");
    info.end = read_size(offsets->items[1], path, name, "an offset");
    if (bits % 8 != 0) refuse(path, "tensor '", name, "' does not fill whole bytes");
    if (info.end < info.begin || info.end - info.begin != bits / 8)
        refuse(path, "tensor '", name, "' (", info.dtype, " ", info.shape, ") needs ", bits / 8,
               " bytes: its offsets are [", info.begin, ", ", info.end, ")");
    return info;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path)
    : path_(path), file_(std::make_shared<InputFile>("safetensors", path)) {
    const int64_t size = file_->size();
    if (size < 8) refuse(path, "is too short for a header length: ", size, " bytes");
    unsigned char length_bytes[8];
    file_->read(0, length_bytes, 8);
    uint64_t length = 0;
    for (int i = 7; i >= 0; --i) length = length << 8 | length_bytes[i];
    if (length > kMaxHeader)
        refuse(path, "header length ", length, " is over the limit of ", kMaxHeader,
               " bytes (not a safetensors file?)");
    if (8 + static_cast<int64_t>(length) > size)
        refuse(path, "header of ", length, " bytes does not fit a file of ", size, " bytes");
    const std::string text = file_->text(8, static_cast<int64_t>(length));
    if (text.empty() || text[0] != '{') refuse(path, "header does not begin with '{'");
    data_start_ = 8 + static_cast<int64_t>(length);
    parse_header(text, size - data_start_);
}

void SafetensorsFile::parse_header(const std::string& text, int64_t data_bytes) {
    const Json header = parse_strict(text, path_);
    for (const auto& [name, entry] : header.members) {
        if (name == "__metadata__") {
            if (entry.is(Kind::null)) continue;  // as the official library reads it
            if (!entry.is(Kind::object)) refuse(path_, "__metadata__ must map strings to strings");
            for (const auto& [key, value] : entry.members) {
                if (!value.is(Kind::text))
                    refuse(path_, "__metadata__ value of '", key, "' must be a string");
                (is_checksum_key(key) ? checksums_ : metadata_)[key] = value.text;
            }
            continue;
        }
        infos_[name] = read_info(entry, path_, name);
        names_.push_back(name);
    }
    std::sort(names_.begin(), names_.end());
    check_checksums(text);
    std::vector<std::string> order = names_;
    std::stable_sort(order.begin(), order.end(), [&](const std::string& a, const std::string& b) {
        const Info &x = infos_[a], &y = infos_[b];
        return x.begin != y.begin ? x.begin < y.begin : x.end < y.end;
    });
    int64_t at = 0;
    for (const std::string& name : order) {
        const Info& info = infos_[name];
        if (info.begin != at)
            refuse(path_, "tensor '", name, "' begins at byte ", info.begin, " of the data, expected ", at,
                   info.begin > at ? " (hole)" : " (overlap)");
        at = info.end;
    }
    if (at != data_bytes)
        refuse(path_, "tensors take ", at, " bytes but the file holds ", data_bytes,
               at > data_bytes ? " (cut short)" : " (trailing bytes)");
}

// The header's own checksum covers everything but its ten digits; without it those of
// the tensors are not trusted.
void SafetensorsFile::check_checksums(std::string text) {
    if (checksums_.empty()) return;
    const auto own = checksums_.find(kHeaderChecksum);
    if (own == checksums_.end()) refuse(path_, "has checksums of tensors but none of its header");
    const size_t at = header_checksum_at(text);
    if (at == std::string::npos || own->second.size() != kChecksumDigits)
        refuse(path_, "has no readable checksum of its header");
    text.replace(at, kChecksumDigits, kChecksumDigits, '0');
    const std::string found = checksum_text(crc32c(text.data(), text.size()));
    if (found != own->second)
        refuse(path_, "header is damaged: its checksum is ", found, ", expected ", own->second);
}

const SafetensorsFile::Info& SafetensorsFile::info(const std::string& name) const {
    const auto found = infos_.find(name);
    if (found == infos_.end()) refuse(path_, "has no tensor '", name, "'");
    return found->second;
}

Tensor SafetensorsFile::load(const std::string& name) const {
    const Info& entry = info(name);
    const FileDType& dtype = *find_dtype(entry.dtype);
    if (entry.rank > Shape::kMaxRank)
        refuse(path_, "tensor '", name, "' has rank ", entry.rank, ", at most ", Shape::kMaxRank,
               " is supported");
    if (!dtype.known)
        refuse(path_, "tensor '", name, "' has dtype ", entry.dtype, ", which demi does not have");
    Tensor tensor = Tensor::empty(entry.shape, dtype.dtype);
    if (tensor.numel() == 0) return tensor;
    char* data = static_cast<char*>(tensor.mutable_raw());
    file_->read(data_start_ + entry.begin, data, entry.end - entry.begin);
    if (const auto sum = checksums_.find(tensor_checksum(name)); sum != checksums_.end()) {
        const std::string found = checksum_text(crc32c(data, static_cast<size_t>(entry.end - entry.begin)));
        if (found != sum->second)
            refuse(path_, "tensor '", name, "' is damaged: its checksum is ", found, ", expected ",
                   sum->second);
    }
    if (dtype.dtype == DType::boolean)
        for (int64_t i = 0; i < tensor.numel(); ++i)
            if (data[i] != 0 && data[i] != 1) refuse(path_, "tensor '", name, "': a BOOL is neither 0 nor 1");
    return tensor;
}

}  // namespace demi
