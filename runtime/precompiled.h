// What nearly every source of the library and its programs includes in the end, read once for each target
// instead of once for each file (cpp_pch in meson.build). No source may rely on it: it includes what it uses
// itself. Without #pragma once, which a compiler refuses in a main file.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/check.h"
#include "runtime/tensor.h"
