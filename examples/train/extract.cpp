#include "examples/train/extract.h"

#include <cmath>
#include <cstdio>
#include <sstream>

#include "autograd/grad_mode.h"
#include "examples/common/device.h"
#include "examples/data/batches.h"
#include "examples/data/folder.h"
#include "examples/data/open.h"
#include "examples/train/model_file.h"
#include "models/checkpoint.h"
#include "models/state.h"
#include "ops/reduce/reduce.h"
#include "ops/views/concat.h"
#include "runtime/atomic_file.h"
#include "runtime/copy.h"

namespace demi::examples {

ViTConfig config_of_checkpoint(const SafetensorsFile& file, int64_t heads, std::string& prefix) {
    const std::string key = "patch_embed.proj.weight";
    std::string found;
    for (const std::string& name : file.names())
        if (name.ends_with(key) && name.find("optimizer.") == std::string::npos &&
            (found.empty() || name.size() < found.size()))
            found = name;
    check(!found.empty(), "checkpoint", "'", file.path(), "' holds no vision transformer: it has no '", key,
          "'");
    prefix = found.substr(0, found.size() - key.size());
    const Shape patch = file.info(found).shape;
    check(patch.rank() == 4 && patch[2] == patch[3], "checkpoint", "'", file.path(), "': ", found,
          " must be [D, C, p, p]: got ", patch);
    ViTConfig c;
    c.embed_dim = patch[0];
    c.in_chans = patch[1];
    c.patch_size = patch[2];
    const Shape positions = file.info(prefix + "pos_embed").shape;
    check(positions.rank() == 3, "checkpoint", "'", file.path(), "': pos_embed must be [1, 1 + N, D]: got ",
          positions);
    const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(positions[1] - 1))));
    check(side * side + 1 == positions[1], "checkpoint", "'", file.path(),
          "': pos_embed of a square grid is needed: got ", positions);
    c.img_size = side * c.patch_size;
    c.depth = 0;
    for (const std::string& name : file.names())
        if (name.starts_with(prefix + "blocks.") && name.ends_with("norm1.weight")) ++c.depth;
    const auto with_end = [&](const char* end) {
        for (const std::string& name : file.names())
            if (name.starts_with(prefix + "blocks.") && name.ends_with(end)) return name;
        return std::string();
    };
    if (!with_end("ls1.gamma").empty()) c.init_values = 1.0;
    if (const std::string w12 = with_end("mlp.w12.weight"); !w12.empty()) {
        c.ffn_layer = "swiglufused";
        const int64_t hidden = file.info(w12).shape[0] / 2;
        // the smallest ratio whose rounded two thirds give this hidden size
        for (int64_t full = hidden; full <= 2 * hidden; ++full)
            if ((full * 2 / 3 + 7) / 8 * 8 == hidden) {
                c.mlp_ratio = (static_cast<double>(full) + 0.5) / static_cast<double>(c.embed_dim);
                break;
            }
    } else if (const std::string fc1 = with_end("mlp.fc1.weight"); !fc1.empty()) {
        c.mlp_ratio = (static_cast<double>(file.info(fc1).shape[0]) + 0.5) / static_cast<double>(c.embed_dim);
    }
    c.qkv_bias = !with_end("attn.qkv.bias").empty();
    c.proj_bias = !with_end("attn.proj.bias").empty();
    if (file.contains(prefix + "register_tokens"))
        c.num_register_tokens = file.info(prefix + "register_tokens").shape[1];
    if (c.num_register_tokens > 0) {
        c.interpolate_antialias = true;
        c.interpolate_offset = 0;
    }
    c.num_heads = std::max<int64_t>(c.embed_dim / 64, 1);  // so in DINOv2's four sizes
    read_model_metadata(file.metadata(), c);
    if (heads > 0) c.num_heads = heads;
    check(c.embed_dim % c.num_heads == 0, "checkpoint", "width ", c.embed_dim, " is no multiple of ",
          c.num_heads, " heads; say --heads");
    return c;
}

static Tensor features_of(const DinoVisionTransformer& model, const Tensor& images,
                          const ExtractOptions& options, const ForwardContext& context) {
    std::vector<int64_t> layers;
    for (int64_t i = options.layers; i >= 1; --i) layers.push_back(-i);
    std::vector<Variable> parts;
    const auto found = model.get_intermediate_layers(Variable(images), context, layers);
    for (const auto& layer : found) parts.push_back(layer.cls_token);
    if (options.patch_mean) parts.push_back(mean(found.back().patches, {1}));
    return concat(parts, 1).value().to(Device::cpu());
}

