#pragma once
// Internal: which of our tensors one of a file's is, or a part of.
#include <optional>
#include <string>
#include <string_view>

namespace demi {

struct Place {
    std::string ours;  // "blocks.7.attn.qkv.weight"
    int part = 0, parts = 1;
};

// The name without prefix, by any of the three; nothing where it is none of theirs. Numbers of block chunks are left out. Of an
// MLP only "up" and "down" are known here, as blocks.7.mlp.up.weight.
std::optional<Place> place_of(std::string_view name);

}  // namespace demi
