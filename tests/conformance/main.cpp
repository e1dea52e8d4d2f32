// conformance FILE|FOLDER... [--device cpu|cuda]
// Runs conformance cases and prints PASS|FAIL|SKIP name worst-tensor max-abs max-rel for each. Exit status 0
// when nothing failed, 1 when something did, 2 for a wrong command line or when there is no case at all.
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "tests/conformance/case.h"

namespace demi::conformance {

namespace fs = std::filesystem;

static std::vector<std::string> cases_below(const std::string& path) {
    std::error_code error;
    if (!fs::is_directory(path, error)) return {path};
    std::vector<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(path))
        if (entry.is_regular_file() && entry.path().extension() == ".safetensors")
            found.push_back(entry.path().string());
    std::sort(found.begin(), found.end());
    return found;
}

struct Counts {
    int passed = 0, failed = 0, skipped = 0;
};

static void run_one(const std::string& path, Device device, Counts& counts) {
    const std::string name = fs::path(path).stem().string();
    try {
        Case c(path, device);
        void (*run)(Case&) = nullptr;
        for (const Runners* runners : {&operator_runners, &model_runners, &loss_runners})
            if (const auto known = runners->find(c.kind()); known != runners->end()) run = known->second;
        if (run == nullptr) {
            std::printf("SKIP %s unknown case '%s'\n", name.c_str(), c.kind().c_str());
            ++counts.skipped;
            return;
        }
        run(c);
        const Case::Verdict verdict = c.compare();
        ++(verdict.passed ? counts.passed : counts.failed);
        std::printf("%s %s %s %.3g %.3g%s%s\n", verdict.passed ? "PASS" : "FAIL", name.c_str(),
                    verdict.worst.c_str(), verdict.max_abs, verdict.max_rel,
                    verdict.problem.empty() ? "" : " ", verdict.problem.c_str());
    } catch (const nlohmann::json::exception& error) {
        std::printf("FAIL %s [conformance] 'params' or 'tol' of '%s': %s\n", name.c_str(), path.c_str(),
                    error.what());
        ++counts.failed;
    } catch (const std::exception& error) {
        std::printf("FAIL %s %s\n", name.c_str(), error.what());
        ++counts.failed;
    }
}

static int usage(const char* problem, const char* what) {
    std::fprintf(stderr, "conformance: %s%s\nusage: conformance FILE|FOLDER... [--device cpu|cuda]\n",
                 problem, what);
    return 2;
}

static int run(int argc, char** argv) {
    std::vector<std::string> paths;
    std::string device_name = "cpu";
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        if (argument == "--help" || argument == "-h") {
            std::printf("usage: conformance FILE|FOLDER... [--device cpu|cuda]\n");
            return 0;
        }
        if (argument == "--device") {
            if (++i == argc) return usage("--device needs a value", "");
            device_name = argv[i];
        } else if (argument.starts_with("--device=")) {
            device_name = argument.substr(9);
        } else if (argument.starts_with("-")) {
            return usage("unknown option ", argv[i]);
        } else {
            paths.push_back(argument);
        }
    }
    if (paths.empty()) return usage("needs a file or folder of cases", "");
    const Device device = Device::parse(device_name);
    if (device_count(device.type) <= device.index) return usage("there is no device ", device_name.c_str());
    Counts counts;
    for (const std::string& path : paths) {
        if (!fs::exists(path)) return usage("there is no ", path.c_str());
        for (const std::string& file : cases_below(path)) run_one(file, device, counts);
    }
    if (counts.passed + counts.failed + counts.skipped == 0)
        return usage("found no .safetensors file in ", paths[0].c_str());
    std::printf("%d passed, %d failed, %d skipped\n", counts.passed, counts.failed, counts.skipped);
    return counts.failed == 0 ? 0 : 1;
}

}  // namespace demi::conformance

int main(int argc, char** argv) {
    try {
        return demi::conformance::run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "conformance: %s\n", error.what());
        return 2;
    }
}
