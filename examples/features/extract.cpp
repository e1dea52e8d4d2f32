#include "examples/features/extract.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <optional>

#include "autograd/grad_mode.h"
#include "examples/common/device.h"
#include "examples/common/files.h"
#include "examples/common/progress.h"
#include "examples/common/signals.h"
#include "examples/common/text.h"
#include "examples/data/loader.h"
#include "examples/features/partial.h"
#include "examples/features/plan.h"
#include "examples/features/source.h"
#include "examples/features/write.h"
#include "examples/train/distill.h"
#include "examples/train/model_file.h"
#include "models/state.h"
#include "runtime/atomic_file.h"
#include "runtime/copy.h"

namespace demi::examples {
namespace {

// Better refused now than after the work.
void try_output(const ExtractOptions& options, const FeaturePlan& plan) {
    make_parent_folders(options.out);
    for (const std::string& file : feature_files(options.out, plan)) {
        check(!std::filesystem::is_directory(file), "extract", file, ": a folder is in the way");
        const AtomicFile probe(file);
    }
}

// As in training, where the checkpoint says it; DINOv2's own networks have seen ImageNet's colours.
data::ChannelStats stats_for(const WeightsConfig& config, const data::DataSet& pictures) {
    if (const auto stats = stats_of(config)) return *stats;
    if (pictures.channels() != 3) return data::channel_stats(pictures);
    return kImagenetColours;
}

Record settings_of(const ExtractOptions& options, const FeaturePlan& plan, const PictureSource& source,
                   uint64_t weights) {
    Record r;
    r.add("data", std::to_string(source.fingerprint())).add("pictures", source.size());
    r.add("weights", std::to_string(weights))
        .add("layers", plan.columns)
        .add("preprocessing", plan.preprocessing);
    r.add("precision", options.precision).add("boundary", options.boundary);
    for (const FeatureOutput& o : plan.outputs) r.add(o.name, o.shape.numel());
    return r;
}

// Reads and frames the pictures of a batch on the loader's threads. Those of one size, one behind the other, are a part
// of the batch; broken ones are none where they may be skipped.
class Reader {
  public:
    Reader(const PictureSource& source, const FeaturePlan& plan, bool skip)
        : source_(source), plan_(plan), skip_(skip) {}

    void operator()(data::Batch& batch) {
        std::vector<data::Image> images;
        std::vector<int64_t> numbers;
        const auto close = [&] {
            if (images.empty()) return;
            data::Batch part;
            const data::Image& first = images[0];
            const int64_t each = first.channels * first.height * first.width;
            part.images = Tensor::empty({std::ssize(images), first.channels, first.height, first.width});
            auto* out = part.images.mutable_data<float>();
            for (size_t i = 0; i < images.size(); ++i)
                data::normalize(images[i], plan_.stats, out + static_cast<int64_t>(i) * each);
            part.indices = std::move(numbers);
            batch.parts.push_back(std::move(part));
            images.clear();
            numbers.clear();
        };
        for (const int64_t index : batch.indices) {
            std::optional<data::Image> image = read(index);
            if (!image) continue;
            if (!images.empty() && (images[0].height != image->height || images[0].width != image->width))
                close();
            images.push_back(std::move(*image));
            numbers.push_back(index);
        }
        close();
    }

    std::vector<std::string> broken() const {
        const std::lock_guard lock(mutex_);
        return broken_;
    }

  private:
    std::optional<data::Image> read(int64_t index) {
        try {
            return source_.image(index);
        } catch (const Error& error) {
            if (!skip_) fail("extract", error.what(), " (--skip-broken leaves such pictures out)");
            const std::lock_guard lock(mutex_);
            broken_.push_back(error.what());
            return std::nullopt;
        }
    }

