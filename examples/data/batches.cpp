#include "examples/data/batches.h"

#include "examples/data/mix.h"
#include "runtime/check.h"
#include "runtime/parallel.h"

namespace demi::data {
namespace {

Tensor room_for(int64_t count, const DataSet& data) {
    return Tensor::empty({count, data.channels(), data.height(), data.width()});
}

int64_t image_values(const DataSet& data) { return data.channels() * data.height() * data.width(); }

}  // namespace

MakeBatch supervised_batches(DataSetPtr data, const ChannelStats& stats, const AugmentOptions& options,
                             uint64_t seed, const MixOptions& mix) {
    check(data != nullptr, "data", "supervised batches need a data set");
    check(options.pad >= 0, "data", "the crop's padding must not be negative, got ", options.pad);
    check_options(mix);
    return [=](Batch& batch) {
        const auto count = static_cast<int64_t>(batch.indices.size());
        const auto epoch = static_cast<uint64_t>(batch.epoch);
        batch.images = room_for(count, *data);
        batch.labels = Tensor::empty({count}, DType::i64);
        auto* pixels = batch.images.mutable_data<float>();
        auto* labels = batch.labels.mutable_data<int64_t>();
        for (int64_t i = 0; i < count; ++i) {
            const int64_t index = batch.indices[static_cast<size_t>(i)];
            const Sample sample = data->sample(index);
            const KeyedRng rng(seed, Purpose::crop, epoch, static_cast<uint64_t>(index));
            augment(sample.image, options, stats, rng, pixels + i * image_values(*data));
            labels[i] = sample.label;
        }
        if (mix.any()) {
            KeyedRng rng(seed, Purpose::mix, epoch, static_cast<uint64_t>(batch.number));
            mix_batch(batch, static_cast<int64_t>(data->classes().size()), mix, rng);
        }
    };
}

MakeBatch multicrop_batches(DataSetPtr data, const ChannelStats& stats, const MulticropOptions& options,
                            uint64_t seed) {
    check(data != nullptr, "data", "multi-crop batches need a data set");
    check_options(options);
    return [=](Batch& batch) {
        const auto count = static_cast<int64_t>(batch.indices.size());
        const int64_t channels = data->channels();
        const int64_t big = channels * options.global_size * options.global_size;
        const int64_t little = channels * options.local_size * options.local_size;
        batch.global_crops = Tensor::empty({2 * count, channels, options.global_size, options.global_size});
        if (options.local_crops > 0)
            batch.local_crops = Tensor::empty(
                {options.local_crops * count, channels, options.local_size, options.local_size});
        batch.labels = Tensor::empty({count}, DType::i64);
        auto* global = batch.global_crops.mutable_data<float>();
        auto* local = options.local_crops > 0 ? batch.local_crops.mutable_data<float>() : nullptr;
        auto* labels = batch.labels.mutable_data<int64_t>();
        for (int64_t i = 0; i < count; ++i) {
            const int64_t index = batch.indices[static_cast<size_t>(i)];
            const Sample sample = data->sample(index);
            labels[i] = sample.label;
            for (int64_t view = 0; view < 2 + options.local_crops; ++view) {
                const KeyedRng rng(seed, Purpose::crop, static_cast<uint64_t>(batch.epoch),
                                   static_cast<uint64_t>(index), static_cast<uint32_t>(view + 1));
                float* out =
                    view < 2 ? global + (view * count + i) * big : local + ((view - 2) * count + i) * little;
                make_view(sample.image, view, options, stats, rng, out);
            }
        }
    };
}

Batch plain_batch(const DataSet& data, const ChannelStats& stats, int64_t begin, int64_t end) {
    check(begin >= 0 && begin < end && end <= data.size(), "data", "samples [", begin, ", ", end,
          ") must be a part of [0, ", data.size(), ")");
    Batch batch;
    batch.images = room_for(end - begin, data);
    batch.labels = Tensor::empty({end - begin}, DType::i64);
    batch.indices.resize(static_cast<size_t>(end - begin));
    auto* pixels = batch.images.mutable_data<float>();
    auto* labels = batch.labels.mutable_data<int64_t>();
    parallel_ranges(end - begin, 32, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            const Sample sample = data.sample(begin + i);
            normalize(sample.image, stats, pixels + i * image_values(data));
            labels[i] = sample.label;
            batch.indices[static_cast<size_t>(i)] = begin + i;
        }
    });
    return batch;
}

}  // namespace demi::data
