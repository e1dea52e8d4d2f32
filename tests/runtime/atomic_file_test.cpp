// Files that appear whole or not at all: full disk, unwritable folder, a crash at any system call.
#include "runtime/atomic_file.h"

#include <doctest/doctest.h>

#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "runtime/safetensors.h"
#include "tests/support/check_error.h"
#include "tests/support/skip.h"
#include "tests/support/temporary.h"

using namespace demi;
using namespace demi::test;

namespace {

// Runs fn in a child process; its exit status, or 1000 + the signal that ended it. 0: fn threw nothing;
// 7: it threw an Error that holds `expected`.
int in_child(const std::string& expected, const std::function<void()>& fn) {
    const pid_t child = fork();
    if (child == 0) {
        int status = 9;
        try {
            fn();
            status = 0;
        } catch (const Error& error) {
            status = has(error.what(), expected) ? 7 : 8;
        }
        _exit(status);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

}  // namespace

TEST_CASE("atomic file: written, replaced, abandoned") {
    const TemporaryFolder folder;
    const std::string path = folder / "f";
    write_file_atomic(path, "one");
    CHECK(get_file(path) == "one");
    write_file_atomic(path, "two");
    CHECK(get_file(path) == "two");
    {
        AtomicFile file(path);
        file.write("three");
        CHECK(folder.files() == 2);
        CHECK(get_file(path) == "two");
    }
    CHECK(get_file(path) == "two");
    CHECK(folder.files() == 1);
    AtomicFile file(path);
    file.write("");
    file.commit();
    CHECK(get_file(path) == "");
    CHECK(has(error_of([&] { file.write("more"); }), "was already finished"));
    CHECK(has(error_of([&] { file.commit(); }), "was already finished"));
    // temporary files that a killed process of this number left behind do not stand in the way
    for (int i = 0; i < 40; ++i)
        put_file(path + ".tmp." + std::to_string(getpid()) + "." + std::to_string(i), "old");
    write_file_atomic(path, "still");
    CHECK(get_file(path) == "still");
}

TEST_CASE("atomic file: what cannot be a target says so, and is not replaced") {
    const TemporaryFolder folder;
    CHECK(has(error_of([&] { write_file_atomic(folder / "no/such/f", "x"); }),
              "[write] cannot create '" + (folder / "no/such/f") + "': No such file or directory"));
    CHECK(has(error_of([&] { write_file_atomic(folder.path(), "x"); }), "it is not a regular file"));
    CHECK(has(error_of([] { write_file_atomic("/dev/null", "x"); }), "it is not a regular file"));
    CHECK(has(error_of([] { write_file_atomic("", "x"); }), "[write]"));
    struct stat status {};
    CHECK((stat("/dev/null", &status) == 0 && S_ISCHR(status.st_mode)));
    put_file(folder / "file", "x");
    CHECK(has(error_of([&] { write_file_atomic(folder / "file/inside", "x"); }), "Not a directory"));
    REQUIRE(mkdir((folder / "locked").c_str(), 0755) == 0);
    put_file(folder / "locked/f", "old");
    REQUIRE(chmod((folder / "locked").c_str(), 0555) == 0);
    const std::string expected = "[write] cannot create '" + (folder / "locked/f") + "': Permission denied";
    CHECK(in_child(expected, [&] {
              if (getuid() == 0 && setuid(65534) != 0) fail("test", expected);
              write_file_atomic(folder / "locked/f", "new");
          }) == 7);
    CHECK(get_file(folder / "locked/f") == "old");
    chmod((folder / "locked").c_str(), 0755);
}

TEST_CASE(
    "atomic file: a file that may not grow (RLIMIT_FSIZE) is an error at every size, the old one stays") {
    const TemporaryFolder folder;
    const std::string path = folder / "f.safetensors";
    const NamedTensors tensors{{"a", Tensor::full({3000}, 2)}, {"b", Tensor::full({100}, 3, DType::f16)}};
    write_safetensors(path, {{"a", Tensor::full({1}, 1)}});
    const std::string old = get_file(path);
    for (rlim_t limit : {0, 1, 8, 9, 100, 4096, 8192, 12000}) {
        CHECK(in_child("[write] cannot write '" + path + "': File too large", [&] {
                  signal(SIGXFSZ, SIG_IGN);
                  const rlimit size{limit, limit};
                  if (setrlimit(RLIMIT_FSIZE, &size) != 0) fail("test", "setrlimit");
                  write_safetensors(path, tensors);
              }) == 7);
        CHECK(get_file(path) == old);
        CHECK(folder.files() == 1);
    }
}

TEST_CASE("atomic file: a full disk is an error, the old file stays") {
    const TemporaryFolder folder;
    if (mount("demi-test", folder.path().c_str(), "tmpfs", 0, "size=256k") != 0)
        DEMI_SKIP("needs root to mount a small file system");
    const std::string path = folder / "f.safetensors";
    write_safetensors(path, {{"a", Tensor::full({1}, 1)}});
    const std::string old = get_file(path);
    const std::string message = error_of([&] { write_safetensors(path, {{"a", Tensor::zeros({100000})}}); });
    CHECK_MESSAGE(has(message, "[write] cannot write '" + path + "': No space left on device"), message);
    CHECK(get_file(path) == old);
    CHECK(folder.files() == 1);
    write_safetensors(path, {{"a", Tensor::zeros({10})}});
    CHECK(SafetensorsFile(path).load("a").numel() == 10);
    umount(folder.path().c_str());
}

// crash.cpp interposes the system calls; see there.
extern "C" int demi_test_crash_after;
extern "C" int demi_test_calls;
extern "C" int demi_test_errno;
extern "C" bool demi_test_short_writes;

TEST_CASE("atomic file: a crash at every system call leaves the old or the new file, whole") {
    const TemporaryFolder folder;
    const std::string path = folder / "f.safetensors";
    const NamedTensors before{{"a", Tensor::full({10}, 1)}},
        after{{"a", Tensor::full({3000}, 2)}, {"b", Tensor::zeros({5})}};
    int olds = 0, news = 0, finished = 0;
    for (int call = 1; finished == 0; ++call) {
        REQUIRE(call < 100);
        write_safetensors(path, before, {}, true);
        const int status = in_child("", [&] {
            demi_test_crash_after = call;
            write_safetensors(path, after, {}, true);
            demi_test_crash_after = 0;
        });
        finished += status == 0;
        CHECK((status == 0 || status == 137));
        const SafetensorsFile file(path);
        const Tensor a = file.load("a");
        const bool is_new = a.numel() == 3000 && a.to_vector<float>()[2999] == 2 && file.contains("b");
        const bool is_old = a.numel() == 10 && a.to_vector<float>()[9] == 1 && !file.contains("b");
        CHECK((is_new || is_old));
        ++(is_new ? news : olds);
    }
    CHECK(olds >= 6);  // open, five writes, fsync, rename
    CHECK(news >= 2);  // after the rename
}

TEST_CASE("atomic file: an error of any system call is reported; EINTR and short writes are survived") {
    const TemporaryFolder folder;
    const std::string path = folder / "f.safetensors";
    const NamedTensors before{{"a", Tensor::full({10}, 1)}}, after{{"a", Tensor::full({3000}, 2)}};
    for (int error : {EIO, ENOSPC, EINTR}) {
        int finished = 0, reported = 0;
        for (int call = 1; finished == 0; ++call) {
            REQUIRE(call < 100);
            write_safetensors(path, before);
            const int files = folder.files();
            const int status = in_child("[write] cannot", [&] {
                demi_test_errno = error;
                demi_test_crash_after = call;
                write_safetensors(path, after);
                if (demi_test_calls >= call && error != EINTR) fail("test", "an error was swallowed");
                if (demi_test_calls < call) _exit(66);
            });
            finished += status == 66;
            reported += status == 7;
            CHECK((status == 66 || status == (error == EINTR ? 0 : 7) || (error == EINTR && status == 7)));
            const int64_t n = SafetensorsFile(path).load("a").numel();
            CHECK((n == 10 || n == 3000));
            CHECK(folder.files() == files);  // no temporary file is left
        }
        // interrupted writes and syncs are tried again; open and rename are never interrupted in earnest
        CHECK((error == EINTR ? reported <= 3 : reported >= 6));
    }
    demi_test_short_writes = true;
    write_safetensors(path, after, {}, true);
    demi_test_short_writes = false;
    CHECK(SafetensorsFile(path).load("a").to_vector<float>() == after[0].second.to_vector<float>());
}
