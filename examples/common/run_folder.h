#pragma once

// The folder of one training run: config.json, metrics.jsonl, checkpoints, report.html.

#include <string>
#include <vector>

#include "examples/common/record.h"
#include "runtime/non_copyable.h"

namespace demi::examples {

enum class RunStart { fresh, resume, overwrite };

struct RunConfig {
    std::string program;   // "train_vit"
    Record options;        // effective values of all options
    Record environment;    // version, isa, threads, ...: may differ on resume
    Record defaults = {};  // of the program: what a run of an earlier version, without the option, did
    std::vector<std::string> may_change;     // options that a resumed run may change (out, device, ...)
    std::vector<std::string> may_rise = {};  // numbers that it may raise (epochs, ...)
};

class RunFolder : NonCopyable {
  public:
    // Creates `path` where it is missing, locks it against a second process, removes what a killed one left
    // half written, and writes config.json; a resumed run's is left alone until accept().
    //   fresh      an Error when the folder already holds a run, unless it has no checkpoint and the same options
    //   resume     an Error when it holds none, or one of another program or with other options (listed)
    //   overwrite  removes what runs write there, nothing else
    RunFolder(std::string path, RunStart start, const RunConfig& config);
    ~RunFolder();

    void accept() const;  // the checkpoint fits: config.json now says what the resumed run does

    const std::string& path() const { return path_; }
    std::string file(const std::string& name) const { return path_ + "/" + name; }

  private:
    std::string path_, config_;
    int lock_ = -1;
};

// Where a run goes that was given no folder: `path`, or the first of path-2, path-3, ... that holds none;
// with `resume` the last that holds one.
std::string default_run(const std::string& path, bool resume);

// Names and values of options that differ, e.g. "seed is 1 there, 2 here"; empty when a resume may go on. An
// option that is not there counts as its default.
std::vector<std::string> differences(const Record& there, const Record& here,
                                     const std::vector<std::string>& may_change, const Record& defaults = {},
                                     const std::vector<std::string>& may_rise = {});

}  // namespace demi::examples
