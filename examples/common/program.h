#pragma once

#include <functional>

namespace demi::examples {

// What a program's main() does around `body`, whose exit status it returns. An exception becomes one line on
// stderr and status 1; so does a standard output that took not all of what was printed (a full disk). A file
// that grows beyond `ulimit -f` is an Error of its writer, not the end of the process.
int run_program(const char* name, const std::function<int()>& body);

}  // namespace demi::examples
