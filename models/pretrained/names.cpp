#include "models/pretrained/names.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "models/pretrained/group.h"
#include "models/pretrained/rules.h"

namespace demi {
namespace {

struct Builder {
    const CheckpointFile& file;
    NameMap& map;
    std::map<std::string, std::vector<std::string>> parts;  // our name -> names in the file, "" where none

    template <class... Parts> [[noreturn]] void refuse(const Parts&... text) const {
        fail("checkpoint", "'", file.path(), "': ", text...);
    }
    const Shape& shape(const std::string& name) const { return file.info(name).shape; }

    void put(const Place& place, const std::string& name) {
        std::vector<std::string>& names = parts[place.ours];
        names.resize(std::max(names.size(), static_cast<size_t>(place.parts)));
        std::string& slot = names[static_cast<size_t>(place.part)];
        if (!slot.empty() || names.size() != static_cast<size_t>(place.parts))
            refuse("'", name, "' and '", slot.empty() ? names[0] : slot,
                   "' are the same weights under two names");
        slot = name;
    }
    // Which kind of MLP it is decides what up and down are.
    void settle_mlp() {
        bool gated = false, packed = false;
        for (const auto& [ours, names] : parts) {
            gated = gated || ours.ends_with("mlp.w12.weight");
            if (!ours.ends_with("mlp.up.weight")) continue;
            const auto down = parts.find(ours.substr(0, ours.size() - 9) + "down.weight");
            packed = packed || (down != parts.end() && shape(names[0]).rank() == 2 &&
                                shape(down->second[0]).rank() == 2 &&
                                shape(names[0])[0] == 2 * shape(down->second[0])[1]);
        }
        const std::map<std::string, std::vector<std::string>> before = std::exchange(parts, {});
        for (const auto& [ours, names] : before) {
            std::string name = ours;
            const size_t up = name.find("mlp.up."), down = name.find("mlp.down.");
            if (up != std::string::npos) name.replace(up, 7, gated || packed ? "mlp.w12." : "mlp.fc1.");
            if (down != std::string::npos) name.replace(down, 9, gated || packed ? "mlp.w3." : "mlp.fc2.");
            const bool second = up != std::string::npos && gated;  // the half beside the gate
            for (size_t i = 0; i < names.size(); ++i)
                if (!names[i].empty())
                    put({name, second ? 1 : static_cast<int>(i), second ? 2 : static_cast<int>(names.size())},
                        names[i]);
        }
        if (packed) map.naming = WeightNaming::timm;
    }
    void join(const std::string& ours, const std::vector<std::string>& names) {
        MappedTensor t;
        const auto first =
            std::find_if(names.begin(), names.end(), [](const auto& name) { return !name.empty(); });
        t.shape = shape(*first);
        if (names.size() > 1) {
            if (t.shape.rank() < 1) refuse("'", *first, "' is a single number");
            t.shape[0] = 0;
        }
        for (const std::string& name : names) {
            const bool zeros = name.empty();
            if (zeros && !ours.ends_with("attn.qkv.bias"))
                refuse("beside '", *first, "' the other parts of ", ours, " are missing");
            const Shape& part = shape(zeros ? *first : name);
            if (names.size() > 1) {
                Shape rest = part, whole = t.shape;
                if (rest.rank() < 1 || (rest[0] = 0, whole[0] = 0, !(rest == whole)))
                    refuse("'", name, "' ", part, " cannot be joined with '", *first, "' ", shape(*first));
                t.shape[0] += part[0];
            }
            t.pieces.push_back({name, 0, part.numel()});
            map.masked_k = map.masked_k || (zeros && names.size() == 3 && &name == &names[1]);
        }
        map.tensors.emplace(ours, std::move(t));
    }
    // mask_token is [1, D] for us, [1, 1, D] for some; timm leaves out the class token's position where there are
    // registers: it has none.
    void reshape_tokens() {
        if (const auto mask = map.tensors.find("mask_token"); mask != map.tensors.end())
            mask->second.shape = {1, mask->second.shape.numel()};
        const auto found = map.tensors.find("pos_embed");
        if (found == map.tensors.end() || found->second.shape.rank() != 3) return;
        MappedTensor& positions = found->second;
        const auto side =
            static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(positions.shape[1]))));
        if (side * side != positions.shape[1]) return;
        positions.pieces.insert(positions.pieces.begin(), {"", 0, positions.shape[2]});
        positions.shape[1] += 1;
    }
    // Meta's DINOv3: ones for q and v, zeros for k, by which the bias is multiplied.
    void apply_bias_masks() {
        for (auto mask = parts.begin(); mask != parts.end();) {
            if (!mask->first.ends_with("attn.qkv.bias_mask")) {
                ++mask;
                continue;
            }
            const std::string bias = mask->first.substr(0, mask->first.size() - 5), name = mask->second[0];
            const std::vector<float> values = file.load(name).to_vector<float>();
            const size_t third = values.size() / 3;
            for (size_t i = 0; i < values.size(); ++i)
                if (values[i] != (i / std::max<size_t>(third, 1) == 1 ? 0.0f : 1.0f) ||
                    values.size() % 3 != 0)
                    refuse("'", name, "' must be 1 for q and v, 0 for k: got ", values[i], " at ", i);
            const auto found = map.tensors.find(bias);
            if (found == map.tensors.end() || found->second.shape != shape(name))
                refuse("'", name, "' has no bias of its shape");
            const auto count = static_cast<int64_t>(third);
            const std::string in_file = found->second.pieces[0].name;
            found->second.pieces = {{in_file, 0, count}, {"", 0, count}, {in_file, 2 * count, count}};
            map.masked_k = true;
            mask = parts.erase(mask);
        }
    }
};

