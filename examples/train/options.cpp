#include "examples/train/options.h"

#include <CLI/CLI.hpp>
#include <cstdio>

namespace demi::examples {

namespace {

struct Field {
    const char* name;
    Value value;
};

void add_data(CLI::App& app, TrainOptions& o) {
    const char* group = "Data";
    app.add_option(
           "--data", o.data,
           "Folder: CIFAR-10 binary, IDX (plain or .gz), or class-named folders of PNG and JPEG files. "
           "Without it: pictures drawn by the program")
        ->group(group);
    app.add_option("--image-size", o.image_size, "Side that folders of pictures are resized to (default 64)")
        ->check(CLI::Range(8, 2048))
        ->group(group);
    app.add_option("--train-images", o.train_images, "Use only the first N training pictures")
        ->check(CLI::Range(int64_t{1}, INT64_MAX))
        ->group(group);
    app.add_option("--test-images", o.test_images, "Use only the first N test pictures")
        ->check(CLI::Range(int64_t{1}, INT64_MAX))
        ->group(group);
    app.add_option("--workers", o.workers, "Threads that load and augment")
        ->check(CLI::Range(1, 64))
        ->capture_default_str()
        ->group(group);
    app.add_flag("--augment,!--no-augment", o.augment,
                 "Random crop, and flip where it keeps the class (default on)")
        ->group(group);
}

void add_model(CLI::App& app, TrainOptions& o) {
    const char* group = "Model";
    app.add_option("--model", o.model, "A size from DINOv2's table instead of the four below")
        ->check(CLI::IsMember({"vit_small", "vit_base", "vit_large", "vit_giant2"}))
        ->group(group);
    app.add_option("--patch", o.patch, "Side of a patch")->check(CLI::Range(1, 256))->group(group);
    app.add_option("--dim", o.dim, "Width")->check(CLI::Range(8, 8192))->group(group);
    app.add_option("--depth", o.depth, "Number of blocks")->check(CLI::Range(1, 200))->group(group);
    app.add_option("--heads", o.heads, "Attention heads")->check(CLI::Range(1, 256))->group(group);
    app.add_option("--mlp-ratio", o.mlp_ratio, "Hidden width of the feed-forward, in widths")
        ->check(CLI::Range(0.1, 16.0))
        ->capture_default_str()
        ->group(group);
    app.add_option("--drop-path", o.drop_path, "Stochastic depth rate")
        ->check(CLI::Range(0.0, 0.95))
        ->capture_default_str()
        ->group(group);
    app.add_option("--layer-scale", o.layer_scale, "Initial LayerScale; 0: none")
        ->check(CLI::Range(0.0, 10.0))
        ->capture_default_str()
        ->group(group);
    app.add_option("--registers", o.registers, "Register tokens")
        ->check(CLI::Range(0, 64))
        ->capture_default_str()
        ->group(group);
    app.add_flag("--swiglu", o.swiglu, "SwiGLU instead of the MLP")->group(group);
    app.add_option("--init-from", o.init_from, "Start from the parameters in this safetensors file")
        ->group(group);
}

void add_training(CLI::App& app, TrainOptions& o) {
    const char* group = "Training";
    app.add_option("--epochs", o.epochs, "Passes over the training pictures")
        ->check(CLI::Range(int64_t{1}, int64_t{1000000}))
        ->group(group);
    app.add_option("--steps", o.steps, "Stop after this many steps instead")
        ->check(CLI::Range(int64_t{1}, INT64_MAX))
        ->group(group);
    app.add_option("--batch", o.batch, "Pictures in a step")
        ->check(CLI::Range(1, 65536))
        ->capture_default_str()
        ->group(group);
    app.add_option("--optimizer", o.optimizer, "adamw or sgd")
        ->check(CLI::IsMember({"adamw", "sgd"}))
        ->capture_default_str()
        ->group(group);
    app.add_option("--lr", o.lr, "Highest learning rate")->check(CLI::Range(0.0, 100.0))->group(group);
    app.add_option("--min-lr", o.min_lr, "Learning rate at the end")
        ->check(CLI::Range(0.0, 100.0))
        ->group(group);
    app.add_option("--warmup", o.warmup, "Share of the steps in which the rate rises")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str()
        ->group(group);
    app.add_option("--weight-decay", o.weight_decay, "Not applied to biases, norms and LayerScale")
        ->check(CLI::Range(0.0, 10.0))
        ->capture_default_str()
        ->group(group);
    app.add_option("--clip-grad", o.clip_grad, "Largest gradient norm; 0: no limit")
        ->check(CLI::Range(0.0, 1e9))
        ->capture_default_str()
        ->group(group);
    app.add_option("--label-smoothing", o.label_smoothing, "Share of the target spread over all classes")
        ->check(CLI::Range(0.0, 0.99))
        ->capture_default_str()
        ->group(group);
    app.add_option("--layer-decay", o.layer_decay, "Learning-rate factor per block below the last")
        ->check(CLI::Range(0.01, 1.0))
        ->capture_default_str()
        ->group(group);
    app.add_option("--ema", o.ema,
                   "Also keep an exponential moving average of the weights, with this decay, and test it")
        ->check(CLI::Range(0.0, 0.99999))
        ->group(group);
    app.add_option("--seed", o.seed, "Same seed, same bits")
        ->check(CLI::Range(int64_t{0}, INT64_MAX))
        ->capture_default_str()
        ->group(group);
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
    app.add_flag("--boundary-report", o.boundary_report, "Print at the end what the casts lost")
        ->group(group);
}

void add_run(CLI::App& app, TrainOptions& o) {
    const char* group = "Run";
    app.add_option("--device", o.device, "auto, cpu, cuda or cuda:N")->capture_default_str()->group(group);
    app.add_option("--out", o.out, "Folder for metrics, checkpoint and report")
        ->capture_default_str()
        ->group(group);
    app.add_flag("--resume", o.resume, "Go on from the checkpoint in --out")->group(group);
    app.add_flag("--overwrite", o.overwrite, "Replace the run in --out")->group(group);
    app.add_option("--save-every", o.save_every, "Also save a checkpoint every N steps")
        ->check(CLI::Range(int64_t{0}, INT64_MAX))
        ->group(group);
    app.add_option("--log-every", o.log_every, "Steps between lines of metrics.jsonl")
        ->check(CLI::Range(int64_t{1}, INT64_MAX))
        ->capture_default_str()
        ->group(group);
    app.add_option("--threads", o.threads, "Threads of the kernels (default: all cores); changes no bit")
        ->check(CLI::Range(1, 256))
        ->group(group);
    app.add_option("--profile", o.profile, "Write a Chrome trace of the first steps to this file")
        ->group(group);
    app.add_option("--expect-accuracy", o.expect_accuracy,
                   "Exit with status 1 when the test accuracy (0..1) is lower")
        ->check(CLI::Range(0.0, 1.0))
        ->group(group);
}

void add_self_supervised(CLI::App& app, TrainOptions& o) {
    const char* group = "Self-supervised";
    const auto number = [&](const char* flag, auto& value, auto low, auto high, const char* text) {
        app.add_option(flag, value, text)->check(CLI::Range(low, high))->capture_default_str()->group(group);
    };
    number("--local-crops", o.local_crops, int64_t{0}, int64_t{32},
           "Small crops per picture, beside the two large ones");
    number("--prototypes", o.prototypes, int64_t{2}, int64_t{1000000}, "Outputs of the DINO head");
    number("--head-hidden", o.head_hidden, int64_t{1}, int64_t{65536}, "Hidden width of the head");
    number("--bottleneck", o.bottleneck, int64_t{1}, int64_t{65536},
           "Width before the last layer of the head");
    app.add_option("--centering", o.centering, "Teacher targets: sinkhorn_knopp or centering")
        ->check(CLI::IsMember({"sinkhorn_knopp", "centering"}))
        ->capture_default_str()
        ->group(group);
    number("--teacher-temp", o.teacher_temp, 0.001, 1.0, "Teacher temperature after its warm-up");
    number("--teacher-temp-start", o.teacher_temp_start, 0.001, 1.0, "Teacher temperature at the start");
    number("--teacher-momentum", o.teacher_momentum, 0.0, 1.0,
           "Average of the teacher at the start; rises to 1");
    number("--weight-decay-end", o.weight_decay_end, 0.0, 10.0, "Weight decay at the end of its cosine");
    number("--koleo-weight", o.koleo_weight, 0.0, 10.0, "Weight of the KoLeo loss");
    number("--ibot-weight", o.ibot_weight, 0.0, 10.0, "Weight of the masked-patch loss");
    number("--freeze-last-layer", o.freeze_last_layer, 0.0, 1.0,
           "Share of the steps in which the last layer is frozen");
    number("--eval-every", o.eval_every, int64_t{0}, INT64_MAX,
           "Steps between k-NN evaluations; 0: ten in a run");
    number("--eval-images", o.eval_images, int64_t{10}, INT64_MAX,
           "Most training pictures in an evaluation during the run");
    app.add_flag("--linear-probe,!--no-linear-probe", o.linear_probe,
                 "Train a linear classifier on the features at the end")
        ->group(group);
}

}  // namespace

int parse_options(int argc, char** argv, const std::string& description, TrainOptions& options) {
    CLI::App app(description);
    app.set_config("--config", "", "Read options from this TOML or INI file");
    add_data(app, options);
    add_model(app, options);
    add_training(app, options);
    add_numbers(app, options);
    add_run(app, options);
    if (options.self_supervised) add_self_supervised(app, options);
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp& help) {
        return app.exit(help);
    } catch (const CLI::ParseError& error) {
        std::fprintf(stderr, "%s: %s (see --help)\n",
                     app.get_name().empty() ? argv[0] : app.get_name().c_str(), error.what());
        return 2;
    }
    return -1;
}

