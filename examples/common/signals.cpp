#include "examples/common/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "runtime/check.h"

namespace demi::examples {
namespace {

std::atomic<int> received{0};
std::atomic<bool> handling{false}, save{false}, speaks{true};
static_assert(std::atomic<int>::is_always_lock_free);
static_assert(std::atomic<bool>::is_always_lock_free);

struct Handled {
    int signal;
    const char* name;
    struct sigaction earlier;
};
Handled handled[] = {
    {SIGINT, "SIGINT", {}}, {SIGTERM, "SIGTERM", {}}, {SIGHUP, "SIGHUP", {}}, {SIGUSR1, "", {}}};

void on_signal(int signal) {
    const int saved = errno;
    if (signal == SIGUSR1) {
        save = true;
        return;
    }
    if (received.exchange(signal) != 0) {
        // The line of a progress bar may stand unfinished.
        [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, "\n", 1);
        ::_exit(128 + signal);
    }
    if (!speaks) return;
    constexpr char kText[] = "\nstopping: the run is saved first (once more to quit at once)\n";
    [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, kText, sizeof kText - 1);
    errno = saved;
}

// A signal that the parent had set to be ignored (nohup, a background job) stays ignored.
void install(int signal, const struct sigaction& action, struct sigaction* earlier) {
    const bool ok = ::sigaction(signal, nullptr, earlier) == 0 &&
                    (earlier->sa_handler == SIG_IGN || ::sigaction(signal, &action, nullptr) == 0);
    check(ok, "signals", "cannot set a handler: ", std::strerror(errno));
}

}  // namespace

StopSignals::StopSignals(bool says) {
    check(!handling.exchange(true), "signals", "only one StopSignals may live at a time");
    received = 0;
    save = false;
    speaks = says;
    struct sigaction action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    for (Handled& h : handled) install(h.signal, action, &h.earlier);
}

StopSignals::~StopSignals() {
    for (const Handled& h : handled) ::sigaction(h.signal, &h.earlier, nullptr);
    handling = false;
}

bool StopSignals::save_requested() { return save.exchange(false); }

int StopSignals::signal() const { return received; }

const char* StopSignals::name() const {
    for (const Handled& h : handled)
        if (h.signal == signal()) return h.name;
    return "";
}

}  // namespace demi::examples
