// Stands in for the system calls that write files, so that a test can end the process in the
// middle of any of them or make it fail. Off unless demi_test_crash_after is set. Write calls that
// crash leave half their bytes.
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

extern "C" {

int demi_test_crash_after = 0;  // the number of the call to fail, counted from 1; 0: none
int demi_test_calls = 0;
int demi_test_errno = 0;  // 0: the process ends with 137; else the call fails once with this
bool demi_test_short_writes = false;

static bool fails() {
    if (demi_test_crash_after == 0 || ++demi_test_calls != demi_test_crash_after) return false;
    if (demi_test_errno == 0) _exit(137);
    errno = demi_test_errno;
    return true;
}

static int open_file(const char* path, int flags, int mode) {
    return fails() ? -1 : static_cast<int>(syscall(SYS_openat, -100, path, flags, mode));
}
int open(const char* path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    const int mode = va_arg(more, int);
    va_end(more);
    return open_file(path, flags, mode);
}
int open64(const char* path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    const int mode = va_arg(more, int);
    va_end(more);
    return open_file(path, flags, mode);
}
ssize_t write(int fd, const void* data, size_t bytes) {
    if (demi_test_crash_after == demi_test_calls + 1 && demi_test_errno == 0 && bytes > 1)
        syscall(SYS_write, fd, data, bytes / 2);
    if (fails()) return -1;
    return syscall(SYS_write, fd, data, demi_test_short_writes && bytes > 100 ? bytes / 3 : bytes);
}
int fsync(int fd) { return fails() ? -1 : static_cast<int>(syscall(SYS_fsync, fd)); }
int rename(const char* from, const char* to) {
    return fails() ? -1 : static_cast<int>(syscall(SYS_renameat2, -100, from, -100, to, 0));
}

}  // extern "C"
