#include "examples/data/drawn.h"

#include "examples/data/hash.h"
#include "examples/data/scene.h"
#include "examples/data/shapes.h"
#include "runtime/check.h"

namespace demi::data {

DrawnDataSet::DrawnDataSet(int64_t count, Split split, uint64_t seed, int64_t image_size)
    : count_(count), split_(split), seed_(seed), image_size_(image_size) {
    check(count > 0, "data", "the drawn data set needs at least one image, got ", count);
    check(image_size >= 8 && image_size <= 1024, "data", "drawn images have a size from 8 to 1024, got ",
          image_size);
}

const std::vector<std::string>& DrawnDataSet::classes() const { return figure_names(); }

Sample DrawnDataSet::sample(int64_t index) const {
    const int64_t figure = label(index);
    KeyedRng rng(seed_, Purpose::draw, static_cast<uint64_t>(split_), static_cast<uint64_t>(index));
    return {draw_scene(figure, image_size_, rng), figure};
}

int64_t DrawnDataSet::label(int64_t index) const {
    check(index >= 0 && index < count_, "data", "sample ", index, " is out of range [0, ", count_, ")");
    return index % static_cast<int64_t>(figure_names().size());
}

uint64_t DrawnDataSet::fingerprint() const {
    Hash hash;
    hash.add("drawn")
        .add(count_)
        .add(static_cast<int64_t>(split_))
        .add(static_cast<int64_t>(seed_))
        .add(image_size_);
    const Image first = sample(0).image;  // stands for the way of drawing
    return hash.add(first.pixels.data(), first.pixels.size()).value();
}

}  // namespace demi::data
