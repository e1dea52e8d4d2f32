// Tensors, shapes and views: every view against the list of places that it should show.
#include "runtime/tensor.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "runtime/copy.h"
#include "tests/runtime/naive.h"
#include "tests/support/check_error.h"
#include "tests/support/env.h"

using namespace demi;
using namespace demi::test;

namespace {

int rounds() { return quick() ? 300 : 3000; }

// Where element `index` of a view of `shape` lies in logical order.
int64_t flat(const std::vector<int64_t>& index, const Shape& shape) {
    int64_t at = 0;
    for (int i = 0; i < shape.rank(); ++i) at = at * shape[i] + index[static_cast<size_t>(i)];
    return at;
}

// Calls fn(index) for every element of `shape` in logical order.
template <class F> void for_each_index(const Shape& shape, F fn) {
    if (shape.numel() == 0) return;
    std::vector<int64_t> index(static_cast<size_t>(shape.rank()), 0);
    for (int64_t left = shape.numel(); left > 0; --left) {
        fn(index);
        for (int dim = shape.rank() - 1; dim >= 0 && ++index[static_cast<size_t>(dim)] == shape[dim]; --dim)
            index[static_cast<size_t>(dim)] = 0;
    }
}

Shape random_split(Random& random, int64_t numel, int rank) {
    Shape shape;
    for (int i = 0; i < rank; ++i) {
        std::vector<int64_t> divisors;
        for (int64_t d = 1; d <= numel; ++d)
            if (numel % d == 0) divisors.push_back(d);
        const int64_t size =
            i + 1 == rank ? numel : divisors[static_cast<size_t>(below(random, int64_t(divisors.size())))];
        shape.push_back(size);
        numel /= size;
    }
    return shape;
}

}  // namespace

TEST_CASE("making tensors: values, types, errors") {
    const Tensor t = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
    CHECK(t.strides() == Shape{3, 1});
    CHECK(t.size(-1) == 3);
    CHECK(describe(t) == "f32 (2, 3) on cpu");
    CHECK(t.to_vector<int64_t>() == std::vector<int64_t>{1, 2, 3, 4, 5, 6});
    CHECK(Tensor::full({2}, 1.5, DType::f16).to_vector<float>() == std::vector<float>{1.5f, 1.5f});
    CHECK(Tensor::arange(3, DType::u8).to_vector<float>() == std::vector<float>{0, 1, 2});
    CHECK(Tensor::full({}, 3, DType::i64).item() == 3);
    CHECK(Tensor::ones({2}, DType::bf16).to_vector<float>() == std::vector<float>{1, 1});
    const std::vector<bool> bits{true, false, true};
    CHECK(Tensor::from(bits, {3}).dtype() == DType::boolean);
    CHECK(Tensor::from(bits, {1, 3}).to_vector<bool>() == bits);
    CHECK(t.to_vector<bool>() == std::vector<bool>(6, true));
    CHECK(has(error_of([&] { Tensor::from(bits, {2}); }), "[from] shape (2,) needs 2 values: got 3"));
    CHECK(Tensor::zeros({3, 0}).to_vector<float>().empty());
    CHECK(has(error_of([] { Tensor::empty({2, -1}); }), "sizes must not be negative: got (2, -1)"));
    CHECK(has(error_of([] { Tensor::empty({INT64_MAX / 2, 1}, DType::f64); }), "does not fit 64 bits"));
    CHECK(has(error_of([] { Tensor::from(std::vector<float>{1}, {2}); }), "needs 2 values: got 1"));
    CHECK(has(error_of([&] { (void)t.data<double>(); }), "memory read as f64 but the tensor is f32"));
    CHECK(has(error_of([&] { (void)t.item(); }), "needs a tensor with one element: got f32 (2, 3) on cpu"));
    const Tensor none;
    CHECK(describe(none) == "an undefined tensor");
    for (const auto& use : std::vector<std::function<void()>>{
             [&] { (void)none.device(); }, [&] { (void)none.raw(); }, [&] { (void)none.item(); },
             [&] { (void)none.to(DType::f64); }, [&] { (void)none.clone(); },
             [&] { (void)none.as_strided({}, {}, 0); }, [&] { (void)none.transpose(0, 1); },
             [&] { (void)none.to(Device::cpu()); }, [&] { fill(none, 1); }, [&] { copy(none, t); },
             [&] { copy(t, none); }, [&] { accumulate(none, none); }})
        CHECK(error_of(use) != "");
}

