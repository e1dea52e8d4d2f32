#pragma once
// Files and folders of weights, read lazily: one tensor at a time, by name.
//   .safetensors            one file
//   a Hugging Face folder   model.safetensors or pytorch_model.bin, or shards and their index; config.json
//   .pth, .pt, .ckpt, .bin  of torch.save since PyTorch 1.6: a ZIP archive with a pickle, which is read as data: nothing
//                           in it is run. Dicts in dicts become names with dots: "teacher.backbone.cls_token".
// The content decides, never the name of the file. What is something else (an older format, a pickled module, a web page, a
// Git LFS pointer, ...) is refused by what it is, with the way out. Nothing that a file says of itself is
// believed: sizes, offsets, strides and checksums are checked, and memory is taken for what is really there.
#include <memory>
#include <string>
#include <vector>

#include "runtime/safetensors.h"

namespace demi {

class CheckpointSource;

class CheckpointFile {
  public:
    struct Info {
        std::string dtype;  // as safetensors names it: "F32", "BF16", ...
        Shape shape;
    };

    const std::string& path() const;
    const std::string& format() const;              // "safetensors", "PyTorch", "Hugging Face folder"
    const std::vector<std::string>& names() const;  // sorted
    bool contains(const std::string& name) const;
    const Info& info(const std::string& name) const;
    // On the CPU, contiguous, in the file's dtype. Throws where its data is damaged or demi has no such dtype.
    Tensor load(const std::string& name) const;
    const Metadata& metadata() const;         // of a safetensors file
    const std::string& config() const;        // the text of a Hugging Face config.json, or ""
    const std::string& preprocessor() const;  // of its preprocessor_config.json, or ""
    // Names under which a .pth holds Python objects instead of tensors, and their classes.
    const Metadata& objects() const;

  private:
    friend CheckpointFile open_checkpoint(const std::string& path, bool check_sums);
    explicit CheckpointFile(std::shared_ptr<const CheckpointSource> source) : source_(std::move(source)) {}
    std::shared_ptr<const CheckpointSource> source_;
};

// check_sums: CRC-32 of every storage of a .pth; off for files that were written without.
CheckpointFile open_checkpoint(const std::string& path, bool check_sums = true);

}  // namespace demi
