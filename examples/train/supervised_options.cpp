#include "examples/train/supervised_options.h"

#include "examples/train/option_group.h"

namespace demi::examples {
namespace {

void add_flags(CLI::App& app, TrainOptions& o) {
    const char* group = "Supervised";
    const OptionGroup options{app, group};
    options.number(
        "--resized-crop", o.resized_crop, 0.0, 1.0,
        "RandomResizedCrop: a random box with at least this share of the area, resized, instead of the "
        "shifted crop; 0: off");
    app.add_flag("--trivial-augment", o.trivial_augment,
                 "TrivialAugment: one random change of shape or colour per picture (default: off)")
        ->group(group);
    options.number("--mixup", o.mixup, 0.0, 100.0,
                   "Mixup: alpha of the Beta distribution of the shares, for example 0.8; 0: off");
    options.number("--cutmix", o.cutmix, 0.0, 100.0,
                   "Cutmix: the same, for example 1; with both, each batch takes one; 0: off");
    app.add_flag("--keep-best", o.keep_best,
                 "Also keep the parameters of the best held-out accuracy, in best.safetensors (default: off)")
        ->group(group);
    options.number("--patience", o.patience, int64_t{0}, int64_t{1000000},
                   "End after this many epochs in a row without a better held-out accuracy; 0: never");
}

void add_record(Record& r, const TrainOptions& o) {
    r.add("resized_crop", o.resized_crop).add("trivial_augment", o.trivial_augment).add("mixup", o.mixup);
    r.add("cutmix", o.cutmix).add("keep_best", o.keep_best).add("patience", o.patience);
}

}  // namespace

const MoreOptions supervised_options{add_flags, add_record};

}  // namespace demi::examples
