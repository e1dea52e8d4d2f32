#pragma once
// Weights of DINOv2 and DINOv3 as Meta, Hugging Face and timm give them out, or as our own programs write them:
//   const Pretrained weights("dinov2_vits14_pretrain.pth");
//   std::printf("%s", weights.describe().c_str());
//   SkipInit skip;  // no random numbers for what is loaded
//   DinoVisionTransformer model(vit_config(weights.config()), generator);
//   load_pretrained(parameters_of(model), weights);
#include "models/parameter.h"
#include "models/pretrained/config.h"
#include "runtime/checkpoint/checkpoint.h"

namespace demi {

struct PretrainedOptions {
    int64_t heads = 0;       // 0: what the file says, else a guess
    std::string key;         // what the prefix of the network begins with, where a file holds several
    bool check_sums = true;  // CRC-32 of a .pth
};

// A network found in a file: nothing but headers is read (and the few periods of rope).
class Pretrained {
  public:
    explicit Pretrained(const std::string& path, const PretrainedOptions& options = {});

    const CheckpointFile& file() const { return file_; }
    const WeightsConfig& config() const { return config_; }
    const NameMap& names() const { return names_; }
    const std::string& prefix() const { return prefix_; }  // "teacher.backbone."
    // What was found, in a few lines: family, prefix and what else the file holds; the model; where heads come from.
    std::string describe() const;

  private:
    CheckpointFile file_;
    std::string prefix_;
    std::vector<std::string> other_networks_;
    size_t elsewhere_ = 0;
    NameMap names_;
    WeightsConfig config_;
};

struct PretrainedReport {
    size_t loaded = 0;
    std::vector<std::string> kept;       // stay as initialised, as they may: heads, mask_token
    std::vector<std::string> missing;    // stay so as well: only with `partial`
    std::vector<std::string> left_over;  // the file's names without a place: only with `partial`
    std::vector<std::string>
        adapted;  // "pos_embed (grid 8 x 8 to 12 x 12)": what had another shape in the file
};

// Fills the parameters, one tensor of the file at a time. Their names may begin with "backbone."; heads are taken
// where the file has them in the same shape. For pictures of another size, another patch, and grey or RGB pictures,
// pos_embed and the patch embedding are brought into the model's shape (by the weights' own convention, and so that what
// the model says of a resized picture changes little). Refused before anything is changed: other shapes and, unless `partial`,
// names of the file without a place (but local_cls_norm, which only training needs, and rope_embed.periods, which are
// part of the configuration) and parameters that it lacks (but for heads and mask_token). NaN, infinity and damaged
// data are refused too; the parameters are undefined then.
PretrainedReport load_pretrained(const NamedParameters& parameters, const Pretrained& weights,
                                 bool partial = false);

// One tensor under our name, on the CPU, in the dtype of its pieces.
Tensor load_mapped(const CheckpointFile& file, const MappedTensor& tensor);

}  // namespace demi
