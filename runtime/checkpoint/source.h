#pragma once
// Internal: what stands behind a CheckpointFile.
#include <map>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/input_file.h"

namespace demi {

class CheckpointSource {
  public:
    virtual ~CheckpointSource() = default;
    virtual Tensor load(const std::string& name) const = 0;  // of a name that is there

    std::string path, format, config, preprocessor;
    std::vector<std::string> names;
    std::map<std::string, CheckpointFile::Info> infos;
    Metadata metadata, objects;

  protected:
    void add(const std::string& name, CheckpointFile::Info info);
};

using CheckpointSourcePtr = std::shared_ptr<CheckpointSource>;

CheckpointSourcePtr open_file(const std::string& path, bool check_sums);    // by its content
CheckpointSourcePtr open_folder(const std::string& path, bool check_sums);  // Hugging Face's
void read_configs(CheckpointSource& source, const std::string& folder);     // what of them is there
CheckpointSourcePtr open_torch(std::shared_ptr<const InputFile> file, bool check_sums);

// Why a file that is neither safetensors nor a ZIP archive is refused: what it is, and what to do.
std::string what_it_is(const InputFile& file);

}  // namespace demi
