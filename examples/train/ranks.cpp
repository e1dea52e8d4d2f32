#include "examples/train/ranks.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <new>
#include <thread>

#include "examples/common/device.h"
#include "examples/common/files.h"
#include "examples/common/program.h"
#include "runtime/atomic_file.h"
#include "runtime/comm/job.h"
#include "runtime/isa.h"
#include "runtime/non_copyable.h"
#include "runtime/parallel.h"

namespace demi::examples {

namespace {

// A folder that lives as long as this, for a rank that must not write into the run's.
class ScratchFolder : NonCopyable {
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

std::string at_rank(const Communicator& world, size_t rank) {
    return " on rank " + std::to_string(rank) + " (" + world.host(static_cast<int>(rank)) + ")";
}

// Bits differ between instruction sets: the job takes the narrowest.
void agree_on_isa(const Communicator& world) {
    const std::vector<std::string> all = world.all_gather_text(isa_name(cpu_isa()));
    size_t narrowest = 0;
    constexpr Isa kAll[] = {Isa::v4_amx, Isa::v4_bf16, Isa::v4, Isa::v3, Isa::baseline};
    for (size_t r = 0; r < all.size(); ++r)
        check(std::any_of(std::begin(kAll), std::end(kAll), [&](Isa isa) { return all[r] == isa_name(isa); }),
              "ranks", "need processors of one kind, or the bits would differ: got ", all[r],
              at_rank(world, r), " beside ", isa_name(cpu_isa()));
    for (Isa isa : kAll)
        for (size_t r = all.size(); r-- > 0;)
            if (all[r] == isa_name(isa)) {
                limit_cpu_isa(isa);
                narrowest = r;
            }
    if (std::any_of(all.begin(), all.end(), [&](const std::string& name) { return name != all[narrowest]; }))
        std::printf("instruction set %s, the narrowest of the ranks%s\n", all[narrowest].c_str(),
                    at_rank(world, narrowest).c_str());
}

// What must be the same on all ranks, and is not.
std::string differences(const Communicator& world, const Record& own) {
    const std::vector<std::string> all = world.all_gather_text(to_json(own));
    const auto at = [&](size_t rank) { return parse_record(all[rank]).value_or(Record()); };
    const Record first = at(0);
    std::string list;
    for (const auto& [name, value] : first.fields()) {
        std::string others;
        for (size_t r = 1; r < all.size(); ++r)
            if (const std::string text = at(r).text(name); text != to_text(value))
                others += ", '" + text + "'" + at_rank(world, r);
        if (others.empty()) continue;
        list += (list.empty() ? "" : "; ") + name + " '" + to_text(value) + "'" + at_rank(world, 0) + others;
    }
    return list;
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

// What several ranks refuse is said once: the first that lives ends the job before the others speak.
static void speak_in_turn(const Job& job) {
    using std::chrono::milliseconds;
    const int rank = job.world().rank();
    if (rank > 0) std::this_thread::sleep_for(milliseconds(200 + 100 * std::min(rank, 5)));
    if (!job.other_failed()) return;
    std::this_thread::sleep_for(milliseconds(5000));  // the launcher ends this process meanwhile
    job.abort(1);
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
            agree_on_isa(world);
            const ScratchFolder scratch(world.rank() != 0);
            share_folder(world, options, scratch.path());
            options.device = own_device(world, options.device);
            return train(options, job.world_on(usable_device(options.device)));
        } catch (const std::exception& error) {
            const bool memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr;
            std::fflush(stdout);
            speak_in_turn(job);
            std::fprintf(stderr, "%s: %s (rank %d on %s)\n", program,
                         memory ? "there is not enough memory" : error.what(), world.rank(),
                         world.host(world.rank()).c_str());
            job.abort(1);
        }
    });
}

void agree_on_run(const Communicator& world, TrainOptions& options, Device device, uint64_t data_fingerprint,
                  int64_t pictures) {
    if (options.shards == 0) options.shards = options.resuming() ? 1 : world.size();
    Record own = options.record();
    own.add("version", DEMI_VERSION).add("device", device.is_cpu() ? "cpu" : "cuda").add("out", "");
    own.add("the data's fingerprint", std::to_string(data_fingerprint)).add("pictures", pictures);
    own.add("shards", options.shards).add("shard", options.shard).add("patience", options.patience);
    own.add("keep_best", options.keep_best).add("expect_accuracy", options.expect_accuracy);
    own.add("linear_probe", options.linear_probe).add("boundary_report", options.boundary_report);
    const std::string differing = differences(world, own);
    check(differing.empty(), "ranks", "must be the same on all ranks: got ", differing);
    const std::string shards = std::to_string(options.shards);
    check(options.shards % world.size() == 0, "ranks",
          "--shards must be a multiple of the number of ranks: got ", shards, " shards for ", world.size(),
          " ranks");
    check(options.shards == 1 || options.batch <= pictures, "ranks", "--batch must not exceed the ", pictures,
          " pictures: got ", options.batch);
    check(options.batch % options.shards == 0, "ranks", "--batch must be a multiple of --shards: got ",
          options.batch, " pictures for ", shards, " shards");
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

void RunSignal::agree(StopSignals& stop, const Communicator& world, bool failed) {
    several_ = world.size() > 1;
    const std::vector<int64_t> own = {stop.signal(), stop.save_requested(), failed};
    const std::vector<int64_t> all = world.all_gather(Tensor::from(own, {1, 3})).to_vector<int64_t>();
    save_ = failed_ = false;
    for (size_t at = 0; at < all.size(); at += 3) {
        if (all[at] != 0) signal_ = static_cast<int>(all[at]);
        save_ = save_ || all[at + 1] != 0;
        failed_ = failed_ || all[at + 2] != 0;
    }
}

std::string signal_name(int signal) {
    return signal == SIGINT ? "SIGINT" : signal == SIGTERM ? "SIGTERM" : signal == SIGHUP ? "SIGHUP" : "";
}

}  // namespace demi::examples
