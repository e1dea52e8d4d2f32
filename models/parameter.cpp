#include "models/parameter.h"

#include "runtime/copy.h"

namespace demi {

void check_made(bool made, std::string_view layer) {
    check(made, layer, "holds no parameters: it was made by the default constructor");
}

int64_t checked_size(std::string_view op, std::string_view name, int64_t size, int64_t most) {
    check(size >= 1 && size <= most, op, name, " must lie in [1, ", most, "]: got ", size);
    return size;
}

int64_t parameter_count(const NamedParameters& parameters) {
    int64_t count = 0;
    for (const auto& [name, parameter] : parameters) count += parameter.numel();
    return count;
}

void zero_grad(const NamedParameters& parameters) {
    for (auto [name, parameter] : parameters) parameter.zero_grad();
}

void copy_parameters(const NamedParameters& dst, const NamedParameters& src) {
    check(dst.size() == src.size(), "copy_parameters", "needs the same number of parameters: ", dst.size(),
          " and ", src.size());
    for (size_t i = 0; i < dst.size(); ++i) {
        check(dst[i].first == src[i].first && dst[i].second.shape() == src[i].second.shape(),
              "copy_parameters", "parameters differ: ", dst[i].first, " ", dst[i].second.shape(), " and ",
              src[i].first, " ", src[i].second.shape());
        copy(dst[i].second.value(), src[i].second.value());
    }
}

Variable constant_parameter(const Shape& shape, double value) {
    return Variable(Tensor::full(shape, value), true);
}

static thread_local int skipping = 0;

SkipInit::SkipInit() { ++skipping; }
SkipInit::~SkipInit() { --skipping; }

Variable normal_parameter(const Shape& shape, Generator& generator, double std) {
    Tensor value = Tensor::empty(shape);
    if (skipping == 0) normal(value, generator, 0, std);
    return Variable(value, true);
}

Variable trunc_normal_parameter(const Shape& shape, Generator& generator, double std) {
    Tensor value = Tensor::empty(shape);
    if (skipping == 0) trunc_normal(value, generator, 0, std, -2, 2);
    return Variable(value, true);
}

Variable uniform_parameter(const Shape& shape, Generator& generator, double bound) {
    Tensor value = Tensor::empty(shape);
    if (skipping == 0) uniform(value, generator, -bound, bound);
    return Variable(value, true);
}

}  // namespace demi
