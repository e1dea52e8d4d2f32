#include "runtime/checkpoint/checkpoint.h"

#include <filesystem>

#include "runtime/checkpoint/source.h"
#include "runtime/utf8.h"

namespace demi {
namespace {

class OneSafetensors : public CheckpointSource {
  public:
    explicit OneSafetensors(const std::string& file) : file_(file) {
        path = file;
        format = "safetensors";
        metadata = file_.metadata();
        names = file_.names();
        for (const std::string& name : names) {
            check(is_printable(name), "checkpoint", "'", path, "': a tensor's name is not plain text");
            infos[name] = {file_.info(name).dtype, file_.info(name).shape};
        }
    }
    Tensor load(const std::string& name) const override { return file_.load(name); }

  private:
    SafetensorsFile file_;
};

}  // namespace

CheckpointSourcePtr open_file(const std::string& path, bool check_sums) {
    auto file = std::make_shared<const InputFile>("checkpoint", path);
    const std::string head = file->text(0, std::min<int64_t>(file->size(), 9));
    if (head.starts_with("PK\x03\x04") || head.starts_with("PK\x05\x06")) return open_torch(file, check_sums);
    if (head.size() == 9 && head[8] == '{') return std::make_shared<OneSafetensors>(path);
    fail("checkpoint", "'", path, "': ", what_it_is(*file));
}

CheckpointFile open_checkpoint(const std::string& path, bool check_sums) {
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) return CheckpointFile(open_folder(path, check_sums));
    const std::filesystem::path file = path;
    if (file.filename().string().ends_with(".index.json"))
        return CheckpointFile(
            open_folder(file.has_parent_path() ? file.parent_path().string() : ".", check_sums));
    const CheckpointSourcePtr source = open_file(path, check_sums);
    if (file.filename() == "model.safetensors" || file.filename() == "pytorch_model.bin")
        read_configs(*source, file.parent_path().string());
    return CheckpointFile(source);
}

const std::string& CheckpointFile::path() const { return source_->path; }
const std::string& CheckpointFile::format() const { return source_->format; }
const std::vector<std::string>& CheckpointFile::names() const { return source_->names; }
bool CheckpointFile::contains(const std::string& name) const { return source_->infos.contains(name); }
const Metadata& CheckpointFile::metadata() const { return source_->metadata; }
const std::string& CheckpointFile::config() const { return source_->config; }
const std::string& CheckpointFile::preprocessor() const { return source_->preprocessor; }
const Metadata& CheckpointFile::objects() const { return source_->objects; }

const CheckpointFile::Info& CheckpointFile::info(const std::string& name) const {
    const auto found = source_->infos.find(name);
    check(found != source_->infos.end(), "checkpoint", "'", path(), "': has no tensor '", name, "'");
    return found->second;
}

Tensor CheckpointFile::load(const std::string& name) const {
    (void)info(name);
    return source_->load(name);
}

}  // namespace demi
