#include "runtime/capture.h"

#include <cstring>

#include "runtime/capture_state.h"
#include "runtime/check.h"
#include "runtime/profile.h"

namespace demi {

CapturedStep::Record*& current_record() {
    thread_local CapturedStep::Record* record = nullptr;
    return record;
}

std::mutex& record_mutex() {
    static std::mutex mutex;
    return mutex;
}

bool capturing(Device device) {
    const CapturedStep::Record* record = current_record();
    return record != nullptr && record->device == device;
}

bool capturing() { return current_record() != nullptr; }

namespace {

CapturedStep::Record& record_of(Device device) {
    check(capturing(device), "capture", "no step is captured on ", device);
    return *current_record();
}

}  // namespace

void before_replay(Device device, std::function<void()> fn) {
    check(fn != nullptr, "capture", "before_replay() needs a function: got none");
    record_of(device).host_part.push_back(std::move(fn));
}

void before_replay(std::function<void()> fn) {
    check(capturing(), "capture", "no step is captured");
    current_record()->host_part.push_back(std::move(fn));
}

Tensor live_tensor(const Shape& shape, DType dtype, Device device, std::function<void(void*)> fill) {
    check(fill != nullptr, "capture", "live_tensor() needs a function that fills it: got none");
    CapturedStep::Record& record = record_of(device);
    const int64_t bytes = checked_mul(shape.numel(), static_cast<int64_t>(size_of(dtype)), "capture");
    const auto place = record.take(record.live, static_cast<size_t>(bytes));
    fill(place.host);
    record.host_part.push_back([host = place.host, fill = std::move(fill)] { fill(host); });
    return place.memory.bytes_as(dtype, shape);
}

Tensor constant_bytes(Device device, const void* bytes, size_t count) {
    CapturedStep::Record& record = record_of(device);
    const auto place = record.take(record.constant, count);
    if (count > 0) std::memcpy(place.host, bytes, count);
    return place.memory;
}

LiveDraw take_draw(Generator& generator, int64_t words, Device device) {
    if (!capturing(device)) {
        const Generator::Draw draw = generator.take(words);
        return {draw.seed, draw.offset, nullptr};
    }
    LiveDraw first{generator.seed, generator.offset, nullptr};
    const auto take = [&generator, words, seed = generator.seed](void* host) {
        const Generator::Draw draw = generator.take(words);
        check(draw.seed == seed, "captured step",
              "the generator has another seed than when it was captured: ", draw.seed, " instead of ", seed);
        std::memcpy(host, &draw.offset, sizeof draw.offset);
    };
    first.live =
        reinterpret_cast<const uint64_t*>(live_tensor({1}, DType::i64, device, take).data<int64_t>());
    return first;
}

LiveNumber::LiveNumber(std::function<double()> fn) : again(std::move(fn)) {
    check(again != nullptr, "capture", "a live number needs a function: got none");
    value = again();
}

const double* live_number(const LiveNumber& number, Device device) {
    if (!capturing(device) || !number.again) return nullptr;
    bool first = true;
    return live_tensor({1}, DType::f64, device,
                       [number, first](void* host) mutable {
                           const double now = first ? number.value : number.again();
                           first = false;
                           std::memcpy(host, &now, sizeof now);
                       })
        .data<double>();
}

void refuse_in_capture(Device device, const char* what) {
    if (!capturing(device)) [[likely]]
        return;
    const std::string op = innermost_scope();
    fail(op.empty() ? "captured step" : op, "a captured step cannot ", what, " ", device);
}

}  // namespace demi
