#include <algorithm>
#include <filesystem>

#include "runtime/checkpoint/source.h"
#include "runtime/json.h"
#include "runtime/utf8.h"

namespace demi {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kMaxText = 64 << 20;

template <class... Parts> [[noreturn]] void refuse(const std::string& path, const Parts&... parts) {
    fail("checkpoint", "'", path, "': ", parts...);
}

bool is_there(const fs::path& path) {
    std::error_code ignored;
    return fs::exists(path, ignored);
}

std::string read_text(const fs::path& path) {
    const InputFile file("checkpoint", path.string());
    if (file.size() > kMaxText)
        refuse(path.string(), "has ", file.size(), " bytes, at most ", kMaxText, " are read");
    return file.text(0, file.size());
}

Json read_json(const fs::path& path) {
    const std::string text = read_text(path);
    try {
        Json json = parse_json(text, 16);
        if (json.is(Json::Kind::object)) return json;
    } catch (const std::runtime_error& error) {
        refuse(path.string(), error.what());
    }
    refuse(path.string(), "is not a JSON object");
}

// One tensor list over the files that hold them.
class Shards : public CheckpointSource {
  public:
    void add_file(const CheckpointSourcePtr& part) {
        for (const std::string& name : part->names) {
            add(name, part->infos.at(name));
            owners_[name] = part;
        }
        metadata.insert(part->metadata.begin(), part->metadata.end());
        objects.insert(part->objects.begin(), part->objects.end());
    }
    Tensor load(const std::string& name) const override { return owners_.at(name)->load(name); }
    const std::map<std::string, CheckpointSourcePtr>& owners() const { return owners_; }

  private:
    std::map<std::string, CheckpointSourcePtr> owners_;
};

void open_shards(Shards& all, const fs::path& folder, const fs::path& index, bool check_sums) {
    const Json json = read_json(index);
    const Json* map = json.find("weight_map");
    if (map == nullptr || !map->is(Json::Kind::object) || map->members.empty())
        refuse(index.string(), "has no weight_map");
    std::map<std::string, CheckpointSourcePtr> files;
    for (const auto& [name, file] : map->members) {
        if (!file.is(Json::Kind::text) || file.text.empty() || !is_printable(file.text) ||
            !is_printable(name) || file.text[0] == '.' || file.text.find('/') != std::string::npos)
            refuse(index.string(), "'", name, "' must lie in a file of the same folder: got ", file.dump());
        if (files.contains(file.text)) continue;
        const std::string path = (folder / file.text).string();
        if (!is_there(path)) refuse(all.path, "needs the shard '", file.text, "', which is not there");
        all.add_file(files[file.text] = open_file(path, check_sums));
    }
    for (const auto& [name, file] : map->members)
        if (const auto owner = all.owners().find(name);
            owner == all.owners().end() || owner->second != files[file.text])
            refuse(all.path, "'", file.text, "' has no tensor '", name, "', which the index promises");
    for (const auto& [name, owner] : all.owners())
        if (map->find(name) == nullptr)
            refuse(owner->path, "tensor '", name, "' is not in the index '", index.filename().string(), "'");
}

[[noreturn]] void refuse_folder(const fs::path& folder) {
    std::string inside;
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
        const std::string name = entry.path().filename().string(), end = entry.path().extension().string();
        if (name == ".metadata" || end == ".distcp")
            refuse(folder.string(), "is a distributed checkpoint (DCP): convert it with 'python -m "
                                    "torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER OUT.pth'");
        for (const char* known : {".pth", ".pt", ".ckpt", ".safetensors", ".bin"})
            if (end == known && (inside.empty() || name < inside)) inside = name;
    }
    refuse(folder.string(), "is a folder without model.safetensors, pytorch_model.bin or an index of shards",
           inside.empty() ? "" : " (name the file itself, such as '" + inside + "')");
}

}  // namespace

void CheckpointSource::add(const std::string& name, CheckpointFile::Info info) {
    check(infos.emplace(name, std::move(info)).second, "checkpoint", "'", path, "': two files hold '", name,
          "'");
    names.insert(std::lower_bound(names.begin(), names.end(), name), name);
}

void read_configs(CheckpointSource& source, const std::string& path) {
    const fs::path folder = path;
    if (is_there(folder / "config.json")) source.config = read_text(folder / "config.json");
    if (is_there(folder / "preprocessor_config.json"))
        source.preprocessor = read_text(folder / "preprocessor_config.json");
}

CheckpointSourcePtr open_folder(const std::string& path, bool check_sums) {
    const fs::path folder = path;
    const auto all = std::make_shared<Shards>();
    all->path = path;
    all->format = "Hugging Face folder";
    read_configs(*all, path);
    for (const char* name : {"model.safetensors", "pytorch_model.bin"}) {
        const fs::path file = folder / name, index = folder / (std::string(name) + ".index.json");
        if (is_there(file)) {
            all->add_file(open_file(file.string(), check_sums));
            return all;
        }
        if (is_there(index)) {
            open_shards(*all, folder, index, check_sums);
            return all;
        }
    }
    refuse_folder(folder);
}

}  // namespace demi
