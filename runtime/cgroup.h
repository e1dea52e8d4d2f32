#pragma once
// Internal: how much processor time a container lets the process have.
#include <string>

namespace demi {

// Processors, rounded up, by the tightest quota of the process's control groups and those above
// them (cpu.max of version 2, cpu.cfs_quota_us of version 1); 0: no limit. `groups` is
// /proc/self/cgroup, `root` /sys/fs/cgroup.
int cgroup_threads(const std::string& groups, const std::string& root);

}  // namespace demi
