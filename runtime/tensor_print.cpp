// Tensors as text.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <sstream>

#include "runtime/copy.h"
#include "runtime/tensor.h"

namespace demi {
namespace {

constexpr int64_t kMostValues = 1000, kEdge = 3;  // more values than that: the first and last of each size
constexpr size_t kColumns = 80;

// out[...] = in, or in's edges where a size of out is smaller.
void copy_edges(const Tensor& out, const Tensor& in, int dim) {
    if (dim == in.rank()) return copy(out, in);
    if (out.size(dim) == in.size(dim)) return copy_edges(out, in, dim + 1);
    copy_edges(out.slice(dim, 0, kEdge), in.slice(dim, 0, kEdge), dim + 1);
    copy_edges(out.slice(dim, kEdge), in.slice(dim, -kEdge), dim + 1);
}

// The printf format that shows all values alike: without digits behind the point where they are whole
// numbers, with an exponent where they are very large, very small, or far apart.
const char* float_format(const std::vector<double>& values) {
    bool whole = true;
    double least = HUGE_VAL, most = 0;
    for (double x : values) {
        if (!std::isfinite(x)) continue;
        whole = whole && x == std::trunc(x);
        most = std::max(most, std::fabs(x));
        if (x != 0) least = std::min(least, std::fabs(x));
    }
    if (most >= 1e8 || (!whole && (least < 1e-4 || most > 1e3 * least))) return "%.4e";
    return whole ? "%.0f." : "%.4f";
}

std::vector<std::string> texts_of(const Tensor& part) {
    std::vector<std::string> out;
    if (is_float(part.dtype())) {
        const std::vector<double> values = part.to_vector<double>();
        const char* format = float_format(values);
        for (double x : values) {
            char text[32];
            std::snprintf(text, sizeof text, std::isfinite(x) ? format : "%f", x);
            out.emplace_back(text);
        }
    } else {
        for (int64_t x : part.to_vector<int64_t>())
            out.push_back(part.dtype() != DType::boolean ? std::to_string(x) : x != 0 ? "true" : "false");
    }
    size_t width = 0;
    for (const std::string& text : out) width = std::max(width, text.size());
    for (std::string& text : out) text.insert(0, width - text.size(), ' ');
    return out;
}

// Walks the texts in order, one call for each bracket.
struct Printer {
    std::ostream& out;
    const Shape &full, &shown;
    std::vector<std::string> texts;
    size_t next = 0;

    void row(size_t indent) {
        const int64_t size = shown.back();
        size_t column = indent;
        for (int64_t i = 0; i < size; ++i) {
            const bool dots = i == kEdge && size < full.back();
            const std::string text = (dots ? "..., " : "") + texts[next++] + (i + 1 < size ? "," : "");
            if (i > 0 && column + 1 + text.size() > kColumns) {
                out << '\n' << std::string(indent, ' ');
                column = indent;
            } else if (i > 0) {
                out << ' ';
                ++column;
            }
            out << text;
            column += text.size();
        }
    }

    void bracket(int dim, size_t indent) {
        if (dim == shown.rank()) {
            out << texts[next++];
            return;
        }
        out << '[';
        if (dim + 1 == shown.rank()) {
            row(indent + 1);
        } else {
            const auto lines = static_cast<size_t>(shown.rank() - dim - 1);
            const std::string between = ',' + std::string(lines, '\n') + std::string(indent + 1, ' ');
            for (int64_t i = 0; i < shown[dim]; ++i) {
                if (i > 0) out << between;
                if (i == kEdge && shown[dim] < full[dim]) out << "..." << between;
                bracket(dim + 1, indent + 1);
            }
        }
        out << ']';
    }
};

}  // namespace

void print(std::ostream& out, const Tensor& tensor, std::string_view note) {
    constexpr std::string_view kBegin = "tensor(";
    if (!tensor.defined()) {
        out << kBegin << "undefined" << note << ')';
        return;
    }
    Shape shape = tensor.shape();
    if (tensor.numel() > kMostValues)
        for (int d = 0; d < shape.rank(); ++d) shape[d] = std::min(shape[d], 2 * kEdge);
    const Tensor part = Tensor::empty(shape, tensor.dtype());
    copy_edges(part, tensor, 0);
    out << kBegin;
    if (tensor.numel() == 0)
        out << "[]";
    else
        Printer{out, tensor.shape(), shape, texts_of(part)}.bracket(0, kBegin.size());
    out << ", " << describe(tensor) << note << ')';
}

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) {
    print(out, tensor);
    return out;
}

}  // namespace demi
