#pragma once

// Numbers for people. Values that are not finite become "nan", "inf", "-inf".

#include <cstdint>
#include <string>

namespace demi::examples {

std::string human_count(double value);                  // 7, 12.3 k, 1.20 M
std::string human_bytes(double bytes);                  // 512 B, 1.40 GiB
std::string human_time(double seconds);                 // 350 ms, 4.2 s, 2 m 05 s, 3 h 07 m
std::string percent(double fraction);                   // 0.912 -> 91.2 %
std::string significant(double value, int digits = 4);  // 0.4321, 3e-04
std::string grouped(int64_t value);                     // 1 234 567 (thin no-break spaces)
std::string shortest(double value);  // the shortest text that reads back as the same double

}  // namespace demi::examples
