#include <algorithm>
#include <cstdio>

#include "autograd/grad_mode.h"
#include "examples/common/format.h"
#include "examples/common/text.h"
#include "examples/data/open.h"
#include "examples/train/classify.h"
#include "examples/train/knn.h"
#include "examples/train/testing.h"

namespace demi::examples {
namespace {

// A data set under the model's numbers of the classes.
class Renumbered final : public data::DataSet {
  public:
    Renumbered(data::DataSetPtr set, const LoadedClassifier& model)
        : set_(std::move(set)), classes_(model.classes) {
        const std::vector<std::string>& theirs = set_->classes();
        const bool by_number = !model.named && theirs.size() == classes_.size();
        if (by_number) classes_ = theirs;
        for (const std::string& name : theirs) {
            const auto found = std::find(classes_.begin(), classes_.end(), valid_utf8(name));
            const bool known = by_number || found != classes_.end();
            check(known, "evaluate", "the data has the class '", name,
                  "', which the model does not know: ", list_names(classes_));
            numbers_.push_back(by_number ? std::ssize(numbers_) : found - classes_.begin());
        }
    }
    int64_t size() const override { return set_->size(); }
    const std::vector<std::string>& classes() const override { return classes_; }
    data::Sample sample(int64_t index) const override {
        data::Sample sample = set_->sample(index);
        sample.label = numbers_[static_cast<size_t>(sample.label)];
        return sample;
    }
    int64_t label(int64_t index) const override { return numbers_[static_cast<size_t>(set_->label(index))]; }
    int64_t height() const override { return set_->height(); }
    int64_t width() const override { return set_->width(); }
    int64_t channels() const override { return set_->channels(); }
    uint64_t fingerprint() const override { return set_->fingerprint(); }

  private:
    data::DataSetPtr set_;
    std::vector<std::string> classes_;
    std::vector<int64_t> numbers_;  // by the data's own
};

// "cat: 97.0 % of 100, most often taken for dog (2)".
void print_classes(const Confusion& c, std::FILE* out) {
    const size_t n = c.classes.size();
    for (size_t i = 0; i < n; ++i) {
        int64_t all = 0, most = 0;
        size_t other = i;
        for (size_t j = 0; j < n; ++j) {
            const int64_t count = c.counts[i * n + j];
            all += count;
            if (j != i && count > most) most = count, other = j;
        }
        if (all == 0) continue;
        std::string text = "  " + c.classes[i] + ": " +
                           percent(static_cast<double>(c.counts[i * n + i]) / static_cast<double>(all)) +
                           " of " + grouped(all);
        if (most > 0) text += ", most often taken for " + c.classes[other] + " (" + grouped(most) + ")";
        std::fprintf(out, "%s\n", valid_utf8(text).c_str());
    }
}

struct Part {
    data::DataSetPtr set;
    std::string name;
};

Part measured(const data::OpenedData& opened, const EvaluateOptions& options) {
    if (options.split == "train") return {opened.train, "the training part"};
    check(options.split != "test" || opened.test, "evaluate", "'", options.data, "' leaves no test part");
    if (!opened.test) return {opened.train, "all"};
    return {opened.final_test ? opened.final_test : opened.test, "the test part"};
}

void measure_features(const EvaluateOptions& options, const LoadedClassifier& c, const data::DataSet& learnt,
                      const data::DataSet& part, std::FILE* out) {
    const auto of = [&](const data::DataSet& set) {
        return cls_features(c.model.backbone, set, c.stats, options.batch, c.context, c.device);
    };
    const Features train = of(learnt), tested = of(part);
    const int64_t k = std::min<int64_t>(10, train.rows.size(0));
    if (options.knn)
        std::fprintf(out, "%lld nearest neighbours among %s training pictures: %s of %s\n",
                     static_cast<long long>(k), grouped(train.rows.size(0)).c_str(),
                     percent(knn_accuracy(train, tested, {k})[0]).c_str(), grouped(part.size()).c_str());
    if (!options.linear) return;
    const EnableGrad grad;
    std::fprintf(out, "linear probe on %s training pictures: %s of %s\n", grouped(train.rows.size(0)).c_str(),
                 percent(linear_probe_accuracy(train, tested)).c_str(), grouped(part.size()).c_str());
}

}  // namespace

int evaluate(const EvaluateOptions& options, std::FILE* out) {
    const NoGrad no_grad;
    const LoadedClassifier c = load_classifier(options);
    const bool features = options.knn || options.linear;
    check(c.has_head || features, "evaluate", "'", options.model,
          "' has no classifier (head.weight); --knn and --linear measure its features");
    std::fprintf(out, "%s", c.description.c_str());
    data::OpenOptions open;
    open.image_size = c.image_size;
    open.channels = c.channels;
    open.upright = c.upright;
    open.skip_broken = options.skip_broken;
    if (!features && options.split.empty()) open.test_fraction = 0;  // no part is set apart
    const data::OpenedData opened = data::open_dataset(options.data, open);
    check(opened.labelled, "evaluate", "'", options.data,
          "' holds pictures without classes: needed is a folder for each class");
    if (!opened.layout.empty()) std::fprintf(out, "layout: %s\n", valid_utf8(opened.layout).c_str());
    for (const std::string& note : opened.notes) std::fprintf(out, "%s\n", valid_utf8(note).c_str());
    std::fflush(out);
    const Part part = measured(opened, options);
    if (c.has_head) {
        const Renumbered set(part.set, c);
        const TestResult result = test(c.model, set, c.stats, options.batch, c.context, c.device);
        std::fprintf(out, "accuracy %s, loss %s: %s pictures, %s of %s\n", percent(result.accuracy).c_str(),
                     significant(result.loss).c_str(), grouped(set.size()).c_str(), part.name.c_str(),
                     valid_utf8(options.data).c_str());
        if (options.classes) print_classes(result.confusion, out);
    } else if (options.classes) {
        std::fprintf(out, "--classes: '%s' has no classifier\n", valid_utf8(options.model).c_str());
    }
    if (!features) return 0;
    check(part.set != opened.train, "evaluate",
          "--knn and --linear need a part to learn from and another one to test on");
    measure_features(options, c, *opened.train, *part.set, out);
    return 0;
}

}  // namespace demi::examples
