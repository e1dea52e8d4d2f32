#include "autograd/print.h"

#include <functional>
#include <map>
#include <sstream>

#include "autograd/node.h"

namespace demi {

using Nodes = std::map<uint64_t, const Node*, std::greater<>>;

static Nodes reachable(const Variable& variable) {
    Nodes found;
    std::vector<const Node*> open;
    if (variable.requires_grad()) open.push_back(variable.node().get());
    while (!open.empty()) {
        const Node* node = open.back();
        open.pop_back();
        if (!found.emplace(node->number, node).second) continue;
        for (const Edge& edge : node->inputs)
            if (edge.node) open.push_back(edge.node.get());
    }
    return found;
}

std::string graph_text(const Variable& variable) {
    const Nodes nodes = reachable(variable);
    if (nodes.empty()) return "no graph\n";
    std::map<uint64_t, size_t> shown;  // counted from 1, so that texts of equal graphs are equal
    for (auto node = nodes.rbegin(); node != nodes.rend(); ++node)
        shown.emplace(node->first, shown.size() + 1);
    std::ostringstream out;
    for (const auto& [number, node] : nodes) {
        out << shown[number] << ' ' << node->op;
        for (size_t i = 0; i < node->outputs(); ++i)
            out << ' ' << node->output_at(i).dtype << ' ' << node->output_at(i).shape;
        if (!node->inputs.empty()) out << " <-";
        for (const Edge& edge : node->inputs) {
            if (edge.node)
                out << ' ' << shown[edge.node->number];
            else
                out << " .";
        }
        out << (node->freed ? " (freed)\n" : "\n");
    }
    return out.str();
}

static std::string note(const Variable& variable) {
    if (!variable.requires_grad()) return "";
    return variable.is_leaf() ? ", requires_grad" : ", requires_grad, made by " + variable.node()->op;
}

std::ostream& operator<<(std::ostream& out, const Variable& variable) {
    print(out, variable.value(), note(variable));
    return out;
}

template <> void detail::print_value<Variable>(std::ostream& out, const void* value) {
    const Variable& variable = *static_cast<const Variable*>(value);
    out << describe(variable.value()) << note(variable);
}

int64_t graph_size(const Variable& variable) { return static_cast<int64_t>(reachable(variable).size()); }

}  // namespace demi