bool is_head(std::string_view name) {
    const std::string_view first = name.substr(0, name.find('.'));
    return first.find("head") != std::string_view::npos || first == "classifier" || first == "last_layer";
}

std::string head_name(std::string name) {
    if (name.starts_with("classifier.")) name.replace(0, 10, "head");
    for (const auto& [theirs, ours] : {std::pair{"parametrizations.weight.original0", "weight_g"},
                                       std::pair{"parametrizations.weight.original1", "weight_v"}})
        if (name.ends_with(theirs))
            name.replace(name.size() - std::string_view(theirs).size(), std::string::npos, ours);
    return name;
}

}  // namespace

NameMap map_names(const CheckpointFile& file, const TensorGroup& group) {
    NameMap map;
    Builder builder{file, map, {}};
    const auto has = [&](const char* name) { return group.members.contains(name); };
    for (const auto& [name, in_file] : group.members) {
        if (const std::optional<Place> place = place_of(name))
            builder.put(*place, in_file);
        else if (is_head(name))
            map.heads[head_name(name)] = in_file;
        else
            map.unknown.push_back(in_file);
    }
    for (const auto& [name, in_file] : group.beside)
        if (is_head(name)) map.heads[head_name(name)] = in_file;
    if (has("embeddings.cls_token") || has("embeddings.patch_embeddings.weight"))
        map.naming = WeightNaming::hugging_face;
    else if (has("reg_token") || has("blocks.0.gamma_1") || has("blocks.0.attn.q_bias") ||
             (has("blocks.0.ls1.gamma") && !has("mask_token")))
        map.naming = WeightNaming::timm;
    builder.settle_mlp();
    for (const auto& [ours, names] : builder.parts)
        if (!ours.ends_with("bias_mask")) builder.join(ours, names);
    builder.apply_bias_masks();
    builder.reshape_tokens();
    map.dinov3 = has("rope_embed.periods") || has("storage_tokens") ||
                 has("embeddings.patch_embeddings.weight") || has("blocks.0.gamma_1") ||
                 file.metadata().contains("rope_base");
    return map;
}

const MappedTensor* find_mapped(const NameMap& map, const std::string& name, MappedTensor& half) {
    const auto at = [&](const std::string& key) {
        const auto found = map.tensors.find(key);
        return found == map.tensors.end() ? nullptr : &found->second;
    };
    if (const MappedTensor* found = at(name)) return found;
    if (name == "storage_tokens") return at("register_tokens");
    for (const auto& [which, text] : {std::pair{0, ".mlp.w1."}, std::pair{1, ".mlp.w2."}}) {
        const size_t where = name.find(text);
        if (where == std::string::npos) continue;
        const MappedTensor* whole = at(std::string(name).replace(where, 8, ".mlp.w12."));
        if (whole == nullptr || whole->shape.rank() < 1 || whole->shape[0] % 2 != 0) return nullptr;
        half.shape = whole->shape;
        half.shape[0] /= 2;
        const int64_t count = half.shape.numel();
        half.pieces = {whole->pieces.size() == 2 ? whole->pieces[static_cast<size_t>(which)]
                                                 : WeightPiece{whole->pieces[0].name, which * count, count}};
        return &half;
    }
    return nullptr;
}

}  // namespace demi
