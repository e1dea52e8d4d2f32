#pragma once
// What the machine can do at most, for fractions of a bound. Each call is one sample of some
// milliseconds: take them in turns with what they are compared with, because the machine may not be
// ours alone, and use medians.

namespace demi {

// Multiply-adds (counted as two operations) per second on all threads of the pool, from a loop
// that only uses registers.
double measured_flops();
// Bytes read plus bytes written per second by memcpy of arrays that no cache holds, on all threads.
double measured_bandwidth();

}  // namespace demi
