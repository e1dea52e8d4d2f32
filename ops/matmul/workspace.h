#pragma once
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include "runtime/host_memory.h"

namespace demi {

// Memory for floats, aligned to 64 bytes, that grows and never shrinks. What it held is lost when it grows.
class Workspace {
  public:
    Workspace() = default;
    Workspace(Workspace&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    Workspace& operator=(Workspace&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;
    ~Workspace() { host_release(data_); }

    float* data() { return data_; }
    const float* data() const { return data_; }

    float* reserve(int64_t floats) {
        if (floats <= size_) return data_;
        host_release(std::exchange(data_, nullptr));
        size_ = 0;
        data_ = static_cast<float*>(host_allocate(static_cast<std::size_t>(floats) * sizeof(float)));
        if (data_ == nullptr) throw std::bad_alloc();
        size_ = floats;
        return data_;
    }

  private:
    float* data_ = nullptr;
    int64_t size_ = 0;
};

}  // namespace demi
