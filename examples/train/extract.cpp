#include "examples/train/extract.h"

#include <cstdio>
#include <sstream>

#include "autograd/grad_mode.h"
#include "examples/common/device.h"
#include "examples/common/files.h"
#include "examples/common/text.h"
#include "examples/data/batches.h"
#include "examples/data/open.h"
#include "examples/train/model_file.h"
#include "ops/reduce/reduce.h"
#include "ops/views/concat.h"
#include "runtime/atomic_file.h"
#include "runtime/copy.h"

namespace demi::examples {

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
static data::ChannelStats stats_for(const WeightsConfig& config, const data::DataSet& pictures) {
    if (const auto stats = stats_of(config)) return *stats;
    if (pictures.channels() != 3) return data::channel_stats(pictures);
    return kImagenetColours;
}

void extract_features(const ExtractOptions& options) {
    const NoGrad no_grad;
    const bool npy = options.out.ends_with(".npy");
    check(npy || options.out.ends_with(".safetensors"), "extract",
          "--out must end in .safetensors or .npy: got '", options.out, "'");
    make_parent_folders(options.out);
    { const AtomicFile probe(options.out); }  // better refused now than after the work
    const Device device = usable_device(options.device);
    const Pretrained weights(options.checkpoint, {options.heads, options.key, !options.ignore_crc});
    const ViTConfig config = vit_config(weights.config());
    check(options.layers <= config.depth, "extract", "--layers must be at most the ", config.depth,
          " blocks of '", options.checkpoint, "': got ", options.layers);
    DinoVisionTransformer model = load_backbone(weights, options.partial);
    to_device(model, device);

    data::OpenOptions open;
    open.image_size = options.image_size > 0 ? options.image_size : config.img_size;
    open.channels = config.in_chans;
    if (options.split.empty()) open.test_fraction = 0;  // no part is set apart
    open.upright = options.exif_orientation;
    open.skip_broken = options.skip_broken;
    const data::OpenedData opened = data::open_dataset(options.data, open);
    if (!opened.layout.empty()) std::printf("layout: %s\n", valid_utf8(opened.layout).c_str());
    for (const std::string& note : opened.notes) std::printf("%s\n", valid_utf8(note).c_str());
    std::fflush(stdout);
    const data::DataSetPtr set = options.split == "train" || !opened.test ? opened.train : opened.test;
    const data::ChannelStats stats = stats_for(weights.config(), *opened.train);
    ForwardContext context;
    context.precision = parse_precision(options.precision);
    context.boundary.mode = parse_boundary_mode(options.boundary);
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
        // Names in other encodings must not cost the result.
        Metadata metadata{{"checkpoint", valid_utf8(options.checkpoint)},
                          {"split", options.split.empty() ? "all" : options.split}};
        if (opened.kind == "images" && set == opened.train && !opened.test)
            for (const std::string& file : opened.files) metadata["files"] += valid_utf8(file) + "\n";
        for (size_t i = 0; i < set->classes().size(); ++i)
            metadata["class." + std::to_string(i)] = valid_utf8(set->classes()[i]);
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
