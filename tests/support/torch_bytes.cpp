#include "tests/support/torch_bytes.h"

#include "runtime/checkpoint/zip.h"

namespace demi::test {

std::string little(uint64_t value, size_t bytes) {
    std::string out;
    for (size_t i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
    return out;
}

std::string zip_of(const std::vector<ZipPart>& parts, const ZipForm& form) {
    std::string out, directory;
    for (const ZipPart& part : parts) {
        const uint64_t at = out.size(),
                       size = part.size < 0 ? part.data.size() : static_cast<uint64_t>(part.size);
        const uint64_t crc =
            part.crc < 0 ? crc32(part.data.data(), part.data.size()) : static_cast<uint64_t>(part.crc);
        const std::string& local = part.local_name.empty() ? part.name : part.local_name;
        std::string extra;
        if (form.align > 0) {
            const size_t begin = out.size() + 30 + local.size() + 4;
            extra = "FB" + little((form.align - begin % form.align) % form.align, 2);
            extra.resize(4 + (form.align - begin % form.align) % form.align, 'Z');
        }
        const int flags = part.flags | (form.descriptors ? 8 : 0);
        const std::string sums = little(crc, 4) + little(size, 4) + little(size, 4);
        out += "PK\x03\x04" + little(20, 2) + little(static_cast<uint64_t>(flags), 2) +
               little(static_cast<uint64_t>(part.method), 2) + little(0, 4) +
               (form.descriptors ? std::string(12, '\0') : sums) + little(local.size(), 2) +
               little(extra.size(), 2) + local + extra + part.data;
        if (form.descriptors) out += "PK\x07\x08" + sums;
        std::string wide =
            form.wide ? little(1, 2) + little(24, 2) + little(size, 8) + little(size, 8) + little(at, 8) : "";
        directory += "PK\x01\x02" + little(45, 2) + little(45, 2) + little(static_cast<uint64_t>(flags), 2) +
                     little(static_cast<uint64_t>(part.method), 2) + little(0, 4) + little(crc, 4);
        const std::string all_ones(4, '\xff');
        directory += form.wide ? all_ones + all_ones : little(size, 4) + little(size, 4);
        directory += little(part.name.size(), 2) + little(wide.size(), 2) + std::string(10, '\0') +
                     (form.wide ? all_ones : little(at, 4)) + part.name + wide;
    }
    const uint64_t begin = out.size(), end = begin + directory.size(), count = parts.size();
    out += directory;
    if (form.wide)
        out += "PK\x06\x06" + little(44, 8) + little(45, 2) + little(45, 2) + little(0, 8) +
               little(count, 8) + little(count, 8) + little(directory.size(), 8) + little(begin, 8) +
               "PK\x06\x07" + little(0, 4) + little(end, 8) + little(1, 4);
    const uint64_t short_count = form.wide ? 0xffff : count;
    out += "PK\x05\x06" + little(0, 4) + little(short_count, 2) + little(short_count, 2) +
           little(form.wide ? 0xffffffff : directory.size(), 4) + little(form.wide ? 0xffffffff : begin, 4) +
           little(form.comment.size(), 2) + form.comment;
    return out;
}

std::string p_text(const std::string& text) { return "X" + little(text.size(), 4) + text; }

std::string p_int(int64_t value) {
    if (value >= 0 && value < 256) return "K" + little(static_cast<uint64_t>(value), 1);
    if (value >= 0 && value < 65536) return "M" + little(static_cast<uint64_t>(value), 2);
    if (value >= INT32_MIN && value <= INT32_MAX) return "J" + little(static_cast<uint64_t>(value), 4);
    return "\x8a\x08" + little(static_cast<uint64_t>(value), 8);
}

std::string p_tuple(const std::vector<std::string>& items) {
    std::string out = "(";
    for (const std::string& item : items) out += item;
    return out + "t";
}

std::string p_dict(const std::vector<std::pair<std::string, std::string>>& items) {
    std::string out = "}(";
    for (const auto& [key, value] : items) out += p_text(key) + value;
    return out + "u";
}

std::string p_global(const std::string& module, const std::string& name) {
    return "c" + module + "\n" + name + "\n";
}

std::string p_call(const std::string& module, const std::string& name, const std::string& arguments) {
    return p_global(module, name) + arguments + "R";
}

std::string p_storage(const std::string& type, const std::string& key, int64_t numel) {
    return p_tuple({p_text("storage"), p_global("torch", type), p_text(key), p_text("cpu"), p_int(numel)}) +
           "Q";
}

std::string p_tensor(const std::string& storage, int64_t offset, const std::vector<int64_t>& shape,
                     const std::vector<int64_t>& strides) {
    const auto numbers = [](const std::vector<int64_t>& values) {
        std::vector<std::string> items;
        for (int64_t value : values) items.push_back(p_int(value));
        return p_tuple(items);
    };
    return p_call("torch._utils", "_rebuild_tensor_v2",
                  p_tuple({storage, p_int(offset), numbers(shape), numbers(strides), "\x89",
                           p_call("collections", "OrderedDict", ")")}));
}

std::string storage_type(DType dtype) {
    switch (dtype) {
    case DType::f32: return "FloatStorage";
    case DType::f16: return "HalfStorage";
    case DType::bf16: return "BFloat16Storage";
    case DType::f64: return "DoubleStorage";
    case DType::i64: return "LongStorage";
    case DType::i32: return "IntStorage";
    case DType::u8: return "ByteStorage";
    case DType::boolean: return "BoolStorage";
    }
    return "";
}

std::string TorchWriter::add_storage(const std::string& bytes) {
    storages_.push_back(bytes);
    return std::to_string(storages_.size() - 1);
}

std::string TorchWriter::add(const Tensor& tensor) {
    const Tensor flat = tensor.contiguous();
    const auto bytes = static_cast<size_t>(flat.numel()) * size_of(flat.dtype());
    const std::string key =
        add_storage(bytes > 0 ? std::string(static_cast<const char*>(flat.raw()), bytes) : std::string());
    std::vector<int64_t> shape(flat.shape().begin(), flat.shape().end()), strides(shape.size(), 1);
    for (size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * std::max<int64_t>(shape[d], 1);
    return p_tensor(p_storage(storage_type(flat.dtype()), key, flat.numel()), 0, shape, strides);
}

std::vector<ZipPart> TorchWriter::parts(const std::string& pickle) const {
    std::vector<ZipPart> all{{"model/data.pkl", pickle}, {"model/byteorder", "little"}};
    for (size_t i = 0; i < storages_.size(); ++i)
        all.push_back({"model/data/" + std::to_string(i), storages_[i]});
    all.push_back({"model/version", "3\n"});
    return all;
}

std::string TorchWriter::file(const std::string& body, const ZipForm& form) const {
    return zip_of(parts(pickle_of(body)), form);
}

std::string torch_file(const std::vector<std::pair<std::string, Tensor>>& tensors) {
    TorchWriter writer;
    std::vector<std::pair<std::string, std::string>> items;
    for (const auto& [name, tensor] : tensors) items.emplace_back(name, writer.add(tensor));
    return writer.file(p_dict(items));
}

}  // namespace demi::test
