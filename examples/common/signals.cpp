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
std::atomic<bool> handling{false};
static_assert(std::atomic<int>::is_always_lock_free);
struct sigaction earlier_int, earlier_term;

void on_signal(int signal) {
    const int saved = errno;
    if (received.exchange(signal) != 0) {
        // The line of a progress bar may stand unfinished.
        [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, "\n", 1);
        ::_exit(128 + signal);
    }
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

StopSignals::StopSignals() {
    check(!handling.exchange(true), "signals", "only one StopSignals may live at a time");
    received = 0;
    struct sigaction action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    install(SIGINT, action, &earlier_int);
    install(SIGTERM, action, &earlier_term);
}

StopSignals::~StopSignals() {
    ::sigaction(SIGINT, &earlier_int, nullptr);
    ::sigaction(SIGTERM, &earlier_term, nullptr);
    handling = false;
}

int StopSignals::signal() const { return received; }

const char* StopSignals::name() const {
    const int s = signal();
    return s == SIGINT ? "SIGINT" : s == SIGTERM ? "SIGTERM" : "";
}

}  // namespace demi::examples
