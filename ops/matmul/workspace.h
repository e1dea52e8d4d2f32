#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

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
    ~Workspace() { std::free(data_); }

    float* data() { return data_; }
    const float* data() const { return data_; }

    float* reserve(int64_t floats) {
        if (floats <= size_) return data_;
        std::free(std::exchange(data_, nullptr));
        size_ = 0;
        const std::size_t bytes = (static_cast<std::size_t>(floats) * sizeof(float) + 63) / 64 * 64;
        data_ = static_cast<float*>(std::aligned_alloc(64, bytes));
        if (data_ == nullptr) throw std::bad_alloc();
        size_ = floats;
        return data_;
    }

  private:
    float* data_ = nullptr;
    int64_t size_ = 0;
};

}  // namespace demi
