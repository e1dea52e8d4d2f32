#pragma once
// Shape: up to eight sizes held inline; also used for strides (in elements). Broadcasting aligns at the last
// dimension; a size of 1 stretches.
#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <span>
#include <string_view>

namespace demi {

class Shape {
  public:
    static constexpr int kMaxRank = 8;

    Shape() = default;
    Shape(std::initializer_list<int64_t> sizes);
    explicit Shape(std::span<const int64_t> sizes);

    int rank() const { return rank_; }
    int64_t operator[](int i) const { return sizes_[at(i)]; }  // i in [0, rank); throws otherwise
    int64_t& operator[](int i) { return sizes_[at(i)]; }
    int64_t back() const;  // the last size; throws for rank 0
    const int64_t* begin() const { return sizes_.data(); }
    const int64_t* end() const { return sizes_.data() + rank_; }
    int64_t numel() const;  // product of the sizes, 1 for rank 0; throws when it does not fit 64 bits

    void push_back(int64_t size);
    void insert(int dim, int64_t size);
    void erase(int dim);

    bool operator==(const Shape& other) const;

  private:
    size_t at(int i) const {
        if (i < 0 || i >= rank_) [[unlikely]]
            no_dimension(i);
        return static_cast<size_t>(i);
    }
    [[noreturn]] void no_dimension(int i) const;

    std::array<int64_t, kMaxRank> sizes_{};
    int rank_ = 0;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape);  // (2, 3, 4)

Shape contiguous_strides(const Shape& shape);  // all 1 where there is no element
// The broadcast shape of two; throws Error(op) naming both when they do not fit.
Shape broadcast(const Shape& a, const Shape& b, std::string_view op);
// dim in [-rank, rank) -> [0, rank); throws Error(op) otherwise.
int normalize_dim(int dim, int rank, std::string_view op);

inline constexpr int64_t kToEnd = INT64_MAX;  // the end of a slice that goes as far as its dimension
struct SliceRange {
    int64_t begin, end;
};
// [begin, end) within dimension `dim` of `shape`, where negative places count from the end and kToEnd is the
// end. Throws Error(op) unless 0 <= begin <= end <= size then: nothing is clamped.
SliceRange normalize_range(int64_t begin, int64_t end, int dim, const Shape& shape, std::string_view op);

}  // namespace demi
