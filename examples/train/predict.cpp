#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <numeric>

#include "autograd/grad_mode.h"
#include "examples/common/format.h"
#include "examples/common/record.h"
#include "examples/common/text.h"
#include "examples/data/folder.h"
#include "examples/train/classify.h"
#include "ops/softmax/softmax.h"
#include "runtime/copy.h"
#include "runtime/parallel.h"

namespace demi::examples {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> listed(const std::vector<std::string>& names) {
    std::vector<fs::path> files;
    for (const std::string& name : names) {
        std::error_code error;
        if (!fs::is_directory(name, error)) {
            files.emplace_back(name);
            continue;
        }
        const data::FolderListing listing = data::list_folder(name, false);
        const std::string unread = data::unread_line(listing);
        check(!listing.files.empty(), "predict", "'", name, "' holds no pictures", unread.empty() ? "" : "; ",
              unread);
        if (!unread.empty()) std::fprintf(stderr, "predict: '%s': %s\n", name.c_str(), unread.c_str());
        for (const data::FolderFile& file : listing.files) files.push_back(file.path);
    }
    check(!files.empty(), "predict", "needs pictures, or folders of them");
    return files;
}

// The pictures of these files that can be read, as [n, C, H, W]; `files` keeps those.
Tensor read(std::vector<fs::path>& files, const LoadedClassifier& c) {
    const int64_t count = std::ssize(files);
    Tensor images = Tensor::empty({count, c.channels, c.image_size, c.image_size});
    float* const to = images.mutable_data<float>();
    const int64_t each = images.numel() / count;
    std::vector<std::string> errors(files.size());
    parallel_for(count, [&](int64_t i) {
        const auto at = static_cast<size_t>(i);
        try {
            const data::FolderDataSet one(data::FolderListing{{""}, {{files[at], 0}}, true}, c.image_size,
                                          c.channels, c.upright);
            data::normalize(one.sample(0).image, c.stats, to + i * each);
        } catch (const Error& error) {
            errors[at] = error.what();
        }
    });
    std::vector<fs::path> good;
    for (size_t i = 0; i < files.size(); ++i) {
        if (!errors[i].empty()) {
            std::fprintf(stderr, "predict: %s\n", valid_utf8(errors[i]).c_str());
            continue;
        }
        std::copy_n(to + static_cast<int64_t>(i) * each, each, to + std::ssize(good) * each);
        good.push_back(files[i]);
    }
    files = good;
    return images.slice(0, 0, std::ssize(good));
}

std::string line(const std::string& file, const std::vector<std::string>& classes, const float* p,
                 int64_t top, bool json) {
    std::vector<size_t> order(classes.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] > p[b]; });
    order.resize(std::min(order.size(), static_cast<size_t>(top)));
    const auto one = [&](size_t i) {
        return Record()
            .add("label", classes[i])
            .add("index", static_cast<int64_t>(i))
            .add("confidence", p[i]);
    };
    std::string rest;
    for (size_t i : order)
        rest += (rest.empty() ? "" : ", ") +
                (json ? to_json(one(i)) : classes[i] + " " + percent(static_cast<double>(p[i])));
    if (!json) return valid_utf8(file + ": " + rest);
    const std::string start = to_json(Record().add("file", file)), best = to_json(one(order[0]));
    return start.substr(0, start.size() - 1) + ", " + best.substr(1, best.size() - 2) + ", \"top\": [" +
           rest + "]}";
}

}  // namespace

int predict(const PredictOptions& options, std::FILE* out) {
    const NoGrad no_grad;
    const std::vector<fs::path> files = listed(options.pictures);
    const LoadedClassifier c = load_classifier(options);
    check(c.has_head, "predict", "'", options.model,
          "' has no classifier (head.weight): train_vit --init-from makes one of it");
    std::fprintf(options.json ? stderr : out, "%s", c.description.c_str());
    const auto classes = std::ssize(c.classes);
    int64_t done = 0;
    for (int64_t at = 0; at < std::ssize(files); at += options.batch) {
        std::vector<fs::path> part(files.begin() + at,
                                   files.begin() + std::min(std::ssize(files), at + options.batch));
        const Tensor images = read(part, c);
        if (part.empty()) continue;
        done += std::ssize(part);
        const Variable logits = c.model.forward(images.to(c.device), c.context);
        check(all_finite(logits.value()), "predict", "what '", options.model, "' makes of '",
              part[0].string(), "' or the pictures after it is NaN or infinite in ", options.precision,
              ", boundary ", options.boundary);
        const std::vector<float> p = softmax(logits).value().to_vector<float>();
        for (int64_t i = 0; i < std::ssize(part); ++i)
            std::fprintf(out, "%s\n",
                         line(part[static_cast<size_t>(i)].string(), c.classes, p.data() + i * classes,
                              options.top, options.json)
                             .c_str());
        std::fflush(out);
    }
    if (done == std::ssize(files)) return 0;
    std::fprintf(stderr, "predict: %lld of %lld pictures could not be read\n",
                 static_cast<long long>(std::ssize(files) - done), static_cast<long long>(std::ssize(files)));
    return 1;
}

}  // namespace demi::examples