// As in training, where the checkpoint says it; DINOv2's own networks have seen ImageNet's colours.
static data::ChannelStats stats_for(const SafetensorsFile& file, const data::DataSet& pictures) {
    if (const auto stats = stats_of(file.metadata())) return *stats;
    if (pictures.channels() != 3) return data::channel_stats(pictures);
    return {{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
}

// One line per picture, in the order of the features.
static std::string file_list(const std::string& folder) {
    std::string text;
    for (const data::FolderFile& file : data::list_folder(folder).files)
        text += file.path.lexically_relative(folder).string() + "\n";
    return text;
}

void extract_features(const ExtractOptions& options) {
    const NoGrad no_grad;
    const bool npy = options.out.ends_with(".npy");
    check(npy || options.out.ends_with(".safetensors"), "extract",
          "--out must end in .safetensors or .npy: got '", options.out, "'");
    const Device device = usable_device(options.device);
    const SafetensorsFile file(options.checkpoint);
    std::string prefix;
    const ViTConfig config = config_of_checkpoint(file, options.heads, prefix);
    Generator generator;
    DinoVisionTransformer model(config, generator);
    LoadOptions load;
    load.prefix = prefix;
    load.strict = false;
    const LoadReport report = load_state_dict(parameters_of(model), file, load);
    for (const std::string& name : report.missing)
        check(name == "mask_token", "checkpoint", "'", file.path(), "' lacks ", prefix, name);
    check_finite(parameters_of(model), file.path());
    check(options.layers <= config.depth, "extract", "--layers must be at most the ", config.depth,
          " blocks of '", file.path(), "': got ", options.layers);
    to_device(model, device);

    data::OpenOptions open;
    open.image_size = options.image_size > 0 ? options.image_size : config.img_size;
    open.channels = config.in_chans;
    if (options.split.empty()) open.test_fraction = 0;  // no part is set apart
    const data::OpenedData opened = data::open_dataset(options.data, open);
    const data::DataSetPtr set = options.split == "train" || !opened.test ? opened.train : opened.test;
    const data::ChannelStats stats = stats_for(file, *opened.train);
    ForwardContext context;
    context.precision = parse_precision(options.precision);
    Tensor rows;
    std::vector<int64_t> labels;
    for (int64_t begin = 0; begin < set->size(); begin += options.batch) {
        const data::Batch b =
            data::plain_batch(*set, stats, begin, std::min(begin + options.batch, set->size()));
        const Tensor part = features_of(model, b.images.to(device), options, context);
        check(all_finite(part), "extract", "features of the pictures from number ", begin,
              " on hold NaN or infinity in ", options.precision);
        if (!rows.defined()) rows = Tensor::empty({set->size(), part.size(1)});
        copy(rows.slice(0, begin, begin + part.size(0)), part);
        for (int64_t label : b.labels.to_vector<int64_t>()) labels.push_back(label);
    }
    if (npy) {
        write_npy(options.out, rows);
    } else {
        Metadata metadata{{"checkpoint", options.checkpoint},
                          {"split", options.split.empty() ? "all" : options.split}};
        if (opened.kind == "images" && set == opened.train && !opened.test)
            metadata["files"] = file_list(options.data);
        for (size_t i = 0; i < set->classes().size(); ++i)
            metadata["class." + std::to_string(i)] = set->classes()[i];
        write_safetensors(options.out, {{"features", rows}, {"labels", Tensor::from(labels, {set->size()})}},
                          metadata);
    }
    std::ostringstream shape;
    shape << rows.shape();
    std::printf("%s: features %s of %s\n", options.out.c_str(), shape.str().c_str(), options.data.c_str());
}

void write_npy(const std::string& path, const Tensor& tensor) {
    const Tensor flat = tensor.to(Device::cpu()).to(DType::f32).contiguous();
    std::ostringstream shape;
    for (int64_t size : flat.shape()) shape << size << ", ";
    std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + shape.str() + "), }";
    header.resize((header.size() + 11 + 63) / 64 * 64 - 11, ' ');
    header += '\n';
    AtomicFile file(path);
    file.write(std::string_view("\x93NUMPY\x01\x00", 8));
    const unsigned char length[2] = {static_cast<unsigned char>(header.size() & 0xff),
                                     static_cast<unsigned char>(header.size() >> 8)};
    file.write(length, 2);
    file.write(header);
    file.write(flat.raw(), static_cast<size_t>(flat.numel()) * sizeof(float));
    file.commit();
}

}  // namespace demi::examples
