#include "examples/train/ssl_options.h"

#include "examples/common/format.h"
#include "examples/train/option_group.h"
#include "examples/train/ssl_recipe.h"

namespace demi::examples {
namespace {

void add_self_supervised(CLI::App& app, TrainOptions& o) {
    const char* group = "Self-supervised";
    const OptionGroup options{app, group};
    options.number("--local-crops", o.local_crops, int64_t{0}, int64_t{32},
                   "Small crops per picture, beside the two large ones");
    options.number("--prototypes", o.prototypes, int64_t{2}, int64_t{1000000}, "Outputs of the DINO head");
    options.number("--head-hidden", o.head_hidden, int64_t{1}, int64_t{65536}, "Hidden width of the head");
    options.number("--bottleneck", o.bottleneck, int64_t{1}, int64_t{65536},
                   "Width before the last layer of the head");
    app.add_option("--centering", o.centering, "Teacher targets: sinkhorn_knopp or centering")
        ->check(CLI::IsMember({"sinkhorn_knopp", "centering"}))
        ->capture_default_str()
        ->group(group);
    options.number("--weight-decay-end", o.weight_decay_end, 0.0, 10.0,
                   "Weight decay at the end of its cosine");
    options.number("--koleo-weight", o.koleo_weight, 0.0, 10.0, "Weight of the KoLeo loss");
    options.number("--ibot-weight", o.ibot_weight, 0.0, 10.0,
                   "Weight of the masked-patch loss (DINOv2: 1; hurts networks this small)");
    app.add_flag("--ibot-head", o.ibot_head, "A head of its own for the masked patches (default: off)")
        ->group(group);
    app.add_option("--distill", o.distill,
                   "Weights of a frozen teacher that makes the targets: what extract_features reads. With "
                   "DINO heads in "
                   "the file DINOv2's losses, else its features are matched")
        ->group(group);
    options.number("--distill-heads", o.distill_heads, int64_t{0}, int64_t{256},
                   "Attention heads of that teacher; 0: what the file says, else width / 64");
    options.number("--freeze-last-layer", o.freeze_last_layer, 0.0, 1.0,
                   "Share of the steps in which the last layer is frozen");
    app.add_option("--warmup-heads", o.warmup_heads,
                   "With --init-from: steps in which only the heads learn, before the backbone's rate rises "
                   "(default: "
                   "a tenth of all where the weights have no heads of these sizes, else 0)")
        ->check(CLI::Range(int64_t{0}, INT64_MAX))
        ->group(group);
    options.number("--blur", o.blur, 0.0, 1.0,
                   "Chance of a blurred crop (a fifth of it in the second large one)");
    options.number("--solarize", o.solarize, 0.0, 1.0, "Chance of solarising the second large crop");
    options.number("--eval-every", o.eval_every, int64_t{0}, INT64_MAX,
                   "Steps between k-NN evaluations, of which one is before the first step; 0: ten in a run");
    options.number(
        "--eval-images", o.eval_images, int64_t{10}, INT64_MAX,
        "Most training and most test pictures in an evaluation before and during the run, of every class "
        "their share");
    app.add_flag("--linear-probe,!--no-linear-probe", o.linear_probe,
                 "Train a linear classifier on the features at the end (default: on)")
        ->group(group);
}

// "the text (default: 2 for drawn pictures, 1 for others)"
std::string with_default(const char* text, double figures, double photographs, const char* unit = "") {
    std::string more = shortest(figures) + unit;
    if (figures != photographs)
        more += " for drawn pictures, " + shortest(photographs) + unit + " for others";
    return std::string(text) + " (default: " + more + ")";
}

void add_recipe(CLI::App& app, TrainOptions& o) {
    const char* group = "Self-supervised, by the data set";
    const auto add = [&](const char* flag, auto& value, auto low, auto high, const std::string& text) {
        app.add_option(flag, value, text)->check(CLI::Range(low, high))->group(group);
    };
    const Recipe &a = kFigures, &b = kPhotographs;
    const char* sides = " of the picture's side";
    add("--global-size", o.global_size, int64_t{1}, int64_t{2048},
        with_default("Side of the large crops", a.large, b.large, sides));
    add("--local-size", o.local_size, int64_t{1}, int64_t{2048},
        with_default("Side of the small crops", a.small, b.small, sides));
    const auto number = [&](const char* flag, double& value, double low, double high, const char* text,
                            double Recipe::*of) {
        add(flag, value, low, high, with_default(text, a.*of, b.*of));
    };
    number("--global-share", o.global_share, 0.01, 1.0, "Least share of the area in a large crop",
           &Recipe::global_share);
    number("--local-share", o.local_share, 0.01, 1.0, "Least share of the area in a small crop",
           &Recipe::local_share);
    number("--local-share-end", o.local_share_end, 0.01, 1.0, "Largest share of the area in a small crop",
           &Recipe::local_share_end);
    number("--color", o.color, 0.0, 2.5,
           "Strength of the jitter of brightness, contrast and saturation; 1 is DINOv2's", &Recipe::color);
    number("--hue", o.hue, 0.0, 0.5, "Largest turn of the hue, in turns", &Recipe::hue);
    number("--gray", o.gray, 0.0, 1.0, "Chance of a crop without colour", &Recipe::gray);
    number("--invert", o.invert, 0.0, 1.0, "Chance of a negative of a crop", &Recipe::invert);
    number("--teacher-temp", o.teacher_temp, 0.001, 1.0, "Teacher temperature after its warm-up",
           &Recipe::teacher_temp);
    add("--teacher-temp-start", o.teacher_temp_start, 0.001, 1.0,
        "Teacher temperature at the start (default: as --teacher-temp)");
    number("--teacher-momentum", o.teacher_momentum, 0.0, 1.0,
           "Average of the teacher at the start; rises to 1", &Recipe::teacher_momentum);
}

void add_self_supervised_record(Record& r, const TrainOptions& o) {
    for (const auto& [name, value] :
         std::initializer_list<std::pair<const char*, Value>>{{"local_crops", o.local_crops},
                                                              {"prototypes", o.prototypes},
                                                              {"head_hidden", o.head_hidden},
                                                              {"bottleneck", o.bottleneck},
                                                              {"centering", o.centering},
                                                              {"teacher_temp", o.teacher_temp},
                                                              {"teacher_temp_start", o.teacher_temp_start},
                                                              {"teacher_momentum", o.teacher_momentum},
                                                              {"weight_decay_end", o.weight_decay_end},
                                                              {"koleo_weight", o.koleo_weight},
                                                              {"ibot_weight", o.ibot_weight},
                                                              {"ibot_head", o.ibot_head},
                                                              {"distill", o.distill},
                                                              {"distill_heads", o.distill_heads},
                                                              {"freeze_last_layer", o.freeze_last_layer},
                                                              {"eval_every", o.eval_every},
                                                              {"eval_images", o.eval_images},
                                                              {"global_size", o.global_size},
                                                              {"local_size", o.local_size},
                                                              {"global_share", o.global_share},
                                                              {"local_share", o.local_share},
                                                              {"local_share_end", o.local_share_end},
                                                              {"color", o.color},
                                                              {"hue", o.hue},
                                                              {"gray", o.gray},
                                                              {"blur", o.blur},
                                                              {"solarize", o.solarize},
                                                              {"invert", o.invert}})
        r.add(name, value);
    if (o.warmup_heads > 0) r.add("warmup_heads", o.warmup_heads);
}

void add_flags(CLI::App& app, TrainOptions& options) {
    add_self_supervised(app, options);
    add_recipe(app, options);
}

}  // namespace

const MoreOptions self_supervised_options{add_flags, add_self_supervised_record};

}  // namespace demi::examples
