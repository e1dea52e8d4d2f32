#include "tests/fuzz/num.h"

#include "tests/fuzz/element.h"

namespace demi::fuzz {

Tape& tape() {
    static Tape one;
    return one;
}

void Tape::clear() {
    nodes_.clear();
    edges_.clear();
}

Num Tape::leaf(double v) {
    nodes_.push_back({edges_.size(), edges_.size(), nullptr});
    return {v, 0, static_cast<int>(nodes_.size()) - 1};
}

Num Tape::node(double v, double e, const Edge* edges, size_t count, Change change) {
    const size_t begin = edges_.size();
    for (size_t i = 0; i < count; ++i)
        if (edges[i].id >= 0) edges_.push_back(edges[i]);
    if (edges_.size() == begin) return {v, e, -1};
    nodes_.push_back({begin, edges_.size(), change});
    return {v, e, static_cast<int>(nodes_.size()) - 1};
}

void Tape::start() { adjoints_.assign(nodes_.size(), {}); }

// What the n-th addition to a sum may cost, where the order is the library's own: |all so far|.
static double addition(double size, int n) { return n < 2 ? 0 : size; }

void Tape::seed(const Num& x, double grad) {
    if (x.id >= 0) give({x.id, 1, 0}, {grad, 0, magnitude(grad), 1});
}

void Tape::give(const Edge& edge, const Adjoint& from) {
    const double more = from.v * edge.w;
    Adjoint& sum = adjoints_[static_cast<size_t>(edge.id)];
    const bool exactly = std::fabs(edge.w) == 1 && edge.ew == 0;
    sum.v += more;
    sum.size += magnitude(more);
    sum.e += from.e * std::fabs(edge.w) + std::fabs(from.v) * edge.ew + (exactly ? 0 : magnitude(more));
    sum.e += addition(sum.size, ++sum.parts);
}

void Tape::sweep() {
    for (size_t i = nodes_.size(); i-- > 0;) {
        const Node& node = nodes_[i];
        Adjoint from = adjoints_[i];
        if (from.parts == 0) continue;
        if (node.change != nullptr) node.change(from);
        if (from.v == 0 && from.e == 0) continue;  // also where a derivative is infinite
        for (size_t k = node.begin; k < node.end; ++k) give(edges_[k], from);
    }
}

Num operator+(const Num& a, const Num& b) {
    const double v = a.v + b.v;
    return tape().node(v, a.e + b.e + magnitude(v), {{a.id, 1, 0}, {b.id, 1, 0}});
}
Num operator-(const Num& a, const Num& b) {
    const double v = a.v - b.v;
    return tape().node(v, a.e + b.e + magnitude(v), {{a.id, 1, 0}, {b.id, -1, 0}});
}
Num operator*(const Num& a, const Num& b) {
    const double v = a.v * b.v;
    return tape().node(v, std::fabs(a.v) * b.e + std::fabs(b.v) * a.e + magnitude(v),
                       {{a.id, b.v, b.e}, {b.id, a.v, a.e}});
}
Num operator/(const Num& a, const Num& b) {
    const double v = a.v / b.v, size = std::fabs(b.v);
    const double e = (a.e + std::fabs(v) * b.e) / size + magnitude(v);
    return tape().node(
        v, e,
        {{a.id, 1 / b.v, b.e / (size * size) + 1 / size},
         {b.id, -v / b.v, e / size + std::fabs(v) * b.e / (size * size) + std::fabs(v) / size}});
}
Num operator-(const Num& a) { return tape().node(-a.v, a.e, {{a.id, -1, 0}}); }

Num total(const std::vector<Num>& list) {
    double v = 0, e = 0, size = 0;
    std::vector<Edge> edges;
    int n = 0;
    for (const Num& x : list) {
        v += x.v;
        size += magnitude(x.v);
        e += x.e + addition(size, ++n);
        edges.push_back({x.id, 1, 0});
    }
    return tape().node(v, e, edges.data(), edges.size());
}

Num log(const Num& a) {
    const double v = std::log(a.v), size = std::fabs(a.v);
    return tape().node(v, a.e / size + 2 * magnitude(v) + 1,
                       {{a.id, 1 / a.v, a.e / (size * size) + 1 / size}});
}
Num exp(const Num& a, DType stored) {
    const double v = std::exp(a.v), e = v * (a.e + 4);
    return tape().node(v, e, {{a.id, v, e + rounding(v, stored)}});
}
Num sqrt(const Num& a, DType stored) {
    const double v = std::sqrt(a.v), e = a.e / (2 * v) + v;
    return tape().node(v, e, {{a.id, 1 / (2 * v), (e + rounding(v, stored)) / (2 * v * v) + 1 / (2 * v)}});
}
Num tanh(const Num& a, DType stored) {
    const double v = std::tanh(a.v), w = 1 - v * v, e = w * a.e + 4 * std::fabs(v);
    return tape().node(v, e, {{a.id, w, 2 * std::fabs(v) * (e + rounding(v, stored)) + 2}});
}
Num sigmoid(const Num& a, DType stored) {
    const double v = 1 / (1 + std::exp(-a.v)), w = v * (1 - v), e = w * a.e + 8 * v;
    return tape().node(v, e, {{a.id, w, e + rounding(v, stored) + 2 * v}});
}
Num pow(const Num& a, double p) {
    const double v = std::pow(a.v, p), size = std::fabs(a.v), w = p * std::pow(a.v, p - 1);
    const double relative =
        4 + 4 * std::fabs(p) * (1 + std::fabs(std::log(size)));  // by logarithms in the worst case
    return tape().node(
        v, std::fabs(w) * a.e + std::fabs(v) * relative,
        {{a.id, w, std::fabs(p * (p - 1)) * std::pow(size, p - 2) * a.e + std::fabs(w) * relative}});
}
Num normal_cdf(const Num& a) {
    const double v = 0.5 * std::erfc(-a.v * std::sqrt(0.5));
    const double w = std::exp(-a.v * a.v / 2) * 0.3989422804014327;
    return tape().node(v, w * a.e + 3, {{a.id, w, std::fabs(a.v) * w * a.e + 2}});
}
Num half_each(const Num& a, const Num& b) { return tape().node(a.v, a.e, {{a.id, 0.5, 0}, {b.id, 0.5, 0}}); }
Num with_value(const Num& a, double v) { return tape().node(v, a.e, {{a.id, 1, 0}}); }

double rounding(double v, DType dtype) {
    if (dtype != DType::f16 && dtype != DType::bf16) return 0;
    return std::fabs(v) < 0.5 * largest(dtype) ? half_step(v, dtype) / unit(dtype) : HUGE_VAL;
}

Num once(const Num& a, DType dtype, bool back) {
    const Edge edge{a.id, 1, 0};
    Tape::Change change = nullptr;
    if (back && dtype == DType::f16) change = [](Tape::Adjoint& g) { g.e += rounding(g.v, DType::f16); };
    if (back && dtype == DType::bf16) change = [](Tape::Adjoint& g) { g.e += rounding(g.v, DType::bf16); };
    return tape().node(a.v, a.e + rounding(a.v, dtype), &edge, 1, change);
}

Num coming_back(const Num& a) {
    const Edge edge{a.id, 1, 0};
    return tape().node(a.v, a.e, &edge, 1, [](Tape::Adjoint& g) { g.v = rounded(g.v, DType::f16); });
}

}  // namespace demi::fuzz