TEST_CASE("views share memory and versions; clones do not") {
    Tensor t = Tensor::zeros({2, 3});
    const Tensor row = t.select(0, 1), flat_view = t.view({-1});
    const uint64_t before = t.version();
    fill(row, 5);
    CHECK(t.version() == before + 1);
    CHECK(row.version() == t.version());
    CHECK(flat_view.to_vector<float>() == std::vector<float>{0, 0, 0, 5, 5, 5});
    CHECK(t.version() == before + 1);  // reading is not a write
    const Tensor copy_of = t.clone();
    CHECK(copy_of.buffer() != t.buffer());
    fill(t, 1);
    CHECK(copy_of.to_vector<float>()[3] == 5);
    CHECK(t.contiguous().buffer() == t.buffer());
    CHECK(t.to(DType::f32).buffer() == t.buffer());
    CHECK(t.transpose(0, 1).contiguous().buffer() != t.buffer());
    CHECK(Tensor::zeros({1}).buffer()->id() != Tensor::zeros({1}).buffer()->id());
}

TEST_CASE("property: transpose, permute, slice, select, expand, unsqueeze, squeeze show the right places") {
    Random random(1);
    for (int round = 0; round < rounds(); ++round) {
        const Tensor t = random_view(random, random_shape(random), DType::i32, false);
        const std::vector<int64_t> base = places(t);
        const int rank = t.rank();
        const auto expect = [&](const Tensor& view, auto source_of) {
            std::vector<int64_t> want;
            for_each_index(view.shape(), [&](const std::vector<int64_t>& index) {
                want.push_back(base[static_cast<size_t>(flat(source_of(index), t.shape()))]);
            });
            CHECK(view.numel() == static_cast<int64_t>(want.size()));
            CHECK(places(view) == want);
        };
        if (rank > 0) {
            const int a = static_cast<int>(below(random, rank)), b = static_cast<int>(below(random, rank));
            expect(t.transpose(a, b - rank), [&](std::vector<int64_t> i) {
                std::swap(i[static_cast<size_t>(a)], i[static_cast<size_t>(b)]);
                return i;
            });
            const int64_t size = t.size(a), begin = below(random, size + 1),
                          end = begin + below(random, size - begin + 1);
            const int64_t step = random() % 7 == 0 ? INT64_MAX : 1 + below(random, 3);
            expect(t.slice(a, begin, end, step), [&](std::vector<int64_t> i) {
                i[static_cast<size_t>(a)] = begin + i[static_cast<size_t>(a)] * step;
                return i;
            });
            if (size > 0) {
                const int64_t at = below(random, size);
                expect(t.select(a, at), [&](std::vector<int64_t> i) {
                    i.insert(i.begin() + a, at);
                    return i;
                });
            }
            std::vector<int> dims(static_cast<size_t>(rank));
            std::iota(dims.begin(), dims.end(), 0);
            std::shuffle(dims.begin(), dims.end(), random);
            expect(t.permute(dims), [&](const std::vector<int64_t>& i) {
                std::vector<int64_t> from(i.size());
                for (size_t k = 0; k < i.size(); ++k) from[static_cast<size_t>(dims[k])] = i[k];
                return from;
            });
        }
        const int where = static_cast<int>(below(random, rank + 1));
        const Tensor wider = t.unsqueeze(where);
        CHECK(wider.size(where) == 1);
        CHECK(places(wider) == base);
        CHECK(wider.squeeze(where).shape() == t.shape());
        CHECK(places(wider.squeeze(where)) == base);
        Shape stretched = wider.shape();
        stretched[where] = 3;
        stretched.insert(0, 2);
        expect(wider.expand(stretched), [&](std::vector<int64_t> i) {
            i.erase(i.begin());
            i.erase(i.begin() + where);
            return i;
        });
    }
}

