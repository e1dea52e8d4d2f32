#include "ops/rows/row_io.h"
#include "runtime/convert.h"

namespace demi {
namespace {

template <class C, class T> void load_row(C* dst, const void* base, int64_t at, int64_t step, int64_t count) {
    const T* src = static_cast<const T*>(base) + at;
    if constexpr (requires { convert(dst, src, count); })
        if (step == 1) return convert(dst, src, count);
    for (int64_t i = 0; i < count; ++i) dst[i] = static_cast<C>(src[i * step]);
}

template <class C, class T>
void store_row(void* base, int64_t at, int64_t step, const C* src, int64_t count) {
    T* dst = static_cast<T*>(base) + at;
    if constexpr (requires { convert(dst, src, count); })
        if (step == 1) return convert(dst, src, count);
    for (int64_t i = 0; i < count; ++i) dst[i * step] = static_cast<T>(src[i]);
}

template <class T> constexpr bool kInteger = std::is_integral_v<T>;

}  // namespace

template <> LoadRow<int64_t> row_loader(DType from) {
    return dispatch_all(from, "row", [&]<class T>() -> LoadRow<int64_t> {
        if constexpr (kInteger<T>) return load_row<int64_t, T>;
        fail("row", "only integers are computed in i64: got ", from);
    });
}
template <class C> LoadRow<C> row_loader(DType from) {
    return dispatch_all(from, "row", []<class T>() -> LoadRow<C> { return load_row<C, T>; });
}
template LoadRow<float> row_loader(DType);
template LoadRow<double> row_loader(DType);

template <> StoreRow<int64_t> row_storer(DType to) {
    return dispatch_all(to, "row", [&]<class T>() -> StoreRow<int64_t> {
        if constexpr (kInteger<T>) return store_row<int64_t, T>;
        fail("row", "i64 converts to floats by copy(): got ", to);
    });
}
template <> StoreRow<float> row_storer(DType to) {
    if (to == DType::boolean) return store_row<float, bool>;
    check(to != DType::f64, "row", "f64 is computed in f64");
    return dispatch_float(to, "row", []<class T>() -> StoreRow<float> { return store_row<float, T>; });
}
template <> StoreRow<double> row_storer(DType to) {
    if (to == DType::boolean) return store_row<double, bool>;
    check(to == DType::f64, "row", "f64 rounds to other types by copy(): got ", to);
    return store_row<double, double>;
}

}  // namespace demi