    const PictureSource& source_;
    const FeaturePlan& plan_;
    const bool skip_;
    mutable std::mutex mutex_;
    std::vector<std::string> broken_;
};

// False where a signal asked to stop.
bool compute(const DinoVisionTransformer& model, const ExtractOptions& options, const FeaturePlan& plan,
             const PictureSource& source, PartialFile& partial, Device device, const StopSignals& stop) {
    ForwardContext context;
    context.precision = parse_precision(options.precision);
    context.boundary.mode = parse_boundary_mode(options.boundary);
    const int64_t patch = model.config().patch_size;
    const int64_t patches = plan.framing.height / patch * (plan.framing.width / patch);
    data::LoaderOptions order;
    order.batch = options.batch > 0 ? options.batch : std::clamp<int64_t>(2048 / patches, 1, 64);
    order.shuffle = order.drop_last = false;
    order.epochs = 1;
    order.threads = static_cast<int>(options.workers);
    order.ahead = options.workers + 1;
    // A batch that was done in part is computed again as a whole: the same bits as without the stop.
    const int64_t next = partial.pictures().empty() ? 0 : partial.pictures().back() + 1;
    if (next >= source.size()) return true;
    order.start.batch = next / order.batch;
    Reader reader(source, plan, options.skip_broken);
    Progress progress;
    {
        data::Loader loader(
            source.size(), [&](data::Batch& batch) { reader(batch); }, order);
        ProgressState state;
        state.total = source.size();
        for (data::Batch batch; !stop.requested() && loader.next(batch);) {
            for (const data::Batch& part : batch.parts) {
                const Tensor rows = compute_features(model, part.images.to(device), plan, options, context);
                check(all_finite(rows), "extract", "features of ", source.name(part.indices[0]),
                      " or of the ", part.indices.size() - 1, " pictures behind it hold NaN or infinity in ",
                      options.precision);
                int64_t done = 0;  // by an earlier process
                while (done < std::ssize(part.indices) && part.indices[static_cast<size_t>(done)] < next)
                    ++done;
                if (done < rows.size(0))
                    partial.append(std::span(part.indices).subspan(static_cast<size_t>(done)),
                                   rows.slice(0, done, rows.size(0)));
            }
            state.step = batch.indices.back() + 1;
            state.images = state.step - next;
            progress.update(state);
            if (options.watch) options.watch(state.step, state.total);
        }
    }
    progress.finish();
    for (const std::string& why : reader.broken()) std::printf("skipped: %s\n", valid_utf8(why).c_str());
    return !stop.requested();
}

std::string skipped_files(const PictureSource& source, const PartialFile& partial) {
    std::string list;
    size_t at = 0;
    for (int64_t i = 0; i < source.size(); ++i)
        if (at < partial.pictures().size() && partial.pictures()[at] == i)
            ++at;
        else
            list += (list.empty() ? "" : ", ") + json_quote(valid_utf8(source.name(i)));
    return "[" + list + "]";
}

}  // namespace

int extract_features(const ExtractOptions& options) {
    const NoGrad no_grad;
    check(options.out.ends_with(".npy") || options.out.ends_with(".safetensors"), "extract",
          "--out must end in .safetensors or .npy: got '", options.out, "'");
    const Device device = usable_device(options.device);
    const Pretrained weights(options.checkpoint, {options.heads, options.key, !options.ignore_crc});
    const ViTConfig config = vit_config(weights.config());
    const int64_t trained = weights.config().image_size;
    FeaturePlan plan = make_plan(options, config, trained > 0 ? trained : config.img_size);
    try_output(options, plan);
    check(options.data == "drawn" || options.data == "-" || exists(options.data), "data", options.data,
          ": no such file or folder");
    DinoVisionTransformer model = load_backbone(weights, options.partial);
    const uint64_t hash = parameters_hash(parameters_of(model));
    to_device(model, device);

    const PictureSource source({options.data, options.split, config.in_chans, options.exif_orientation,
                                options.skip_broken, plan.framing});
    for (const std::string& note : source.notes()) std::printf("%s\n", valid_utf8(note).c_str());
    set_stats(plan, stats_for(weights.config(), source.first()), options);
    PartialFile partial(options.out + ".partial", settings_of(options, plan, source, hash), plan.values,
                        options.resume);
    if (!partial.pictures().empty())
        std::printf("%s: goes on behind %zu pictures that are done\n", partial.path().c_str(),
                    partial.pictures().size());
    std::fflush(stdout);
    const StopSignals stop;
    if (!compute(model, options, plan, source, partial, device, stop)) {
        std::printf("stopped: %zu of %lld pictures are kept in %s; the same command goes on\n",
                    partial.pictures().size(), static_cast<long long>(source.size()), partial.path().c_str());
        return stop.exit_status();
    }
    const int64_t done = std::ssize(partial.pictures()), skipped = source.size() - done;
    check(done > 0, "extract", options.data, ": all ", skipped, " pictures are broken");
    write_features(options.out, partial, plan, source,
                   {{"program", "extract_features"},
                    {"checkpoint", options.checkpoint},
                    {"data", options.data},
                    {"columns", plan.columns},
                    {"preprocessing", plan.preprocessing},
                    {"precision", options.precision},
                    {"boundary", options.boundary},
                    {"skipped", skipped_files(source, partial)}});
    partial.remove();
    for (const FeatureOutput& o : plan.outputs) {
        std::printf("%s: %s [%lld", options.out.c_str(), o.name.c_str(), static_cast<long long>(done));
        for (int64_t size : o.shape) std::printf(", %lld", static_cast<long long>(size));
        std::printf("] of %s\n", options.data.c_str());
    }
    if (skipped > 0) std::printf("%lld broken pictures skipped\n", static_cast<long long>(skipped));
    return 0;
}

}  // namespace demi::examples
