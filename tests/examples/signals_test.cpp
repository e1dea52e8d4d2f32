#include "examples/common/signals.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "tests/support/check_error.h"

using namespace demi::examples;
using namespace demi::test;

TEST_CASE("a signal sets the flag and the old handler comes back") {
    struct sigaction before = {}, after = {};
    sigaction(SIGTERM, nullptr, &before);
    {
        StopSignals stop;
        CHECK(!stop.requested());
        CHECK(has(error_of([] { StopSignals second; }), "one StopSignals"));
        raise(SIGTERM);
        CHECK(stop.requested());
        CHECK(std::string(stop.name()) == "SIGTERM");
        CHECK(stop.exit_status() == 128 + SIGTERM);
    }
    sigaction(SIGTERM, nullptr, &after);
    const bool same = before.sa_handler == after.sa_handler;
    CHECK(same);
    CHECK(!StopSignals().requested());
}

TEST_CASE("a second signal ends the process at once") {
    const pid_t child = fork();
    if (child == 0) {
        StopSignals stop;
        raise(SIGINT);
        raise(SIGINT);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 128 + SIGINT);
}

TEST_CASE("a signal that was ignored stays ignored") {
    struct sigaction ignore = {}, before = {};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGINT, &ignore, &before);
    {
        StopSignals stop;
        raise(SIGINT);
        CHECK(!stop.requested());
    }
    sigaction(SIGINT, &before, nullptr);
}

TEST_CASE("SIGHUP stops as SIGTERM does, SIGUSR1 only asks to save") {
    struct sigaction standard = {}, before = {};  // under nohup the test itself begins with SIGHUP ignored
    standard.sa_handler = SIG_DFL;
    sigaction(SIGHUP, &standard, &before);
    StopSignals stop;
    raise(SIGUSR1);
    CHECK(!stop.requested());
    CHECK(stop.save_requested());
    CHECK(!stop.save_requested());
    raise(SIGUSR1);
    raise(SIGUSR1);  // no second signal ends the process here
    CHECK(stop.save_requested());
    raise(SIGHUP);
    CHECK(std::string(stop.name()) == "SIGHUP");
    CHECK(stop.exit_status() == 128 + SIGHUP);
    sigaction(SIGHUP, &before, nullptr);
}
