#include "examples/train/ranks.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <thread>

#include "examples/common/device.h"
#include "examples/common/files.h"
#include "examples/common/program.h"
#include "runtime/atomic_file.h"
#include "runtime/comm/job.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace demi::examples {

namespace {

// A folder that lives as long as this, for a rank that must not write into the run's.
class ScratchFolder {
  public:
    explicit ScratchFolder(bool wanted) {
        if (!wanted) return;
        std::string name = (std::filesystem::temp_directory_path() / "demi-rank-XXXXXX").string();
        check(::mkdtemp(name.data()) != nullptr, "ranks", "cannot make a folder in ",
              std::filesystem::temp_directory_path().string());
        path_ = name;
    }
    ~ScratchFolder() {
        std::error_code ignored;
        if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
    }
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

// Ranks other than the first work in a folder of their own, and read there what a resumed run looks at.
void share_folder(const Communicator& world, TrainOptions& options, const std::string& scratch) {
    const std::string resume = world.all_gather_text(options.resume)[0];
    for (const char* name : {"config.json", "metrics.jsonl", "status.json"}) {
        const std::string path = options.out + "/" + name;
        const bool there = world.rank() == 0 && !resume.empty() && std::filesystem::exists(path);
        const std::string text = world.all_gather_text(there ? "+" + read_text(path) : "")[0];
        if (world.rank() != 0 && !text.empty()) write_file_atomic(scratch + "/" + name, text.substr(1));
    }
    options.resume = resume;
    if (world.rank() != 0) options.out = scratch;
}

}  // namespace

// Ranks of one machine take its GPUs in turn.
static std::string own_device(const Communicator& world, const std::string& name) {
    const int gpus = device_count(DeviceType::cuda);
    if (gpus == 0 || (name != "auto" && name != "cuda")) return name;
    int before = 0;
    for (int r = 0; r < world.rank(); ++r) before += world.host(r) == world.host(world.rank());
    return "cuda:" + std::to_string(before % gpus);
}

int run_trainer(int argc, char** argv, const char* program, const std::string& description,
                TrainOptions& options, int (*train)(TrainOptions options, const Communicator& world)) {
    if (launched_rank() != 0 && std::freopen("/dev/null", "w", stdout) == nullptr) return 1;
    return run_program(program, [&] {
        const int status = parse_options(argc, argv, description, options);
        if (status >= 0) return status;
        const Job job({.timeout = options.comm_timeout});
        const Communicator& world = job.world();
        if (world.size() == 1) return train(options, world);
        try {
            const ScratchFolder scratch(world.rank() != 0);
            share_folder(world, options, scratch.path());
            options.device = own_device(world, options.device);
            return train(options, job.world_on(usable_device(options.device)));
        } catch (const std::exception& error) {
            // What all ranks refuse is said once: rank 0 ends the job before the others speak.
            std::fflush(stdout);
            if (world.rank() != 0) std::this_thread::sleep_for(std::chrono::milliseconds(700));
            std::fprintf(stderr, "%s: %s (rank %d on %s)\n", program, error.what(), world.rank(),
                         world.host(world.rank()).c_str());
            job.abort(1);
        }
    });
}

static void check_same(const Communicator& world, const std::string& what, const std::string& own) {
    const std::vector<std::string> all = world.all_gather_text(own);
    std::string list;
    for (size_t r = 1; r < all.size(); ++r)
        if (all[r] != all[0])
            list += (list.empty() ? "" : ", ") + all[r] + " on rank " + std::to_string(r) + " (" +
                    world.host(static_cast<int>(r)) + ")";
    check(list.empty(), "ranks", "must have the same ", what, ": got ", all[0], " on rank 0 (", world.host(0),
          "), ", list);
}

void agree_on_run(const Communicator& world, TrainOptions& options, Device device, uint64_t data_fingerprint,
                  int64_t pictures) {
    if (options.shards == 0) options.shards = options.resuming() ? 1 : world.size();
    check_same(world, "version", DEMI_VERSION);
    check_same(world, "instruction set (DEMI_ISA)", isa_name(cpu_isa()));
    check_same(world, "kind of device", device.is_cpu() ? "cpu" : "cuda");
    check_same(world, "data", std::to_string(data_fingerprint));
    check_same(world, "options", to_json(options.record().add("device", "").add("out", "")));
    check_same(world, "sharding", options.shard);
    const std::string shards = std::to_string(options.shards);
    check(options.shards % world.size() == 0, "ranks",
          "--shards must be a multiple of the number of ranks: got ", shards, " shards for ", world.size(),
          " ranks");
    check(options.shards == 1 || options.batch <= pictures, "ranks", "--batch must not exceed the ", pictures,
          " pictures: got ", options.batch);
    check(options.batch % options.shards == 0, "ranks", "--batch must be a multiple of --shards: got ",
          options.batch, " pictures for ", shards, " shards");
    check(options.shards == 1 || !options.keep_best, "ranks",
          "--keep-best does not go with several shards yet");
    if (options.threads == 0 && world.local_size() > 1)
        set_num_threads(std::max(1, num_threads() / world.local_size()));
}

data::MakeBatch sharded_batches(data::MakeBatch make, int64_t shards, std::vector<int64_t> own) {
    return [make = std::move(make), shards, own = std::move(own)](data::Batch& batch) {
        const auto each = static_cast<std::ptrdiff_t>(batch.indices.size()) / shards;
        for (int64_t shard : own) {
            data::Batch& part = batch.parts.emplace_back();
            part.epoch = batch.epoch;
            part.number = batch.number;
            part.indices.assign(batch.indices.begin() + shard * each,
                                batch.indices.begin() + (shard + 1) * each);
            make(part);
        }
    };
}

Generator shard_generator(const Generator& run, int64_t step, int64_t shard) {
    return run.fork(4).fork(static_cast<uint64_t>(step)).fork(static_cast<uint64_t>(shard));
}

int wish_of(StopSignals& stop) { return stop.signal() + (stop.save_requested() ? 1000 : 0); }

void RunSignal::note(int wish) {
    if (wish % 1000 != 0) signal_ = wish % 1000;
    save_ = save_ || wish >= 1000;
}

int RunSignal::of(const StopSignals& stop, const DataParallel* parallel) const {
    return parallel ? signal_ : stop.signal();
}

bool RunSignal::asked(StopSignals& stop, const DataParallel* parallel) {
    return parallel ? std::exchange(save_, false) : stop.save_requested();
}

std::string signal_name(int signal) {
    return signal == SIGINT ? "SIGINT" : signal == SIGTERM ? "SIGTERM" : signal == SIGHUP ? "SIGHUP" : "";
}

}  // namespace demi::examples
