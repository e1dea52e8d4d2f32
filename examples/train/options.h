#pragma once
// The command line that the trainers share.
#include <cstdint>
#include <string>
#include <vector>

#include "examples/common/record.h"

namespace CLI {
class App;
}

namespace demi::examples {

struct TrainOptions;

// The part of the command line that only one of the programs has.
struct MoreOptions {
    void (*add_flags)(CLI::App&, TrainOptions&);
    void (*add_record)(Record&, const TrainOptions&);
};

struct TrainOptions {
    // data
    std::string data;  // empty: drawn by the program
    std::string val;   // folder of held-out pictures, beside --data
    double val_fraction = 0.1;
    bool skip_broken = false, exif_orientation = true;
    int64_t image_size = 0, channels = 0;       // channels, no flag: what weights ask for; 0: as stored
    int64_t train_images = 0, test_images = 0;  // 0: all
    int64_t workers = 1;
    // model
    std::string model;  // empty: from dim, depth, heads
    int64_t patch = 0, dim = 0, depth = 0, heads = 0;
    double mlp_ratio = 2;
    double drop_path = 0, layer_scale = 0;
    int64_t registers = 0;
    bool swiglu = false, rope = false;
    // training
    int64_t epochs = 0, steps = 0, batch = 128;
    std::string optimizer = "adamw";
    double lr = 0, min_lr = 1e-6, weight_decay = 0.05, warmup = 0.1, clip_grad = 1;
    double label_smoothing = 0.1, layer_decay = 1, ema = 0;
    double resized_crop = 0, mixup = 0, cutmix = 0;
    bool trivial_augment = false;
    int augment = 0;  // -1: no; 0: yes, but not drawn pictures, of which there are enough
    int64_t seed = 0;
    // numbers
    std::string precision = "f32", boundary = "strict", grad_scale = "auto";
    bool boundary_report = false, partial = false;
    std::string freeze;  // "", "backbone", or a number of blocks
    // run
    std::string device = "auto", out, init_from, profile;
    std::string config, resume;  // resume: "", "yes" or "auto"; parse_options() makes "" or "yes" of it
    bool overwrite = false, keep_best = false, tensorboard = true, graph = true;
    int64_t patience = 0;
    int64_t threads = 0, log_every = 10, save_every = 0;
    double expect_accuracy = -1;
    // several ranks
    std::string shard = "none";
    int64_t shards = 0;  // 0: as the run that is resumed, or as many as ranks
    double comm_timeout = 300;

    // self-supervised training only: flags are there when `more` is set before parsing (ssl_options.h)
    const MoreOptions* more = nullptr;
    int64_t local_crops = 4, prototypes = 128, head_hidden = 256, bottleneck = 64;
    std::string centering = "sinkhorn_knopp";
    // Negative numbers, and sizes of 0: by the data set (ssl_recipe.h).
    double teacher_temp = -1, teacher_temp_start = -1, teacher_momentum = -1;
    double weight_decay_end = 0.2, koleo_weight = 0.1, ibot_weight = 0, freeze_last_layer = 0.05;
    int64_t warmup_heads = -1;  // steps; -1: a tenth, where --init-from brings no heads
    int64_t eval_every = 0, eval_images = 5000;
    int64_t global_size = 0, local_size = 0;
    double global_share = -1, local_share = -1, local_share_end = -1;
    double color = -1, hue = -1, gray = -1, blur = 0.5, solarize = 0.2, invert = -1;
    bool linear_probe = true, ibot_head = false;
    std::string distill;        // a frozen teacher's weights
    int64_t distill_heads = 0;  // its attention heads; 0: what the file says

    bool resuming() const { return !resume.empty(); }
    std::vector<std::string> given;    // names of the flags that the command line or a file has set
    bool has(const char* flag) const;  // among them
    Record defaults;                   // record() of the program, before its command line
    Record record() const;             // effective values, for config.json
    static std::vector<std::string> may_change_on_resume();
};

// Every flag of the trainers, into `options`.
void add_options(CLI::App& app, TrainOptions& options);
void add_ranks(CLI::App& app, TrainOptions& options);  // the part about several ranks

// Parses argv into `options` (which holds the defaults). Returns -1 to go on, else the process's exit status:
// 0 after --help, 2 after a wrong command line, with one line on stderr that says what was wrong.
int parse_options(int argc, char** argv, const std::string& description, TrainOptions& options);

}  // namespace demi::examples
