#include "examples/common/environment.h"

#include <sys/utsname.h>

#include <fstream>
#include <string>

#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace demi::examples {
namespace {

std::string processor() {
    std::ifstream in("/proc/cpuinfo");
    for (std::string line; std::getline(in, line);) {
        const size_t colon = line.find(": ");
        if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
    }
    return {};
}

}  // namespace

Record environment() {
    Record record;
    record.add("version", DEMI_VERSION).add("isa", isa_name(cpu_isa())).add("threads", num_threads());
    if (const std::string name = processor(); !name.empty()) record.add("processor", name);
#if defined(__clang__)
    record.add("compiler", "clang " __clang_version__);
#elif defined(__GNUC__)
    record.add("compiler", "gcc " __VERSION__);
#endif
    utsname system = {};
    if (::uname(&system) == 0)
        record.add("system", std::string(system.sysname) + " " + system.release + " " + system.machine);
    return record;
}

}  // namespace demi::examples
