// The same as runtime/precompiled.h for what stands on autograd, and without #pragma once for the same
// reason.
#include "autograd/record.h"
#include "runtime/precompiled.h"
