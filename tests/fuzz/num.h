#pragma once
// Num: a double that remembers how it was made, and how far the library's arithmetic may be off.
//
// The references of the fuzzer are naive forward formulas on Nums, nothing else. Each operation notes its partial
// derivatives on a tape; going back over the tape gives the gradient, by another way than the library's, whose backward
// is written by hand for whole tensors. `e` is a first-order bound of the rounding error, counted in half units in the
// last place of 1 (2^-24 where the library computes in f32, 2^-53 in f64): a formula that cancels brings a larger e by
// itself, so nothing has to be tuned by op.
#include <cmath>
#include <initializer_list>
#include <vector>

#include "runtime/dtype.h"

namespace demi::fuzz {

struct Num {
    double v = 0, e = 0;
    int id = -1;  // on the tape; -1: depends on nothing that has a gradient
};

// An operand, the partial derivative by it, and that one's error.
struct Edge {
    int id = -1;
    double w = 0, ew = 0;
};

class Tape {
  public:
    // What a gradient is after sweep(): its value, its error like Num::e, and the sum of |contributions|.
    struct Adjoint {
        double v = 0, e = 0, size = 0;
        int parts = 0;
    };
    using Change = void (*)(Adjoint& gradient);  // of a gradient that passes a node

    void clear();
    Num leaf(double v);
    Num node(double v, double e, std::initializer_list<Edge> edges) {
        return node(v, e, edges.begin(), edges.size());
    }
    Num node(double v, double e, const Edge* edges, size_t count, Change change = nullptr);
    void start();                          // of a sweep: no gradients
    void seed(const Num& x, double grad);  // adds
    void sweep();
    const Adjoint& gradient(int id) const { return adjoints_[static_cast<size_t>(id)]; }

  private:
    struct Node {
        size_t begin = 0, end = 0;  // of its edges
        Change change = nullptr;
    };
    void give(const Edge& edge, const Adjoint& from);

    std::vector<Node> nodes_;
    std::vector<Edge> edges_;
    std::vector<Adjoint> adjoints_;
};

Tape& tape();  // the one that operations write on

inline double magnitude(double v) { return std::isfinite(v) ? std::fabs(v) : 0; }

// A number that is written in the formula; it may have been rounded on its way in.
inline Num number(double v) { return {v, magnitude(v), -1}; }
inline Num exact(double v) { return {v, 0, -1}; }

Num operator+(const Num& a, const Num& b);
Num operator-(const Num& a, const Num& b);
Num operator*(const Num& a, const Num& b);
Num operator/(const Num& a, const Num& b);
Num operator-(const Num& a);
Num total(const std::vector<Num>& list);  // in any order
Num log(const Num& a);
// `stored`: a dtype in which the library keeps the result, for a backward that is written in terms of the result.
Num exp(const Num& a, DType stored = DType::f64);
Num sqrt(const Num& a, DType stored = DType::f64);
Num tanh(const Num& a, DType stored = DType::f64);
Num sigmoid(const Num& a, DType stored = DType::f64);
Num pow(const Num& a, double p);
Num normal_cdf(const Num& a);
// (a + b) / 2 with half of the gradient to each: a maximum of equals.
Num half_each(const Num& a, const Num& b);
// Another value with the derivative 1: what rounding an operand does.
Num with_value(const Num& a, double v);

// What one rounding of v to a half adds to e, infinite out of its range; nothing for f32 and f64, in which ops compute.
double rounding(double v, DType dtype);
// A result in the middle of an op that is rounded to `dtype`, and its gradient, too, with `back`.
Num once(const Num& a, DType dtype, bool back = false);
// A result whose gradient is rounded to fp16 before anything is computed from it.
Num coming_back(const Num& a);

}  // namespace demi::fuzz
