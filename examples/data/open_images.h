#pragma once
// Internal: folders of pictures, for open_dataset.
#include <filesystem>

#include "examples/data/open.h"

namespace demi::data {

OpenedData open_images(const std::filesystem::path& folder, const OpenOptions& options);
// A share of every class set apart for testing, where that makes sense.
OpenedData set_apart(std::string kind, const DataSetPtr& all, const OpenOptions& options, bool flip);

}  // namespace demi::data
