#include "examples/train/options.h"

#include <algorithm>

#include "examples/train/option_group.h"

namespace demi::examples {

namespace {

struct Field {
    const char* name;
    Value value;
};

void add_data(CLI::App& app, TrainOptions& o) {
    const char* group = "Data";
    const OptionGroup options{app, group};
    app.add_option("--data", o.data,
                   "Folder: CIFAR-10 binary, IDX (plain or .gz), or pictures, in a folder per class, or "
                   "below train, val and test "
                   "(default: pictures drawn by the program)")
        ->group(group);
    app.add_option("--image-size", o.image_size, "Side that folders of pictures are resized to (default 64)")
        ->check(CLI::Range(8, 2048))
        ->group(group);
    app.add_option("--train-images", o.train_images,
                   "Use only N training pictures, chosen once, of every class its share (default: all)")
        ->check(CLI::Range(int64_t{1}, INT64_MAX))
        ->group(group);
    app.add_option("--test-images", o.test_images,
                   "Use only N test pictures, chosen in the same way (default: all)")
        ->check(CLI::Range(int64_t{1}, INT64_MAX))
        ->group(group);
    app.add_option(
           "--val", o.val,
           "Folder of held-out pictures with the classes of --data, tested after every epoch (default: the "
           "val or test part of --data, else a part set apart)")
        ->group(group);
    app.add_option("--val-fraction", o.val_fraction,
                   "Share of every class that is set apart for tests where the data has no part of its own")
        ->check(CLI::Range(0.0, 0.9))
        ->group(group);
    app.add_flag(
           "--skip-broken", o.skip_broken,
           "Leave out pictures that cannot be decoded, and name them (default: an error that names all)")
        ->group(group);
    app.add_flag("--exif-orientation,!--no-exif-orientation", o.exif_orientation,
                 "Turn pictures as their EXIF block says (default: on)")
        ->group(group);
    options.number("--workers", o.workers, 1, 64, "Threads that load and augment; changes no bit");
    app.add_flag("--augment,!--no-augment", o.augment,
                 "Random crop, and flip where it keeps the class (default: on, but for drawn pictures)")
        ->group(group);
}

void add_model(CLI::App& app, TrainOptions& o) {
    const char* group = "Model";
    const OptionGroup options{app, group};
    app.add_option("--model", o.model,
                   "A size of DINOv2: vit_small, vit_base, vit_large or vit_giant2 (default: from --dim, "
                   "--depth, --heads and --mlp-ratio)")
        ->check(CLI::IsMember({"vit_small", "vit_base", "vit_large", "vit_giant2"}))
        ->group(group);
    app.add_option("--patch", o.patch,
                   "Side of a patch (default: by the picture's side, for a grid of 4 x 4 to 16 x 16; with "
                   "--init-from that of the weights, or as much larger as the pictures are than theirs)")
        ->check(CLI::Range(1, 256))
        ->group(group);
    app.add_option("--dim", o.dim, "Width")->check(CLI::Range(8, 8192))->group(group);
    app.add_option("--depth", o.depth, "Number of blocks")->check(CLI::Range(1, 200))->group(group);
    app.add_option("--heads", o.heads, "Attention heads")->check(CLI::Range(1, 256))->group(group);
    options.number("--mlp-ratio", o.mlp_ratio, 0.1, 16.0, "Hidden width of the feed-forward, in widths");
    options.number("--drop-path", o.drop_path, 0.0, 0.95, "Stochastic depth rate");
    options.number("--layer-scale", o.layer_scale, 0.0, 10.0, "Initial LayerScale; 0: none");
    options.number("--registers", o.registers, 0, 64, "Register tokens");
    app.add_flag("--swiglu", o.swiglu, "SwiGLU instead of the MLP (default: off)")->group(group);
    app.add_flag("--rope", o.rope, "Rotary positions, as in DINOv3 (default: off)")->group(group);
    app.add_option(
           "--init-from", o.init_from,
           "Start from the weights in this .safetensors, .pth or Hugging Face folder: sizes of the "
           "model, mean and std of the pictures and, up to 224, their size come from it (default: no)")
        ->group(group);
    app.add_option(
           "--freeze", o.freeze,
           "What does not learn: backbone, or the number of blocks from the first on, with all that lies "
           "before them (default: none)")
        ->group(group);
    app.add_flag("--partial", o.partial,
                 "Start also from weights with names that the model has no place for, or that lack some "
                 "(default: off)")
        ->group(group);
}

void add_training(CLI::App& app, TrainOptions& o) {
    const char* group = "Training";
    const OptionGroup options{app, group};
    app.add_option("--epochs", o.epochs,
                   o.lr < 0 ? "Passes over the training pictures (default: as --steps says)"
                            : "Passes over the training pictures (default: 20; of drawn ones 3)")
        ->check(CLI::Range(int64_t{1}, int64_t{1000000}))
        ->group(group);
    app.add_option("--steps", o.steps,
                   o.lr < 0 ? "Stop after this many steps instead (default: 4000)"
                            : "Stop after this many steps instead (default: as --epochs says)")
        ->check(CLI::Range(int64_t{1}, INT64_MAX))
        ->group(group);
    options.number("--batch", o.batch, 1, 65536, "Pictures in a step");
    app.add_option("--optimizer", o.optimizer, "adamw or sgd")
        ->check(CLI::IsMember({"adamw", "sgd"}))
        ->capture_default_str()
        ->group(group);
    app.add_option("--lr", o.lr,
                   o.lr < 0 ? "Highest learning rate (default: 0.0015)" : "Highest learning rate")
        ->check(CLI::Range(0.0, 100.0))
        ->group(group);
    app.add_option("--min-lr", o.min_lr, "Learning rate at the end")
        ->check(CLI::Range(0.0, 100.0))
        ->group(group);
    options.number("--warmup", o.warmup, 0.0, 1.0, "Share of the steps in which the rate rises");
    options.number("--weight-decay", o.weight_decay, 0.0, 10.0,
                   "Not applied to biases, norms and LayerScale");
    options.number("--clip-grad", o.clip_grad, 0.0, 1e9, "Largest gradient norm; 0: no limit");
    options.number("--label-smoothing", o.label_smoothing, 0.0, 0.99,
                   "Share of the target spread over all classes");
    options.number("--layer-decay", o.layer_decay, 0.01, 1.0,
                   "Learning-rate factor per block below the last");
    app.add_option(
           "--ema", o.ema,
           "Also keep an exponential moving average of the weights, with this decay, and test it; 0: no")
        ->check(CLI::Range(0.0, 0.99999))
        ->group(group);
    options.number("--seed", o.seed, int64_t{0}, INT64_MAX, "Same seed, same bits");
}

void add_numbers(CLI::App& app, TrainOptions& o) {
    const char* group = "Numbers";
    app.add_option("--precision", o.precision, "Compute dtype: f32, bf16 or f16 (parameters stay f32)")
        ->check(CLI::IsMember({"f32", "bf16", "f16"}))
        ->capture_default_str()
        ->group(group);
    app.add_option("--boundary", o.boundary, "How the fp16 operators are entered: strict, wide or off")
        ->check(CLI::IsMember({"strict", "wide", "off"}))
        ->capture_default_str()
        ->group(group);
    app.add_option("--grad-scale", o.grad_scale,
                   "Power of two on gradients that cross into fp16: none or auto")
        ->check(CLI::IsMember({"none", "auto"}))
        ->capture_default_str()
        ->group(group);
    app.add_flag("--boundary-report", o.boundary_report,
                 "Print at the end what the casts lost (default: off)")
        ->group(group);
}

void add_run(CLI::App& app, TrainOptions& o) {
    const char* group = "Run";
    const OptionGroup options{app, group};
    app.add_option("--device", o.device, "auto, cpu, cuda or cuda:N")->capture_default_str()->group(group);
    app.add_option(
           "--out", o.out,
           "Folder for metrics, checkpoint and report; where the default holds a run, a number is added")
        ->capture_default_str()
        ->group(group);
    app.add_option("--resume", o.resume,
                   "Go on from the checkpoint in --out, with the options of that run; auto: start where "
                   "there is none "
                   "(default: start)")
        ->expected(0, 1)
        ->group(group);
    app.add_flag("--overwrite", o.overwrite, "Replace the run in --out (default: off)")->group(group);
    app.add_option("--save-every", o.save_every, "Also save a checkpoint every N steps; 0: when it is tested")
        ->check(CLI::Range(int64_t{0}, INT64_MAX))
        ->group(group);
    app.add_flag("--tensorboard,!--no-tensorboard", o.tensorboard,
                 "Write TensorBoard's events file beside metrics.jsonl (default: on)")
        ->group(group);
    options.number("--log-every", o.log_every, int64_t{1}, INT64_MAX, "Steps between lines of metrics.jsonl");
    app.add_option("--threads", o.threads,
                   "Threads of the kernels; changes no bit (default: what the machine lets the process have)")
        ->check(CLI::Range(1, 256))
        ->group(group);
    app.add_flag("--graph,!--no-graph", o.graph,
                 "On a GPU, capture a step as a CUDA graph; changes no bit (default: on)")
        ->group(group);
    app.add_option("--profile", o.profile,
                   "Write a Chrome trace of the first steps to this file (default: none)")
        ->group(group);
    app.add_option("--expect-accuracy", o.expect_accuracy,
                   "Exit with status 1 when the test accuracy (0..1) is lower (default: whatever it is)")
        ->check(CLI::Range(0.0, 1.0))
        ->group(group);
}

}  // namespace

void add_options(CLI::App& app, TrainOptions& options) {
    app.add_option("--config", options.config,
                   "Read options from this file, lines of \"name = value\", or a run's config.json; the "
                   "command line goes before it (default: none)")
        ->group("Run");
    add_data(app, options);
    add_model(app, options);
    add_training(app, options);
    if (options.more) options.more->add_flags(app, options);
    add_numbers(app, options);
    add_run(app, options);
    add_ranks(app, options);
}

Record TrainOptions::record() const {
    Record r;
    for (const Field& f : std::initializer_list<Field>{{"data", data},
                                                       {"image_size", image_size},
                                                       {"train_images", train_images},
                                                       {"test_images", test_images},
                                                       {"val", val},
                                                       {"val_fraction", val_fraction},
                                                       {"skip_broken", skip_broken},
                                                       {"exif_orientation", exif_orientation},
                                                       {"augment", augment >= 0},
                                                       {"model", model},
                                                       {"patch", patch},
                                                       {"dim", dim},
                                                       {"depth", depth},
                                                       {"heads", heads},
                                                       {"mlp_ratio", mlp_ratio},
                                                       {"drop_path", drop_path},
                                                       {"layer_scale", layer_scale},
                                                       {"registers", registers},
                                                       {"swiglu", swiglu},
                                                       {"rope", rope},
                                                       {"init_from", init_from},
                                                       {"partial", partial},
                                                       {"freeze", freeze},
                                                       {"epochs", epochs},
                                                       {"steps", steps},
                                                       {"batch", batch},
                                                       {"optimizer", optimizer},
                                                       {"lr", lr},
                                                       {"min_lr", min_lr},
                                                       {"warmup", warmup},
                                                       {"weight_decay", weight_decay},
                                                       {"clip_grad", clip_grad},
                                                       {"label_smoothing", label_smoothing},
                                                       {"layer_decay", layer_decay},
                                                       {"ema", ema},
                                                       {"seed", seed},
                                                       {"precision", precision},
                                                       {"boundary", boundary},
                                                       {"grad_scale", grad_scale},
                                                       {"device", device},
                                                       {"out", out},
                                                       {"log_every", log_every},
                                                       {"save_every", save_every},
                                                       {"tensorboard", tensorboard}})
        r.add(f.name, f.value);
    if (shards > 1) r.add("shards", shards);
    if (more) more->add_record(r, *this);
    return r;
}

bool TrainOptions::has(const char* flag) const {
    return std::find(given.begin(), given.end(), flag) != given.end();
}

std::vector<std::string> TrainOptions::may_change_on_resume() {
    return {"device",    "out",     "save_every",  "data",      "val",
            "init_from", "distill", "tensorboard", "keep_best", "patience"};
}

}  // namespace demi::examples
