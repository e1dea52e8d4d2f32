#pragma once
// Arguments that are wrong in every way, and what must come of them: an Error, and never anything worse.
#include <doctest/doctest.h>

#include <cmath>

#include "models/models.h"
#include "tests/support/check_error.h"
#include "tests/support/tiny_vit.h"

namespace demi::test {

inline constexpr int64_t kHuge = INT64_MAX;
inline constexpr double kNaN = NAN, kInf = INFINITY;

inline std::vector<Tensor> samples() {
    std::vector<Tensor> all{Tensor()};
    for (DType dtype :
         {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i64, DType::i32, DType::u8, DType::boolean})
        for (const Shape& shape :
             {Shape{}, Shape{0}, Shape{8}, Shape{0, 8}, Shape{2, 8}, Shape{5, 8}, Shape{8, 1}, Shape{2, 3, 8},
              Shape{0, 3, 8}, Shape{2, 3, 0}, Shape{2, 3, 7}, Shape{2, 3, 8, 8}, Shape{0, 3, 8, 8},
              Shape{2, 3, 0, 0}, Shape{2, 1, 3, 8, 8}})
            all.push_back(Tensor::full(shape, 1, dtype));
    constexpr int64_t kMany = int64_t{1} << 56;  // of no memory: copies of it fit no machine
    for (const Shape& shape : {Shape{kMany}, Shape{kMany, 8}, Shape{2, kMany}, Shape{kMany, 1, 8},
                               Shape{1, kMany, 8}, Shape{kMany / 64, 3, 8, 8}})
        all.push_back(Tensor::zeros({}).expand(shape));
    return all;
}

// The Error's text, "" for a result. Other exceptions are what this file looks for.
template <class F> std::string outcome(const std::string& what, F fn) {
    try {
        return error_of(fn);
    } catch (const std::exception& e) {
        FAIL_CHECK(what << ": " << e.what());
        return "another exception";
    }
}

// fn with every sample; an undefined tensor has to be refused.
template <class F> void walk(const std::string& what, F fn) {
    for (const Tensor& t : samples()) {
        const std::string error = outcome(what + " of " + describe(t), [&] { fn(t); });
        CHECK_MESSAGE((t.defined() || error != ""), what);
    }
}

template <class F> void walk_pairs(const std::string& what, F fn) {
    for (const Tensor& a : samples())
        for (const Tensor& b : samples()) {
            const std::string error =
                outcome(what + " of " + describe(a) + " and " + describe(b), [&] { fn(a, b); });
            CHECK_MESSAGE(((a.defined() && b.defined()) || error != ""), what);
        }
}

inline ViTConfig tiny() {
    ViTConfig c = tiny_vit(8, 8, 1);
    c.drop_path_rate = 0.3;
    c.drop_path_uniform = true;
    return c;
}

inline DinoHeadConfig head_config() { return {8, 8, 4, 4, 2}; }

template <class F> void refuse(const std::string& what, F fn) {
    CHECK_MESSAGE(outcome(what, fn) != "", what);
}

}  // namespace demi::test
