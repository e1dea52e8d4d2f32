// The same as runtime/precompiled.h for what stands on autograd; that file says why neither is guarded.
#include "autograd/record.h"
#include "runtime/precompiled.h"