TEST_CASE("property: view never lies, reshape always works, and a view is found wherever one exists") {
    Random random(2);
    int viewed = 0, copied = 0;
    for (int round = 0; round < rounds(); ++round) {
        const Tensor t = random_view(random, random_shape(random), DType::i32, false);
        const Shape target =
            t.numel() == 0 ? Shape{0, 3} : random_split(random, t.numel(), 1 + int(below(random, 5)));
        const std::vector<int64_t> base = places(t);
        // Strides that would show `target`, read off the places themselves: the first step of each dimension.
        Shape strides = target;
        int64_t run = 1;
        for (int i = target.rank() - 1; i >= 0; --i) {
            strides[i] = target[i] > 1 && !base.empty() ? base[static_cast<size_t>(run)] - base[0] : 0;
            run *= target[i];
        }
        bool possible = true;
        if (t.numel() > 0) {
            size_t k = 0;
            for_each_index(target, [&](const std::vector<int64_t>& index) {
                int64_t at = base[0];
                for (int i = 0; i < target.rank(); ++i) at += index[static_cast<size_t>(i)] * strides[i];
                possible = possible && at == base[k++];
            });
        }
        bool works = true;
        try {
            const Tensor view = t.view(target);
            CHECK(view.buffer() == t.buffer());
            CHECK(view.shape() == target);
            CHECK(places(view) == base);
        } catch (const Error& error) {
            works = false;
            CHECK(has(error.what(), "use reshape"));
        }
        CHECK(works == possible);
        ++(works ? viewed : copied);
        Shape asked = target;
        if (t.numel() > 0 && random() % 2 == 0) asked[int(below(random, target.rank()))] = -1;
        const Tensor shaped = t.reshape(asked);
        CHECK((shaped.buffer() == t.buffer()) == possible);
        CHECK(shaped.shape() == target);
        if (possible) CHECK(places(shaped) == base);
        Tensor source = t.clone();
        int32_t next = 0;
        for (int64_t i = 0; i < source.numel(); ++i) source.mutable_data<int32_t>()[i] = next++;
        CHECK(source.reshape(target).to_vector<int32_t>() == source.to_vector<int32_t>());
        CHECK(t.reshape(target).shape() == target);
        bool contiguous = true;
        for (size_t i = 1; i < base.size(); ++i) contiguous = contiguous && base[i] == base[i - 1] + 1;
        CHECK(t.is_contiguous() == contiguous);
        CHECK(t.contiguous().is_contiguous());
    }
    CHECK(viewed > rounds() / 10);
    CHECK(copied > rounds() / 10);
}

TEST_CASE("view: -1, wrong counts") {
    const Tensor t = Tensor::zeros({4, 6});
    CHECK(t.view({-1, 3}).shape() == Shape{8, 3});
    CHECK(t.view({2, -1, 1}).shape() == Shape{2, 12, 1});
    CHECK(Tensor::zeros({0, 3}).view({-1, 3}).shape() == Shape{0, 3});
    CHECK(Tensor::zeros({}).view({1, 1}).shape() == Shape{1, 1});
    CHECK(has(error_of([&] { t.view({-1, -1}); }), "only one size may be -1: got (-1, -1)"));
    CHECK(has(error_of([&] { t.view({5, 5}); }), "number of elements must stay 24: (4, 6) to (5, 5)"));
    CHECK(has(error_of([&] { t.view({-1, 5}); }), "cannot infer -1: (4, 6) does not divide into (-1, 5)"));
    CHECK(has(error_of([&] { t.view({-2, 12}); }), "sizes must not be negative"));
    CHECK(has(error_of([] { Tensor::zeros({0, 3}).view({-1, 0}); }), "cannot infer -1"));
    CHECK(has(error_of([&] { t.view({INT64_MAX, INT64_MAX}); }), "does not fit 64 bits"));
}

