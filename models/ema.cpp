#include "models/ema.h"

#include "ops/optimizer/ema.h"

namespace demi {

void ema_update(const NamedParameters& average, const NamedParameters& parameters, double decay) {
    check(average.size() == parameters.size(), "ema_update",
          "needs the same number of parameters: ", average.size(), " and ", parameters.size());
    std::vector<Tensor> dst, src;
    for (size_t i = 0; i < average.size(); ++i) {
        check(average[i].second.shape() == parameters[i].second.shape(), "ema_update",
              "parameters differ: ", average[i].first, " ", average[i].second.shape(), " and ",
              parameters[i].first, " ", parameters[i].second.shape());
        dst.push_back(average[i].second.value());
        src.push_back(parameters[i].second.value());
    }
    ema(dst, src, decay);
}

}  // namespace demi
