#pragma once
// Files of torch.save by hand: ZIP archives and pickles, right ones and such as torch would never write.
#include <map>
#include <string>
#include <vector>

#include "runtime/tensor.h"

namespace demi::test {

std::string little(uint64_t value, size_t bytes);

struct ZipPart {
    std::string name, data;
    int method = 0, flags = 0;
    std::string local_name = {};  // "": the same
    int64_t crc = -1;             // -1: the right one
    int64_t size = -1;            // in the directory; -1: the right one
};
struct ZipForm {
    size_t align = 64;        // 0: no padding
    bool wide = false;        // ZIP64 records
    bool descriptors = true;  // sizes behind the data
    std::string comment = {};
};
std::string zip_of(const std::vector<ZipPart>& parts, const ZipForm& form = {});

// Pickle's opcodes, protocol 2.
std::string p_text(const std::string& text);
std::string p_int(int64_t value);
std::string p_tuple(const std::vector<std::string>& items);
std::string p_dict(const std::vector<std::pair<std::string, std::string>>& items);  // of texts
std::string p_global(const std::string& module, const std::string& name);
std::string p_call(const std::string& module, const std::string& name, const std::string& arguments);
std::string p_storage(const std::string& type, const std::string& key, int64_t numel);
std::string p_tensor(const std::string& storage, int64_t offset, const std::vector<int64_t>& shape,
                     const std::vector<int64_t>& strides);
inline std::string pickle_of(const std::string& body) { return "\x80\x02" + body + "."; }

// The storage class of a dtype: "FloatStorage".
std::string storage_type(DType dtype);

// What torch.save writes of a dict; names with dots stay one key.
class TorchWriter {
  public:
    std::string add(const Tensor& tensor);              // its pickle; the data becomes a storage of its own
    std::string add_storage(const std::string& bytes);  // its key
    std::string file(const std::string& body, const ZipForm& form = {}) const;
    std::vector<ZipPart> parts(const std::string& pickle) const;

  private:
    std::vector<std::string> storages_;
};
std::string torch_file(const std::vector<std::pair<std::string, Tensor>>& tensors);

}  // namespace demi::test
