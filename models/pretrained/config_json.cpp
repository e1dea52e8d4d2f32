#include "models/pretrained/config_json.h"

#include <algorithm>
#include <stdexcept>

#include "runtime/json.h"

namespace demi {
namespace {

struct JsonConfig {
    const std::string& path;
    const char* file;
    Json json;

    JsonConfig(const std::string& checkpoint, const char* name, const std::string& text)
        : path(checkpoint), file(name) {
        try {
            json = parse_json(text, 16);
        } catch (const std::runtime_error& error) {
            refuse(error.what());
        }
        if (!json.is(Json::Kind::object)) refuse("is not a JSON object");
    }

    template <class... Parts> [[noreturn]] void refuse(const Parts&... parts) const {
        fail("checkpoint", "'", path, "': ", file, ": ", parts...);
    }
    const Json* find(const char* key) const {
        const Json* value = json.find(key);
        return value == nullptr || value->is(Json::Kind::null) ? nullptr : value;
    }
    // 0 where it is not said.
    int64_t integer(const char* key) const {
        const Json* value = find(key);
        if (value == nullptr) return 0;
        if (!value->is(Json::Kind::natural) || value->natural > 1'000'000)
            refuse(key, " must be a whole number: got ", value->dump());
        return static_cast<int64_t>(value->natural);
    }
    double real(const Json& value, const char* key) const {
        if (value.is(Json::Kind::real)) return value.real;
        if (value.is(Json::Kind::natural)) return static_cast<double>(value.natural);
        if (value.is(Json::Kind::integer)) return static_cast<double>(value.integer);
        refuse(key, " must be a number: got ", value.dump());
    }
    void agree(const char* key, int64_t found) const {
        const int64_t said = integer(key);
        if (said != 0 && said != found) refuse(key, " is ", said, ", but the tensors have ", found);
    }
};

std::optional<std::array<double, 3>> three(const JsonConfig& reader, const Json* from, const char* key) {
    const Json* list = from == nullptr ? nullptr : from->find(key);
    if (list == nullptr || !list->is(Json::Kind::list) || list->items.size() != 3) return {};
    std::array<double, 3> values{};
    for (size_t i = 0; i < 3; ++i) values[i] = reader.real(list->items[i], key);
    return values;
}

}  // namespace

void read_config_json(const std::string& path, const std::string& text, WeightsConfig& c) {
    const JsonConfig reader{path, "config.json", text};
    reader.agree("hidden_size", c.width);
    reader.agree("num_hidden_layers", c.depth);
    reader.agree("patch_size", c.patch);
    reader.agree("num_channels", c.channels);
    reader.agree("intermediate_size", c.ffn_hidden);
    if (reader.find("num_register_tokens") != nullptr && c.registers == 0)
        reader.agree("num_register_tokens", 0);
    if (const int64_t heads = reader.integer("num_attention_heads"); heads > 0) {
        c.heads = heads;
        c.heads_from = "config.json";
    }
    if (const Json* eps = reader.find("layer_norm_eps")) c.norm_eps = reader.real(*eps, "layer_norm_eps");
    if (!(c.norm_eps > 0 && c.norm_eps < 1))
        reader.refuse("layer_norm_eps must lie in (0, 1): got ", c.norm_eps);
    if (const Json* base = reader.find("rope_theta")) c.rope_base = reader.real(*base, "rope_theta");
    if (const Json* act = reader.find("hidden_act"))
        if (act->text != "gelu" && !(c.swiglu && act->text == "silu"))
            reader.refuse("hidden_act ", act->dump(),
                          " is not what demi computes: gelu, or silu with a gate");
    if (const Json* names = reader.find("id2label"); names != nullptr && names->is(Json::Kind::object))
        while (const Json* name = names->find(std::to_string(c.classes.size()).c_str()))
            c.classes.push_back(name->text);
    // timm's
    const Json* timm = reader.find("pretrained_cfg");
    c.mean = c.mean ? c.mean : three(reader, timm, "mean");
    c.std = c.std ? c.std : three(reader, timm, "std");
    if (c.mean.has_value() != c.std.has_value()) c.mean = c.std = {};
}

void read_preprocessor_json(const std::string& path, const std::string& text, WeightsConfig& c) {
    const JsonConfig reader{path, "preprocessor_config.json", text};
    const auto mean = three(reader, &reader.json, "image_mean"),
               std = three(reader, &reader.json, "image_std");
    if (!mean || !std) return;
    c.mean = mean;
    c.std = std;
    if (const Json* crop = reader.find("crop_size"); crop != nullptr && crop->is(Json::Kind::object))
        if (const Json* side = crop->find("height"); side != nullptr && side->is(Json::Kind::natural))
            c.image_size = static_cast<int64_t>(std::min<uint64_t>(side->natural, 65536));
}

}  // namespace demi
