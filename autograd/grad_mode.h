#pragma once
#include "runtime/non_copyable.h"
// Whether ops record themselves (per thread, on by default), and the search for the first NaN.
namespace demi {

bool grad_enabled();

// No op is recorded while one of these lives on the thread.
class NoGrad : NonCopyable {
  public:
    NoGrad();
    ~NoGrad();

  private:
    bool before_;
};

// Recording on again inside a NoGrad region (used by recompute).
class EnableGrad : NonCopyable {
  public:
    EnableGrad();
    ~EnableGrad();

  private:
    bool before_;
};

// With anomaly detection on (DEMI_DETECT_ANOMALY=1 or this call), the op whose forward or backward makes the
// first NaN or infinity throws an Error that names it.
bool anomaly_detection();
void set_anomaly_detection(bool on);

}  // namespace demi