Record TrainOptions::record() const {
    Record r;
    for (const Field& f : std::initializer_list<Field>{{"data", data},
                                                       {"image_size", image_size},
                                                       {"train_images", train_images},
                                                       {"test_images", test_images},
                                                       {"augment", augment},
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
                                                       {"init_from", init_from},
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
                                                       {"save_every", save_every}})
        r.add(f.name, f.value);
    if (!self_supervised) return r;
    for (const Field& f : std::initializer_list<Field>{{"local_crops", local_crops},
                                                       {"prototypes", prototypes},
                                                       {"head_hidden", head_hidden},
                                                       {"bottleneck", bottleneck},
                                                       {"centering", centering},
                                                       {"teacher_temp", teacher_temp},
                                                       {"teacher_temp_start", teacher_temp_start},
                                                       {"teacher_momentum", teacher_momentum},
                                                       {"weight_decay_end", weight_decay_end},
                                                       {"koleo_weight", koleo_weight},
                                                       {"ibot_weight", ibot_weight},
                                                       {"freeze_last_layer", freeze_last_layer},
                                                       {"eval_every", eval_every},
                                                       {"eval_images", eval_images}})
        r.add(f.name, f.value);
    return r;
}

std::vector<std::string> TrainOptions::may_change_on_resume() {
    return {"device", "out", "save_every", "data", "init_from"};
}

}  // namespace demi::examples
