#pragma once
// The graph behind a variable as text, newest node first, one per line:
//   5 mul f32 (2, 3) <- 4 1
#include <string>

#include "autograd/variable.h"

namespace demi {

std::string graph_text(const Variable& variable);
int64_t graph_size(const Variable& variable);  // number of nodes, leaves included

}  // namespace demi
