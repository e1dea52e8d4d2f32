#include "runtime/checkpoint/torch_tensor.h"

#include "runtime/utf8.h"

namespace demi {
namespace {

using Kind = PickleValue::Kind;
constexpr int64_t kMaxElements = int64_t{1} << 40;

constexpr TorchDType kDTypes[] = {
    {"FloatStorage", "F32", 4, true, DType::f32},
    {"HalfStorage", "F16", 2, true, DType::f16},
    {"BFloat16Storage", "BF16", 2, true, DType::bf16},
    {"DoubleStorage", "F64", 8, true, DType::f64},
    {"LongStorage", "I64", 8, true, DType::i64},
    {"IntStorage", "I32", 4, true, DType::i32},
    {"ByteStorage", "U8", 1, true, DType::u8},
    {"BoolStorage", "BOOL", 1, true, DType::boolean},
    {"ShortStorage", "I16", 2, false, DType::u8},
    {"CharStorage", "I8", 1, false, DType::u8},
    {"ComplexFloatStorage", "C64", 8, false, DType::u8},
    {"ComplexDoubleStorage", "C128", 16, false, DType::u8},
    {"QInt8Storage", "QINT8", 1, false, DType::u8},
    {"QUInt8Storage", "QUINT8", 1, false, DType::u8},
    {"QInt32Storage", "QINT32", 4, false, DType::u8},
};

struct Reader {
    const Pickle& pickle;
    const std::string& name;
    const std::string& path;

    template <class... Parts> [[noreturn]] void refuse(const Parts&... parts) const {
        fail("checkpoint", "'", path, "': tensor '", name, "': ", parts...);
    }
    int64_t integer(uint32_t id, const char* what, int64_t most = kMaxElements) const {
        const PickleValue& value = pickle[id];
        if (!value.is(Kind::integer) || value.number < 0 || value.number > most)
            refuse(what, " must be a whole number in [0, ", most, "]",
                   value.is(Kind::integer) ? ": got " + std::to_string(value.number) : "");
        return value.number;
    }
    Shape sizes(uint32_t id, const char* what) const {
        const PickleValue& value = pickle[id];
        if (!value.is(Kind::tuple) && !value.is(Kind::list)) refuse(what, " is no tuple");
        if (value.items.size() > Shape::kMaxRank)
            refuse("has rank ", value.items.size(), ", at most ", Shape::kMaxRank, " is supported");
        Shape found;
        for (uint32_t item : value.items) found.push_back(integer(item, what));
        return found;
    }
    void read_storage(const PickleValue& storage, TorchTensor& t) const {
        if (!storage.is(Kind::storage) || storage.items.size() < 5 ||
            !pickle[storage.items[1]].is(Kind::global) || !pickle[storage.items[2]].is(Kind::text))
            refuse("its storage is not one of torch.save's");
        std::string_view type = pickle[storage.items[1]].text;
        for (const char* lead : {"torch.cuda.", "torch."})
            if (type.starts_with(lead)) type.remove_prefix(std::string_view(lead).size());
        for (const TorchDType& dtype : kDTypes)
            if (dtype.storage == type) t.dtype = &dtype;
        if (t.dtype == nullptr) refuse("its storage is a ", type, ", which demi does not read");
        t.key = pickle[storage.items[2]].text;
        if (!is_printable(t.key) || t.key.size() > 1000) refuse("the name of its storage is not plain text");
        t.storage_numel = integer(storage.items[4], "the size of its storage");
    }
};

}  // namespace

bool TorchTensor::contiguous() const {
    int64_t expected = 1;
    for (int d = shape.rank() - 1; d >= 0; --d) {
        if (shape[d] != 1 && strides[d] != expected) return false;
        expected *= shape[d];
    }
    return true;
}

int64_t TorchTensor::span() const {
    int64_t last = 0;
    for (int d = 0; d < shape.rank(); ++d) {
        if (shape[d] == 0) return 0;
        last += (shape[d] - 1) * strides[d];
    }
    return last + 1;
}

TorchTensor read_torch_tensor(const Pickle& pickle, uint32_t id, const std::string& name,
                              const std::string& path) {
    const Reader reader{pickle, name, path};
    const std::vector<uint32_t>& items = pickle[id].items;
    if (items.size() < 4) reader.refuse("it has ", items.size(), " parts, 4 are needed");
    TorchTensor t;
    reader.read_storage(pickle[items[0]], t);
    t.offset = reader.integer(items[1], "its offset");
    t.shape = reader.sizes(items[2], "a size");
    t.strides = reader.sizes(items[3], "a stride");
    if (t.shape.rank() != t.strides.rank())
        reader.refuse("has ", t.shape.rank(), " sizes and ", t.strides.rank(), " strides");
    int64_t numel = 1, last = t.offset;
    for (int d = 0; d < t.shape.rank(); ++d) {
        int64_t step = 0;
        if (__builtin_mul_overflow(numel, t.shape[d], &numel)) reader.refuse("shape ", t.shape, " overflows");
        if (t.shape[d] > 0 && (__builtin_mul_overflow(t.shape[d] - 1, t.strides[d], &step) ||
                               __builtin_add_overflow(last, step, &last)))
            reader.refuse("strides ", t.strides, " overflow");
    }
    if (numel == 0 ? t.offset > t.storage_numel : last >= t.storage_numel)
        reader.refuse("shape ", t.shape, " with strides ", t.strides, " from ", t.offset, " on needs ",
                      last + 1, " elements: its storage has ", t.storage_numel);
    if (numel > t.storage_numel)
        reader.refuse("shape ", t.shape, " with strides ", t.strides,
                      " shows elements twice: its storage has ", t.storage_numel, " for ", numel);
    return t;
}

}  // namespace demi
