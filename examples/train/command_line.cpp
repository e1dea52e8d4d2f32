#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "examples/common/files.h"
#include "examples/common/run_folder.h"
#include "examples/train/config_file.h"
#include "examples/train/help.h"
#include "examples/train/options.h"
#include "examples/train/usage.h"
#include "runtime/check.h"
#include "runtime/comm/job.h"

namespace demi::examples {
namespace {

class CommandLine {
  public:
    CommandLine(CLI::App& app, std::vector<std::string> words) : app_(app), words_(std::move(words)) {
        for (std::string& word : words_) use_dashes(word);
    }

    // The flag that a word names; null for a value.
    const CLI::Option* option_of(const std::string& word) const {
        return word.starts_with("--") ? app_.get_option_no_throw(word.substr(0, word.find('='))) : nullptr;
    }

    bool names(const CLI::Option* option) const {
        return std::any_of(words_.begin(), words_.end(),
                           [&](const std::string& word) { return option_of(word) == option; });
    }
    bool names(const char* flag) const { return names(app_.get_option(flag)); }

    // The value behind the flag; "" where it is not there.
    std::string value(const char* flag) const {
        for (size_t i = 0; i < words_.size(); ++i) {
            if (option_of(words_[i]) != app_.get_option(flag)) continue;
            if (const size_t equals = words_[i].find('='); equals != std::string::npos)
                return words_[i].substr(equals + 1);
            return i + 1 < words_.size() && !words_[i + 1].starts_with("-") ? words_[i + 1] : "";
        }
        return "";
    }

    // Adds what the command line does not say itself.
    void add(const std::vector<ConfigEntry>& entries) {
        std::vector<std::string> added;
        for (const ConfigEntry& entry : entries) {
            const CLI::Option* option = app_.get_option_no_throw("--" + entry.name);
            if (option == nullptr || entry.name == "config" || entry.name == "help" ||
                entry.name == "version") {
                const std::string near = nearest_name(entry.name, names_without_dashes());
                fail("config", entry.where, ": unknown option '", entry.name, "'",
                     near.empty() ? "" : ", did you mean " + near + "?");
            }
            if (!names(option)) added.push_back("--" + entry.name + "=" + entry.value);
        }
        words_.insert(words_.end(), added.begin(), added.end());
    }

    void parse() {
        std::vector<std::string> reversed(words_.rbegin(), words_.rend());
        app_.parse(reversed);
    }

    std::vector<std::string> all_names() const {
        std::vector<std::string> all;
        for (const CLI::Option* option : app_.get_options())
            for (const std::string& name : option->get_lnames()) all.push_back("--" + name);
        return all;
    }

  private:
    std::vector<std::string> names_without_dashes() const {
        std::vector<std::string> all = all_names();
        for (std::string& name : all) name.erase(0, 2);
        return all;
    }

    void use_dashes(std::string& word) const {
        if (!word.starts_with("--") || option_of(word)) return;
        std::string other = word;
        std::replace(other.begin(),
                     other.begin() + static_cast<std::ptrdiff_t>(std::min(word.find('='), word.size())), '_',
                     '-');
        if (option_of(other)) word = other;
    }

    CLI::App& app_;
    std::vector<std::string> words_;
};

// The folder that --resume is about, and whether there is something to go on from.
bool find_resumed(const CommandLine& line, TrainOptions& options, std::string& folder) {
    const std::string how = line.value("--resume");
    check(how.empty() || how == "auto" || how == "yes" || how == "true", "resume",
          "--resume stands alone or with auto, got '", how, "'");
    folder = line.names("--out") ? line.value("--out") : default_run(options.out, true);
    const bool run = exists(folder + "/config.json");
    if (!run && how == "auto") return false;
    if (!run || exists(folder + "/checkpoint.safetensors")) return true;
    std::printf("%s has no checkpoint yet: it starts at the first step\n", folder.c_str());
    return false;
}

void parse_all(CLI::App& app, CommandLine& line, TrainOptions& options) {
    bool resume = false, known = line.names("--out");
    if (line.names("--config")) {
        const ConfigFile file = read_config(line.value("--config"));
        line.add(file.program.empty() ? file.entries : of_run(file, options.defaults));
        known = line.names("--out");
    }
    if (line.names("--resume")) {
        std::string folder;
        resume = find_resumed(line, options, folder);
        if (exists(folder + "/config.json")) {
            line.add(of_run(read_config(folder + "/config.json"), options.defaults));
            known = true;
            if (!line.names("--out")) options.out = folder;
        }
    }
    line.parse();
    for (const CLI::Option* option : app.get_options())
        if (option->count() > 0) options.given.push_back(option->get_single_name());
    options.resume = resume ? "yes" : "";
    if (!known && !options.overwrite) {
        const std::string usual = options.out;
        options.out = default_run(usual, resume);
        if (options.out != usual && !resume)
            std::printf("%s holds a run: this one goes to %s\n", usual.c_str(), options.out.c_str());
    }
    for (const char* size : {"--dim", "--depth", "--heads", "--mlp-ratio"})
        check(app.count("--model") == 0 || app.count(size) == 0, "model", "--model ", options.model,
              " says what ", size, " is: give one or the other");
}

}  // namespace

int parse_options(int argc, char** argv, const std::string& description, TrainOptions& options) {
    const std::string path = argv[0];
    CLI::App app(description, path.substr(path.rfind('/') + 1));
    options.defaults = options.record();
    add_options(app, options);
    set_help(app, "demi " DEMI_VERSION);
    CommandLine line(app, {argv + 1, argv + argc});
    const auto refuse = [&](const std::string& text) {
        // What all ranks refuse is said once: the launcher ends the others with the first.
        const int rank = launched_rank();
        if (rank != 0) std::this_thread::sleep_for(std::chrono::milliseconds(2000));
        const std::string who = rank == 0 ? "" : " (rank " + std::to_string(rank) + ")";
        std::fprintf(stderr, "%s: %s (see --help)%s\n", argv[0], text.c_str(), who.c_str());
        return 2;
    };
    try {
        parse_all(app, line, options);
    } catch (const CLI::Success& asked) {  // --help, --version
        return app.exit(asked);
    } catch (const CLI::ExtrasError&) {
        return refuse(unknown_arguments(app.remaining(), line.all_names()));
    } catch (const CLI::ParseError& error) {
        return refuse(plain_range(error.what()));
    } catch (const Error& error) {
        return refuse(error.what());
    }
    for (const CLI::Option* option :
         app.get_options())  // every comparison with NaN is false: no range refuses it
        if (option->get_type_name().find("FLOAT") != std::string::npos)
            for (const std::string& text : option->results())
                if (std::isnan(std::strtod(text.c_str(), nullptr)))
                    return refuse("--" + option->get_single_name() + ": Value " + text + " is not a number");
    return -1;
}

}  // namespace demi::examples
