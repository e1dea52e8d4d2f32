// Tensors and shapes.
#include <sstream>

#include "ops/views/dims.h"
#include "runtime/copy.h"
#include "tests/misuse/walk.h"

namespace demi::test {
namespace {

void view_and_copy_walks(Walks& walks) {
    walks.add(
        "Tensor::empty", [](Shape s, DType t, Device d) { return Tensor::empty(s, t, d); }, Shape{2, 3},
        DType::f32, Device());
    walks.add(
        "Tensor::zeros", [](Shape s, DType t, Device d) { return Tensor::zeros(s, t, d); }, Shape{2, 3},
        DType::f32, Device());
    walks.add(
        "Tensor::ones", [](Shape s, DType t, Device d) { return Tensor::ones(s, t, d); }, Shape{2, 3},
        DType::f32, Device());
    walks.add(
        "Tensor::full", [](Shape s, double v, DType t, Device d) { return Tensor::full(s, v, t, d); },
        Shape{2, 3}, 1.0, DType::f32, Device());
    walks.add(
        "Tensor::arange", [](int64_t n, DType t, Device d) { return Tensor::arange(n, t, d); }, 5, DType::i64,
        Device());
    walks.add(
        "Tensor::like", [](Tensor t) { return Tensor::like(t); }, tensor({2, 3}));
    walks.add(
        "Tensor::from", [](Ints v, Shape s, Device d) { return Tensor::from(v, s, d); }, Ints{1, 2}, Shape{2},
        Device());
    walks.add(
        "Tensor::defined Tensor::dtype Tensor::device Tensor::shape Tensor::strides Tensor::rank "
        "Tensor::numel "
        "Tensor::offset Tensor::is_contiguous Tensor::buffer Tensor::version Tensor::Tensor",
        [](Tensor t) {
            (void)(t.defined(), t.dtype(), t.shape(), t.strides(), t.rank(), t.numel(), t.offset());
            (void)(t.is_contiguous(), t.buffer(), t.version());
            (void)t.device();
        },
        tensor({2, 3}));
    walks.add(
        "Tensor::size", [](Tensor t, int d) { return t.size(d); }, tensor({2, 3}), 0);
    walks.add(
        "Tensor::data", [](Tensor t) { (void)t.data<float>(); }, tensor({2}));
    walks.add(
        "Tensor::mutable_data", [](Tensor t) { (void)t.mutable_data<int64_t>(); }, indices({2}));
    walks.add(
        "Tensor::raw Tensor::mutable_raw", [](Tensor t) { (void)(t.raw(), t.mutable_raw()); }, tensor({2}));
    walks.add(
        "Tensor::view", [](Tensor t, Shape s) { return t.view(s); }, tensor({2, 3}), Shape{6});
    walks.add(
        "Tensor::reshape", [](Tensor t, Shape s) { return t.reshape(s); }, tensor({2, 3}), Shape{6});
    walks.add(
        "Tensor::expand", [](Tensor t, Shape s) { return t.expand(s).shape().rank(); }, tensor({1, 3}),
        Shape{2, 3});
    walks.add(
        "Tensor::transpose", [](Tensor t, int a, int b) { return t.transpose(a, b); }, tensor({2, 3}), 0, 1);
    walks.add(
        "Tensor::permute", [](Tensor t, Dims d) { return t.permute(d); }, tensor({2, 3}), Dims{1, 0});
    walks.add(
        "Tensor::slice", [](Tensor t, int d, int64_t a, int64_t b, int64_t s) { return t.slice(d, a, b, s); },
        tensor({2, 3}), 1, 0, 3, 2);
    walks.add(
        "Tensor::select", [](Tensor t, int d, int64_t i) { return t.select(d, i); }, tensor({2, 3}), 1, 2);
    walks.add(
        "Tensor::unsqueeze", [](Tensor t, int d) { return t.unsqueeze(d); }, tensor({2, 3}), 1);
    walks.add(
        "Tensor::squeeze", [](Tensor t, int d) { return t.squeeze(d); }, tensor({2, 1}), 1);
    walks.add(
        "Tensor::as_strided",
        [](Tensor t, Shape s, Shape strides, int64_t o) { return t.as_strided(s, strides, o); },
        tensor({2, 3}), Shape{2}, Shape{2}, 1);
    walks.add(
        "Tensor::bitcast", [](Tensor t, DType d) { return t.bitcast(d); }, tensor({2}), DType::i32);
    walks.add(
        "Tensor::bytes_as", [](Tensor t, DType d, Shape s) { return t.bytes_as(d, s); },
        tensor({8}, DType::u8), DType::i32, Shape{2});
    walks.add(
        "Tensor::contiguous Tensor::clone Tensor::to_vector",
        [](Tensor t) {
            use(t.contiguous());
            use(t.clone());
            (void)t.to_vector<int64_t>();
        },
        tensor({2, 3}));
    walks.add(
        "Tensor::to", [](Tensor t, DType d, Device v) { use(t.to(d)), use(t.to(v)); }, tensor({2, 3}),
        DType::f16, Device());
    walks.add(
        "Tensor::item", [](Tensor t) { return t.item(); }, tensor({1}));
    walks.add(
        "describe operator<<", [](Tensor t) { return describe(t) + printed(t); }, tensor({2, 3}));
    walks.add(
        "copy", [](Tensor a, Tensor b) { copy(a, b); }, tensor({2, 3}), tensor({2, 3}));
    walks.add(
        "fill", [](Tensor a, double v) { fill(a, v); }, tensor({2, 3}), 1.0);
    walks.add(
        "accumulate", [](Tensor a, Tensor b) { accumulate(a, b); }, tensor({2, 3}), tensor({2, 3}));
    walks.add(
        "all_finite", [](Tensor a) { return all_finite(a); }, tensor({2, 3}));
}

void shape_walks(Walks& walks) {
    walks.add(
        "Shape::Shape", [](Ints v) { return Shape(std::span<const int64_t>(v)); }, Ints{2, 3});
    walks.add(
        "Shape::rank Shape::begin Shape::end Shape::operator==",
        [](Shape a, Shape b) { return a.end() - a.begin() + a.rank() + (a == b); }, Shape{2}, Shape{3});
    walks.add(
        "Shape::back", [](Shape s) { return s.back(); }, Shape{2, 3});
    walks.add(
        "Shape::numel", [](Shape s) { return s.numel(); }, Shape{2, 3});
    walks.add(
        "Shape::push_back", [](Shape s, int64_t n) { s.push_back(n); }, Shape{2, 3}, 4);
    walks.add(
        "Shape::insert", [](Shape s, int d, int64_t n) { s.insert(d, n); }, Shape{2, 3}, 1, 4);
    walks.add(
        "Shape::erase", [](Shape s, int d) { s.erase(d); }, Shape{2, 3}, 1);
    walks.add(
        "operator<<", [](Shape s) { return printed(s); }, Shape{2, 3});
    walks.add(
        "contiguous_strides", [](Shape s) { return contiguous_strides(s); }, Shape{2, 3});
    walks.add(
        "broadcast", [](Shape a, Shape b) { return broadcast(a, b, "walk"); }, Shape{2, 3}, Shape{3});
    walks.add(
        "normalize_range",
        [](int64_t begin, int64_t end, int dim, Shape s) {
            return normalize_range(begin, end, dim, s, "walk");
        },
        0, 2, 0, Shape{2, 3});
    walks.add(
        "normalize_dim", [](int d, int rank) { return normalize_dim(d, rank, "walk"); }, -1, 2);
}

}  // namespace

void tensor_walks(Walks& walks) {
    view_and_copy_walks(walks);
    shape_walks(walks);
}

}  // namespace demi::test
