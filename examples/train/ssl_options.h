#pragma once
// The part of the command line that only self-supervised training has.
#include "examples/train/options.h"

namespace CLI {
class App;
}

namespace demi::examples {

void add_self_supervised(CLI::App& app, TrainOptions& options);
void add_recipe(CLI::App& app, TrainOptions& options);
void add_self_supervised_record(Record& record, const TrainOptions& options);

}  // namespace demi::examples
