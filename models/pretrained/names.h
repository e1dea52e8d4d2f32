#pragma once
// Names of DINOv2 and DINOv3 weights by Meta, Hugging Face and timm, as one naming: Meta's, as our parameters are called.
//   cls_token, register_tokens, mask_token, pos_embed, patch_embed.proj.*, blocks.N.{norm1,norm2}.*,
//   blocks.N.attn.{qkv,proj}.*, blocks.N.{ls1,ls2}.gamma, blocks.N.mlp.{fc1,fc2} or {w12,w3}.*, norm.*; DINOv3 too:
//   rope_embed.periods, cls_norm.*, local_cls_norm.*
#include <map>
#include <string>
#include <vector>

#include "runtime/shape.h"

namespace demi {

// A flat range of a file's tensor; an empty name stands for zeros.
struct WeightPiece {
    std::string name;
    int64_t begin = 0, count = 0;
};

// One tensor of ours: pieces of the file's, one behind the other in memory (q, k and v are qkv).
struct MappedTensor {
    Shape shape;
    std::vector<WeightPiece> pieces;
};

enum class WeightNaming { meta, hugging_face, timm };

struct NameMap {
    WeightNaming naming = WeightNaming::meta;
    bool dinov3 = false;
    bool masked_k = false;                        // the bias of keys is zero and stays so
    std::map<std::string, MappedTensor> tensors;  // by our names
    std::map<std::string, std::string> heads;     // "dino_head.mlp.0.weight" -> name in the file
    std::vector<std::string> unknown;             // the file's names that have no place
};

// storage_tokens are register_tokens and w1, w2 the halves of w12: what the map holds under either name, or nullptr.
const MappedTensor* find_mapped(const NameMap& map, const std::string& name, MappedTensor& half);

// "a, b, c, d, ... (17 in all)": for messages.
std::string list_names(const std::vector<std::string>& names);

}  // namespace demi
