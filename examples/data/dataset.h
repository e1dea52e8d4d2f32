#pragma once
// A data set: labelled pictures that can be asked for in any order and from any thread.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "examples/data/image.h"

namespace demi::data {

class DataSet {
  public:
    virtual ~DataSet() = default;

    virtual int64_t size() const = 0;
    virtual const std::vector<std::string>& classes() const = 0;
    // Thread-safe; index in [0, size()). The image is [height(), width(), channels()].
    virtual Sample sample(int64_t index) const = 0;
    virtual int64_t label(int64_t index) const = 0;
    // The path of the sample's file where it has one of its own, else empty.
    virtual std::string source(int64_t /*index*/) const { return {}; }

    virtual int64_t height() const = 0;
    virtual int64_t width() const = 0;
    virtual int64_t channels() const = 0;

    // The same number for the same content; a resumed run compares it. Folders hash names and sizes of files.
    virtual uint64_t fingerprint() const = 0;

  protected:
    DataSet() = default;
    DataSet(const DataSet&) = default;
    DataSet& operator=(const DataSet&) = default;
};

using DataSetPtr = std::shared_ptr<const DataSet>;

}  // namespace demi::data
