#pragma once
// The page of the boundary study.
#include <cstdint>
#include <string>

namespace demi::examples::study {

// Measures, writes the page, returns the numbers as text for the terminal.
std::string write_page(const std::string& path, uint64_t seed);

}  // namespace demi::examples::study
