// Random graphs of all ops against naive references in double; see graph.h.
//   build/tests/fuzz_graphs [--seconds N | --graphs N] [--seed S] [--device cpu|cuda] [--graph S [--ops N]]
//                          [--all] [--references]
// --graph runs one graph again and prints it; --references compares the references' own derivatives with differences.
// --all goes on after a wrong graph, with one line for each. Exit status 1 where something is wrong; the first wrong graph is cut down to the fewest steps that show it.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/fuzz/graph.h"

namespace {

using namespace demi;
using namespace demi::fuzz;

struct Call {
    double seconds = 0;
    int64_t graphs = 1000;
    uint64_t seed = 1;
    bool one = false, references = false, all = false;
    Options options;
};

int usage() {
    std::fprintf(stderr, "fuzz_graphs [--seconds N | --graphs N] [--seed S] [--device D] [--graph S [--ops "
                         "N]] [--references]\n");
    return 2;
}

bool parse(int argc, char** argv, Call& call) {
    for (int i = 1; i < argc; ++i) {
        const std::string name = argv[i];
        if (name == "--references" || name == "--all") {
            (name == "--all" ? call.all : call.references) = true;
            continue;
        }
        if (++i >= argc) return false;
        if (name == "--seconds")
            call.seconds = std::atof(argv[i]);
        else if (name == "--graphs")
            call.graphs = std::atoll(argv[i]);
        else if (name == "--seed" || name == "--graph")
            call.seed = std::strtoull(argv[i], nullptr, 10), call.one = name == "--graph";
        else if (name == "--ops")
            call.options.ops = std::atoi(argv[i]);
        else if (name == "--device")
            call.options.device = Device::parse(argv[i]);
        else
            return false;
    }
    return true;
}

void report(uint64_t seed, const Options& options, const Graph& graph, const std::string& wrong, bool all) {
    std::printf("%s\n%s", wrong.c_str(), graph.history(all).c_str());
    std::printf("again: fuzz_graphs --graph %llu --ops %d\n", static_cast<unsigned long long>(seed),
                options.ops);
}

// With as few steps as still go wrong.
void report_small(uint64_t seed, Options options, int ops) {
    for (options.ops = 1; options.ops <= ops; ++options.ops) {
        Graph graph(seed, options);
        const std::string wrong = graph.run();
        if (!wrong.empty()) return report(seed, options, graph, wrong, false);
    }
}

}  // namespace

int main(int argc, char** argv) {
    Call call;
    try {
        if (!parse(argc, argv, call)) return usage();
    } catch (const Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 2;
    }
    const auto begin = std::chrono::steady_clock::now();
    const auto passed = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    call.options.doubles = call.references;
    if (call.one) {
        Graph graph(call.seed, call.options);
        const std::string wrong = graph.run();
        report(call.seed, call.options, graph, wrong.empty() ? "nothing is wrong with" : wrong,
               wrong.empty());
        return wrong.empty() ? 0 : 1;
    }
    int64_t graphs = 0, ops = 0, failed = 0;
    for (; call.seconds > 0 ? passed() < call.seconds : graphs < call.graphs; ++graphs) {
        const uint64_t seed = call.seed + static_cast<uint64_t>(graphs);
        Graph graph(seed, call.options);
        std::string wrong = graph.run();
        if (wrong.empty() && call.references) wrong = graph.check_references();
        ops += graph.ops();
        if (wrong.empty()) continue;
        ++failed;
        if (call.all) {
            std::printf("%llu: %s\n", static_cast<unsigned long long>(seed),
                        wrong.substr(0, wrong.find('\n')).c_str());
            continue;
        }
        if (call.references)
            report(seed, call.options, graph, wrong, false);
        else
            report_small(seed, call.options, graph.ops());
        return 1;
    }
    std::printf("%lld graphs of %lld ops, %lld wrong, %.1f s\n", static_cast<long long>(graphs),
                static_cast<long long>(ops), static_cast<long long>(failed), passed());
    return failed == 0 ? 0 : 1;
}
