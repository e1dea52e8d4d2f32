#include "autograd/grad_mode.h"

#include <atomic>
#include <cstdlib>
#include <string_view>

namespace demi {

static thread_local bool enabled = true;

bool grad_enabled() { return enabled; }

NoGrad::NoGrad() : before_(enabled) { enabled = false; }
NoGrad::~NoGrad() { enabled = before_; }
EnableGrad::EnableGrad() : before_(enabled) { enabled = true; }
EnableGrad::~EnableGrad() { enabled = before_; }

static std::atomic<bool>& anomaly() {
    static std::atomic<bool> on = [] {
        const char* text = std::getenv("DEMI_DETECT_ANOMALY");
        return text != nullptr && std::string_view(text) != "" && std::string_view(text) != "0";
    }();
    return on;
}

bool anomaly_detection() { return anomaly().load(std::memory_order_relaxed); }
void set_anomaly_detection(bool on) { anomaly().store(on, std::memory_order_relaxed); }

}  // namespace demi
