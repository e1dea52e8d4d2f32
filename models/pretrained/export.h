#pragma once
// Weights under our names to the names that Meta, Hugging Face or timm use, the way back of names.h.
#include "models/pretrained/pretrained.h"

namespace demi {

// All tensors of the network under our names, and its heads; each in the file's dtype.
NamedTensors load_network(const Pretrained& weights);

// Splits, joins and renames; values share memory with `ours` where they can. `dropped` receives names that the naming has no
// place for (timm and mask_token).
NamedTensors export_names(const NamedTensors& ours, const WeightsConfig& config, WeightNaming naming,
                          std::vector<std::string>& dropped);

// What a file of ours says of its network: heads, norm eps, resizing of positions, normalisation.
Metadata weights_metadata(const WeightsConfig& config);

}  // namespace demi