TEST_CASE("views refuse what the shape does not allow, naming it") {
    const Tensor t = Tensor::zeros({4, 6});
    const auto refused = [](const std::string& part, auto fn) {
        const std::string message = error_of(fn);
        CHECK_MESSAGE(has(message, part), message);
    };
    refused("[transpose] dimension must be in [-2, 2): got 2", [&] { t.transpose(0, 2); });
    refused("[permute] needs 2 dimensions for (4, 6): got 1", [&] { t.permute({0}); });
    refused("[permute] dimension 0 is named twice", [&] { t.permute({0, -2}); });
    refused("[slice] range must lie in [0, 6] of dimension 1 of (4, 6): got [2, 7)",
            [&] { t.slice(1, 2, 7); });
    refused("[slice] range", [&] { t.slice(1, 3, 2); });
    refused("[slice] range must lie in [0, 6] of dimension 1 of (4, 6): got [-1, 2)",
            [&] { t.slice(1, -1, 2); });
    refused("[slice] range", [&] { t.slice(1, -7, 2); });
    refused("[slice] range", [&] { t.slice(1, kToEnd); });
    refused("[slice] step must be at least 1: got 0", [&] { t.slice(1, 0, 2, 0); });
    refused("[select] index must be in [-4, 4) of dimension 0 of (4, 6): got 4", [&] { t.select(0, 4); });
    refused("[select] index", [&] { t.select(0, -5); });
    refused("[expand] cannot expand (4, 6) to (4, 7)", [&] { t.expand({4, 7}); });
    refused("[expand] cannot expand", [&] { t.expand({6}); });
    refused("[expand] cannot expand (4, 6) to (-1, 4, 6)", [&] { t.expand({-1, 4, 6}); });
    refused("[expand] cannot expand (4, 6) to (-2, 6)", [&] { t.expand({-2, 6}); });
    refused("[expand] size does not fit 64 bits", [&] { Tensor::zeros({1, 1}).expand({INT64_MAX, 2}); });
    refused("[unsqueeze] dimension must be in [-3, 3): got 3", [&] { t.unsqueeze(3); });
    refused("[squeeze] dimension 0 must have size 1: got (4, 6)", [&] { t.squeeze(0); });
    refused("[bitcast] element sizes differ: f32 to f16", [&] { t.bitcast(DType::f16); });
    refused("[bitcast] bool holds 0 and 1 only",
            [&] { Tensor::zeros({1}, DType::u8).bitcast(DType::boolean); });
    CHECK(t.bitcast(DType::i32).buffer() == t.buffer());
    CHECK(Tensor::zeros({0, 3}).slice(1, 1, 2).to_vector<float>().empty());
}

TEST_CASE("as_strided: every view that leaves the buffer is refused, every other is given") {
    const Tensor t = Tensor::zeros({3, 4}).slice(0, 1, 3);  // the buffer holds 12 elements, the view 8
    Random random(3);
    int given = 0;
    for (int round = 0; round < rounds(); ++round) {
        Shape shape, strides;
        for (int64_t rank = below(random, 4); rank > 0; --rank) {
            shape.push_back(below(random, 5));
            strides.push_back(below(random, 5));
        }
        const int64_t offset = below(random, 14);
        int64_t last = offset;
        for (int i = 0; i < shape.rank(); ++i) last += (shape[i] - 1) * strides[i];
        const bool inside = shape.numel() == 0 ? offset <= 12 : last < 12;
        const std::string message = error_of([&] { places(t.as_strided(shape, strides, offset)); });
        CHECK_MESSAGE((message == "") == inside, message);
        given += inside;
    }
    CHECK(given > rounds() / 10);
    const auto refused = [&](const Shape& shape, const Shape& strides, int64_t offset) {
        return has(error_of([&] { t.as_strided(shape, strides, offset); }), "as_strided");
    };
    CHECK(refused({2}, {-1}, 5));
    CHECK(refused({-1}, {1}, 0));
    CHECK(refused({2}, {1, 1}, 0));
    CHECK(refused({2}, {1}, -1));
    CHECK(refused({2, 2}, {INT64_MAX, INT64_MAX}, 0));
    CHECK(refused({0}, {1}, INT64_MAX));
    CHECK(refused({INT64_MAX, 1}, {INT64_MAX, 1}, 0));
}
