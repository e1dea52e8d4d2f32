#include "runtime/cuda/graph.h"

#include <vector>

#include "runtime/check.h"
#include "tests/support/gpu/record.h"

namespace demi::gpu {
namespace {

using Work = std::vector<std::function<void()>>;
Work* recorder = nullptr;

}  // namespace

bool recording(Device) { return recorder != nullptr; }

void emulation::run_or_record(std::function<void()>&& work) {
    recorder != nullptr ? recorder->push_back(std::move(work)) : work();
}

Graph::~Graph() {
    abandon();
    delete static_cast<Work*>(executable_);
}

void Graph::begin() {
    check(recorder == nullptr, "cuda", "a graph is being recorded already");
    recording_ = true;
    recorder = new Work;
}

void Graph::end() {
    recording_ = false;
    executable_ = recorder;
    recorder = nullptr;
}

void Graph::abandon() noexcept {
    if (!recording_) return;
    recording_ = false;
    delete recorder;
    recorder = nullptr;
}

void Graph::launch() {
    for (const auto& work : *static_cast<Work*>(executable_)) work();
}

}  // namespace demi::gpu
