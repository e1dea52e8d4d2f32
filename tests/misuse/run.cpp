// Runs walks in child processes and reports what ended otherwise than by a return or an Error.
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include "autograd/grad_mode.h"
#include "models/parameter.h"
#include "tests/misuse/walk.h"
#include "tests/support/temporary.h"

#if defined(__SANITIZE_ADDRESS__)
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1:detect_leaks=0"; }
#endif
extern "C" const char* __ubsan_default_options();
extern "C" const char* __ubsan_default_options() { return "halt_on_error=1:print_stacktrace=1"; }

namespace demi::test {

void use(const Tensor& t) {
    if (t.defined() && t.numel() < (1 << 20)) (void)t.to_vector<double>();
}

void use(const Variable& v) {
    use(v.value());
    if (v.requires_grad() && v.numel() < (1 << 20))
        v.backward(Tensor::full(v.shape(), 1, v.dtype(), v.device()),
                   {.retain_graph = true});  // others may share it
}

static Tensor again(const Tensor& t) { return t.defined() ? t.clone() : t; }
static Variable again(const Variable& v) { return Variable(again(v.value()), v.requires_grad()); }
template <class T> static std::any again(std::vector<T> list) {
    for (T& item : list) item = again(item);
    return list;
}

std::any fresh(const std::any& value) {
    if (const auto* t = std::any_cast<Tensor>(&value)) return again(*t);
    if (const auto* v = std::any_cast<Variable>(&value)) return again(*v);
    if (const auto* list = std::any_cast<std::vector<Tensor>>(&value)) return again(*list);
    if (const auto* list = std::any_cast<std::vector<Variable>>(&value)) return again(*list);
    if (const auto* named = std::any_cast<NamedParameters>(&value)) {
        NamedParameters copy = *named;
        for (auto& [name, v] : copy) v = again(v);
        return copy;
    }
    return value;
}

namespace {

// Which value each argument takes; -1: the base's.
using Choice = std::vector<int>;

struct Dice {
    uint64_t state = 7;
    size_t below(size_t n) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return static_cast<size_t>((state >> 33) % n);
    }
};

std::vector<Choice> plan(const Walk& walk, int64_t calls) {
    const size_t n = walk.types.size();
    std::vector<Choice> all{Choice(n, -1)};
    std::vector<size_t> sizes;
    for (const auto& type : walk.types) sizes.push_back(hostile(type).size());
    for (size_t i = 0; i < n; ++i)
        for (size_t k = 0; k < sizes[i]; ++k) {
            all.push_back(Choice(n, -1));
            all.back()[i] = static_cast<int>(k);
        }
    std::vector<Choice> pairs;
    for (size_t i = 0; i < n; ++i)
        for (size_t j = i + 1; j < n; ++j)
            for (size_t k = 0; k < sizes[i] * sizes[j]; ++k) {
                pairs.push_back(Choice(n, -1));
                pairs.back()[i] = static_cast<int>(k / sizes[j]);
                pairs.back()[j] = static_cast<int>(k % sizes[j]);
            }
    Dice dice;
    const size_t half = static_cast<size_t>(calls) / 2;
    for (size_t k = 0; k < std::min(half, pairs.size()); ++k) {
        std::swap(pairs[k], pairs[k + dice.below(pairs.size() - k)]);
        all.push_back(pairs[k]);
    }
    for (size_t k = 0; n > 2 && k < half; ++k) {
        all.push_back(Choice(n, -1));
        for (size_t i = 0; i < n; ++i)
            if (dice.below(3) != 0) all.back()[i] = static_cast<int>(dice.below(sizes[i]));
    }
    return all;
}

// What the child tells the parent, in memory that both see.
struct Progress {
    volatile uint64_t index;  // of the call; all were made where it reaches `calls`
    volatile uint64_t calls;
    volatile uint64_t refused, faults;
    char text[4000];
};

void say(const char* text) { (void)!write(STDOUT_FILENO, text, std::strlen(text)); }

void describe_call(const Walk& walk, const Choice& choice, char* text, size_t room) {
    std::string all = walk.names + "(";
    for (size_t i = 0; i < choice.size(); ++i)
        all += (i > 0 ? "; " : "") + (choice[i] < 0
                                          ? std::string("right")
                                          : hostile(walk.types[i])[static_cast<size_t>(choice[i])].text);
    std::snprintf(text, room, "%.3000s)", all.c_str());
}

void fault(Progress& progress, const std::string& what) {
    progress.faults = progress.faults + 1;
    if (progress.faults <= 8) say(("# " + std::string(progress.text) + ": " + what + "\n").c_str());
}

void one_call(const Walk& walk, const Choice& choice, bool base, Progress& progress) {
    std::string refusal;
    try {
        Values values;
        for (size_t i = 0; i < choice.size(); ++i)
            values.push_back(choice[i] < 0 ? fresh(walk.base[i])
                                           : hostile(walk.types[i])[static_cast<size_t>(choice[i])].make());
        walk.call(values);
    } catch (const Error& error) {
        refusal = error.what();
        progress.refused = progress.refused + 1;
    } catch (const std::exception& error) {
        fault(progress, std::string("throws ") + typeid(error).name() + ", not Error: " + error.what());
    } catch (...) {
        fault(progress, "throws something that is no exception");
    }
    if (base && !refusal.empty() && !walk.needs_gpu) fault(progress, "the base call is refused: " + refusal);
    if (!grad_enabled()) fault(progress, "leaves gradients off");
}

// The parent makes no value and calls nothing: the library's threads would not live on in a forked process.
void child(const Walk& walk, int64_t calls, Progress& progress) {
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
#if !defined(__SANITIZE_ADDRESS__)
    const rlimit memory{rlim_t{3} << 29, rlim_t{3} << 29};
    setrlimit(RLIMIT_AS, &memory);
#endif
    const std::vector<Choice> choices = plan(walk, calls);
    progress.calls = choices.size();
    for (uint64_t i = progress.index; i < choices.size(); ++i) {
        progress.index = i;
        describe_call(walk, choices[i], progress.text, sizeof progress.text);
        one_call(walk, choices[i], i == 0, progress);
    }
    progress.index = choices.size();
}

// Waits for the child, or ends it where one call takes too long. "" when it came to its end.
std::string wait_for(pid_t pid, const Progress& progress, double patience) {
    using Clock = std::chrono::steady_clock;
    uint64_t last = progress.index;
    auto since = Clock::now();
    for (;;) {
        int status = 0;
        if (waitpid(pid, &status, WNOHANG) == pid) {
            if (WIFSIGNALED(status)) return std::string("ends the process: ") + strsignal(WTERMSIG(status));
            return WEXITSTATUS(status) == 0 ? ""
                                            : "ends the process with " + std::to_string(WEXITSTATUS(status));
        }
        if (progress.index != last) {
            last = progress.index;
            since = Clock::now();
        } else if (std::chrono::duration<double>(Clock::now() - since).count() > patience) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return "does not come back";
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

bool run_walk(const Walk& walk, const RunOptions& options, Progress& progress, int number) {
    std::memset(&progress, 0, sizeof progress);
    int ends = 0;
    do {
        const pid_t pid = fork();
        if (pid == 0) {
            child(walk, options.calls, progress);
            _exit(0);
        }
        const std::string end = pid < 0 ? "fork failed" : wait_for(pid, progress, options.patience);
        if (end.empty()) break;
        ++ends;
        fault(progress, end);
        progress.index = progress.index + 1;
    } while (progress.index < progress.calls && ends < 6);
    const bool good = progress.faults == 0;
    std::printf("%s %d - %s # %d calls, %d refused%s\n", good ? "ok" : "not ok", number, walk.names.c_str(),
                int(progress.index), int(progress.refused),
                good ? "" : (", " + std::to_string(progress.faults) + " faults").c_str());
    std::fflush(stdout);
    return good;
}

}  // namespace

int run_walks(const Walks& walks, const RunOptions& options) {
    void* shared = mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        std::perror("mmap");
        return 1;
    }
    const TemporaryFolder folder;  // files that a walk names without a path
    if (chdir(folder.path().c_str()) != 0) return 1;
    int number = 0, failed = 0;
    for (const Walk& walk : walks.all())
        if (walk.names.find(options.only) != std::string::npos)
            failed += !run_walk(walk, options, *static_cast<Progress*>(shared), ++number);
    std::printf("1..%d\n", number);
    return failed;
}

}  // namespace demi::test
