#include "runtime/cgroup.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>

namespace demi {
namespace {

// Quota over period; 0 for "max", -1 and files that are not there.
double share_of(const std::string& quota_file, const std::string& period_file) {
    std::ifstream in(quota_file);
    std::string quota;
    double period = 0;
    if (!(in >> quota) || quota == "max" || quota[0] == '-') return 0;
    if (period_file.empty() ? !(in >> period) : !(std::ifstream(period_file) >> period)) return 0;
    const double value = std::strtod(quota.c_str(), nullptr);
    return value > 0 && period > 0 ? value / period : 0;
}

}  // namespace

int cgroup_threads(const std::string& groups, const std::string& root) {
    double least = 0;
    std::ifstream in(groups);
    for (std::string line; std::getline(in, line);) {  // "0::/a/b" or "4:cpu,cpuacct:/a/b"
        const size_t first = line.find(':'), second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string kinds = "," + line.substr(first + 1, second - first - 1) + ",";
        const bool newer = kinds == ",,";
        if (!newer && kinds.find(",cpu,") == std::string::npos) continue;
        const std::string top = newer ? root : root + "/cpu";
        std::string path = line.substr(second + 1);
        if (path == "/") path.clear();
        for (;;) {  // inside a container the upper groups may be all that is visible
            const std::string folder = top + path + "/";
            const double share = newer ? share_of(folder + "cpu.max", "")
                                       : share_of(folder + "cpu.cfs_quota_us", folder + "cpu.cfs_period_us");
            if (share > 0) least = least > 0 ? std::min(least, share) : share;
            if (path.empty()) break;
            path.erase(path.rfind('/'));
        }
    }
    return least > 0 ? static_cast<int>(std::ceil(std::min(least, 1e6))) : 0;
}

}  // namespace demi
