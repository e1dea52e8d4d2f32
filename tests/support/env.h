#pragma once
#include <string>

// What the tests take from the environment.
namespace demi::test {

// DEMI_TEST_QUICK=1 (sanitizer runs): fewer repetitions, smaller sweeps; never another kind of check.
bool quick();

// How long a test of random cases goes on: DEMI_FUZZ_SECONDS, else 40 s, 1 s with DEMI_TEST_QUICK.
double fuzz_seconds();

// A path below DEMI_SHARED (golden files, data sets), or "" when the variable or the path is not there:
//   const std::string folder = shared_path("golden");
//   if (folder.empty()) DEMI_SKIP("DEMI_SHARED names no folder with golden/");
std::string shared_path(const std::string& inside);

}  // namespace demi::test
