#include "examples/train/options.h"

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "examples/common/run_folder.h"
#include "examples/train/usage.h"

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
                 "Random crop, and flip where it keeps the class (default: on, but for drawn pictures)")
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
    app.add_option("--init-from", o.init_from,
                   "Start from the weights in this .safetensors, .pth or Hugging Face folder")
        ->group(group);
    app.add_flag("--partial", o.partial,
                 "Start also from weights with names that the model has no place for, or that lack some")
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
    app.add_option(
           "--out", o.out,
           "Folder for metrics, checkpoint and report; where the default holds a run, a number is added")
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

}  // namespace

int parse_options(int argc, char** argv, const std::string& description, TrainOptions& options) {
    CLI::App app(description);
    app.set_config("--config", "", "Read options from this TOML or INI file");
    add_data(app, options);
    add_model(app, options);
    add_training(app, options);
    add_numbers(app, options);
    add_run(app, options);
    if (options.more) options.more->add_flags(app, options);
    const auto refuse = [&](const std::string& text) {
        std::fprintf(stderr, "%s: %s (see --help)\n", argv[0], text.c_str());
        return 2;
    };
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp& help) {
        return app.exit(help);
    } catch (const CLI::ExtrasError&) {
        std::vector<std::string> names;
        for (const CLI::Option* option : app.get_options()) names.push_back("--" + option->get_single_name());
        return refuse(unknown_arguments(app.remaining(), names));
    } catch (const CLI::ParseError& error) {
        return refuse(plain_range(error.what()));
    }
    for (const CLI::Option* option :
         app.get_options())  // every comparison with NaN is false: no range refuses it
        if (option->get_type_name().find("FLOAT") != std::string::npos)
            for (const std::string& text : option->results())
                if (std::isnan(std::strtod(text.c_str(), nullptr)))
                    return refuse("--" + option->get_single_name() + ": Value " + text + " is not a number");
    if (app.count("--out") == 0 && !options.overwrite) {
        const std::string usual = options.out;
        options.out = default_run(usual, options.resume);
        if (options.out != usual && !options.resume)
            std::printf("%s holds a run: this one goes to %s\n", usual.c_str(), options.out.c_str());
    }
    return -1;
}

Record TrainOptions::record() const {
    Record r;
    for (const Field& f : std::initializer_list<Field>{{"data", data},
                                                       {"image_size", image_size},
                                                       {"train_images", train_images},
                                                       {"test_images", test_images},
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
    if (more) more->add_record(r, *this);
    return r;
}

std::vector<std::string> TrainOptions::may_change_on_resume() {
    return {"device", "out", "save_every", "data", "init_from"};
}

}  // namespace demi::examples
