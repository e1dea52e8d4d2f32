#include "runtime/cgroup.h"

#include <doctest/doctest.h>

#include "tests/support/temporary.h"

using namespace demi;
using namespace demi::test;

TEST_CASE("cgroup: the tightest quota of the group and those above, rounded up") {
    const TemporaryFolder folder;
    std::filesystem::create_directories(folder / "root/a/b");
    std::filesystem::create_directories(folder / "root/cpu/c");
    const auto threads = [&] { return cgroup_threads(folder / "groups", folder / "root"); };
    CHECK(threads() == 0);
    put_file(folder / "groups", "0::/a/b\n");
    CHECK(threads() == 0);
    put_file(folder / "root/a/b/cpu.max", "max 100000\n");
    CHECK(threads() == 0);
    put_file(folder / "root/a/cpu.max", "150000 100000\n");
    CHECK(threads() == 2);
    put_file(folder / "root/a/b/cpu.max", "50000 100000\n");
    CHECK(threads() == 1);
    put_file(folder / "root/a/b/cpu.max", "nonsense\n");
    CHECK(threads() == 2);

    put_file(folder / "groups", "5:memory:/c\n4:cpu,cpuacct:/c\n");
    CHECK(threads() == 0);
    put_file(folder / "root/cpu/c/cpu.cfs_quota_us", "-1\n");
    put_file(folder / "root/cpu/c/cpu.cfs_period_us", "100000\n");
    CHECK(threads() == 0);
    put_file(folder / "root/cpu/c/cpu.cfs_quota_us", "300000\n");
    CHECK(threads() == 3);
    put_file(folder / "groups", "0::/\n");
    put_file(folder / "root/cpu.max", "400000 100000\n");
    CHECK(threads() == 4);
}
