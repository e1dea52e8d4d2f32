#include "runtime/dtype.h"

#include <algorithm>

namespace demi {

std::string_view name(DType dtype) {
    switch (dtype) {
    case DType::f16: return "f16";
    case DType::bf16: return "bf16";
    case DType::f32: return "f32";
    case DType::f64: return "f64";
    case DType::i32: return "i32";
    case DType::i64: return "i64";
    case DType::u8: return "u8";
    case DType::boolean: return "bool";
    }
    return "?";
}

std::ostream& operator<<(std::ostream& out, DType dtype) { return out << name(dtype); }

DType promote(DType a, DType b) {
    if (a == b) return a;
    if (is_float(a) != is_float(b)) return is_float(a) ? a : b;
    if (is_float(a)) {
        if (is_half(a) && is_half(b)) return DType::f32;
        return size_of(a) > size_of(b) ? a : b;
    }
    if (a == DType::boolean) return b;
    if (b == DType::boolean) return a;
    return size_of(a) > size_of(b) ? a : b;
}

}  // namespace demi
