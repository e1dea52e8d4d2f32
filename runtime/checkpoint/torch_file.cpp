#include <algorithm>
#include <mutex>
#include <set>

#include "runtime/checkpoint/source.h"
#include "runtime/checkpoint/torch_tensor.h"
#include "runtime/checkpoint/zip.h"
#include "runtime/copy.h"
#include "runtime/parallel.h"
#include "runtime/utf8.h"

namespace demi {
namespace {

using Kind = PickleValue::Kind;
constexpr int64_t kMaxPickle = 64 << 20, kPiece = 1 << 20;
constexpr int kMaxDepth = 64;
constexpr size_t kMaxVisits = 4'000'000, kMaxName = 1000;

class TorchFile : public CheckpointSource {
  public:
    TorchFile(std::shared_ptr<const InputFile> file, bool check_sums);
    Tensor load(const std::string& name) const override;

  private:
    template <class... Parts> [[noreturn]] void refuse(const Parts&... parts) const {
        fail("checkpoint", "'", path, "': ", parts...);
    }
    std::string find_top() const;
    const ZipEntry* find(const std::string& name) const;
    std::string read_entry(const std::string& name, int64_t most) const;
    void walk(const Pickle& pickle, uint32_t id, const std::string& name, int depth);
    void add_tensor(const Pickle& pickle, uint32_t id, const std::string& name);
    void check_sum(const ZipEntry& entry, uint32_t sum) const;
    void check_storage(const ZipEntry& entry) const;
    uint32_t read_data(int64_t begin, char* data, int64_t bytes) const;

    std::shared_ptr<const InputFile> file_;
    bool check_sums_;
    std::string top_;
    std::vector<ZipEntry> entries_;  // sorted by name
    std::map<std::string, TorchTensor> tensors_;
    size_t visits_ = 0;
    mutable std::mutex mutex_;
    mutable std::set<std::string> checked_;  // entries whose checksum was right
};

TorchFile::TorchFile(std::shared_ptr<const InputFile> file, bool check_sums)
    : file_(std::move(file)), check_sums_(check_sums) {
    path = file_->path();
    format = "PyTorch";
    entries_ = list_zip(*file_);
    top_ = find_top();
    locate_zip_entries(*file_, entries_);
    std::sort(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    for (const ZipEntry& entry : entries_)
        if (!entry.name.starts_with(top_))
            refuse("'", entry.name, "' lies outside the archive's folder '", top_, "'");
    if (find(top_ + "byteorder") != nullptr && read_entry(top_ + "byteorder", 16) != "little")
        refuse("was written on a big-endian machine: save it on a little-endian one");
    const Pickle pickle = parse_pickle(read_entry(top_ + "data.pkl", kMaxPickle), path);
    const PickleValue& root = pickle[pickle.root];
    if (root.is(Kind::object))
        refuse("is a pickled object of class ", root.text,
               " (a whole module?), not a state_dict: in Python, torch.save(model.state_dict(), NEW)");
    if (root.is(Kind::tensor)) refuse("is one tensor without a name: needed is a state_dict");
    walk(pickle, pickle.root, "", 0);
    for (const auto& [name, type] : objects)
        if (type.starts_with("torch.distributed."))
            refuse("is one rank's shard of a model ('", name, "' is a ", type,
                   "): gather the full state_dict in training and save that");
    if (tensors_.empty()) {
        if (objects.empty()) refuse("holds no tensor");
        refuse("holds no tensor, but under '", objects.begin()->first, "' an object of class ",
               objects.begin()->second, ": in Python, torch.save() its state_dict()");
    }
    std::sort(names.begin(), names.end());
}

// The folder in the archive, with its slash. Other programs write ZIP archives too: the names tell.
std::string TorchFile::find_top() const {
    for (const ZipEntry& entry : entries_) {
        if (entry.name.ends_with(".npy"))
            refuse("is a NumPy archive (.npz): needed is a state_dict of torch.save, or safetensors");
        if (entry.name.ends_with("/constants.pkl") || entry.name.find("/code/") != std::string::npos)
            refuse("is a TorchScript archive: in Python, torch.save(torch.jit.load(FILE).state_dict(), NEW)");
    }
    std::string found;
    for (const ZipEntry& entry : entries_) {
        const size_t slash = entry.name.find('/');
        if (slash == std::string::npos || entry.name.substr(slash) != "/data.pkl") continue;
        if (!found.empty() && found != entry.name) refuse("holds '", found, "' and '", entry.name, "'");
        found = entry.name;
    }
    if (found.empty())
        refuse("is a ZIP archive that torch.save did not write: it has no data.pkl",
               entries_.empty() ? "" : ", but '" + entries_[0].name + "'");
    return found.substr(0, found.size() - 8);
}

const ZipEntry* TorchFile::find(const std::string& name) const {
    const auto at =
        std::lower_bound(entries_.begin(), entries_.end(), name,
                         [](const ZipEntry& entry, const std::string& n) { return entry.name < n; });
    return at != entries_.end() && at->name == name ? &*at : nullptr;
}

std::string TorchFile::read_entry(const std::string& name, int64_t most) const {
    const ZipEntry& entry = *find(name);
    if (entry.size > most) refuse("'", name, "' has ", entry.size, " bytes, at most ", most, " are read");
    std::string bytes = file_->text(entry.begin, entry.size);
    check_sum(entry, crc32(bytes.data(), bytes.size()));
    return bytes;
}

void TorchFile::check_sum(const ZipEntry& entry, uint32_t sum) const {
    if (check_sums_ && sum != entry.crc)
        refuse("'", entry.name, "' is damaged: its CRC-32 is ", sum, ", the archive says ", entry.crc,
               " (download it again; a file that was written without checksums needs --ignore-crc)");
    const std::lock_guard lock(mutex_);
    checked_.insert(entry.name);
}

// Piece by piece: a storage may be far larger than the tensors in it that are wanted.
void TorchFile::check_storage(const ZipEntry& entry) const {
    if (!check_sums_) return;
    {
        const std::lock_guard lock(mutex_);
        if (checked_.contains(entry.name)) return;
    }
    std::string piece;
    uint32_t sum = 0;
    for (int64_t at = 0; at < entry.size; at += kPiece) {
        piece = file_->text(entry.begin + at, std::min(kPiece, entry.size - at));
        sum = crc32(piece.data(), piece.size(), sum);
    }
    check_sum(entry, sum);
}

void TorchFile::walk(const Pickle& pickle, uint32_t id, const std::string& name, int depth) {
    const PickleValue& value = pickle[id];
    if (++visits_ > kMaxVisits || depth > kMaxDepth)
        refuse("its dicts and lists are nested too deeply, or hold themselves");
    if (value.is(Kind::tensor)) return add_tensor(pickle, id, name);
    if (value.is(Kind::object)) objects[name] = value.text;
    const auto child = [&](const std::string& key, uint32_t item) {
        const std::string full = name.empty() ? key : name + "." + key;
        if (full.size() > kMaxName || !is_printable(key))
            refuse("a name under '", name, "' is too long or not plain text");
        walk(pickle, item, full, depth + 1);
    };
    if (value.is(Kind::list) || value.is(Kind::tuple)) {
        for (size_t i = 0; i < value.items.size(); ++i) child(std::to_string(i), value.items[i]);
    } else if (value.is(Kind::dict)) {
        for (size_t i = 0; i + 1 < value.items.size(); i += 2) {
            const PickleValue& key = pickle[value.items[i]];
            const bool number = key.is(Kind::integer) || key.is(Kind::boolean);
            child(key.is(Kind::text) ? std::string(key.text)
                  : number           ? std::to_string(key.number)
                                     : "?",
                  value.items[i + 1]);
        }
    }
}

void TorchFile::add_tensor(const Pickle& pickle, uint32_t id, const std::string& name) {
    TorchTensor tensor = read_torch_tensor(pickle, id, name, path);
    const std::string entry_name = top_ + "data/" + tensor.key;
    const ZipEntry* entry = find(entry_name);
    if (entry == nullptr) refuse("tensor '", name, "': its storage '", tensor.key, "' is not in the archive");
    if (entry->size != tensor.bytes(tensor.storage_numel))
        refuse("tensor '", name, "': its storage '", tensor.key, "' of ", tensor.storage_numel, " ",
               tensor.dtype->name, " needs ", tensor.bytes(tensor.storage_numel), " bytes: the archive has ",
               entry->size);
    if (!infos.emplace(name, CheckpointFile::Info{tensor.dtype->name, tensor.shape}).second)
        refuse("names '", name, "' twice");
    names.push_back(name);
    tensors_.emplace(name, std::move(tensor));
}

// In pieces, on all threads: taking the checksum takes as long as reading. Returns it, 0 where none is wanted.
uint32_t TorchFile::read_data(int64_t begin, char* data, int64_t bytes) const {
    std::vector<uint32_t> sums(static_cast<size_t>(ceil_div(bytes, kPiece)));
    parallel_ranges(bytes, kPiece, [&](int64_t from, int64_t to) {
        file_->read(begin + from, data + from, to - from);
        if (check_sums_)
            sums[static_cast<size_t>(from / kPiece)] = crc32(data + from, static_cast<size_t>(to - from));
    });
    uint32_t all = 0;
    for (size_t i = 0; check_sums_ && i < sums.size(); ++i) {
        const int64_t from = static_cast<int64_t>(i) * kPiece;
        all = crc32_joined(all, sums[i], static_cast<uint64_t>(std::min(kPiece, bytes - from)));
    }
    return all;
}

Tensor TorchFile::load(const std::string& name) const {
    const TorchTensor& t = tensors_.at(name);
    if (!t.dtype->known)
        refuse("tensor '", name, "' has dtype ", t.dtype->name, ", which demi does not have");
    Tensor out = Tensor::empty(t.shape, t.dtype->dtype);
    if (out.numel() == 0) return out;
    const ZipEntry& entry = *find(top_ + "data/" + t.key);
    const bool whole = t.contiguous() && out.numel() == t.storage_numel;
    if (!whole) check_storage(entry);
    Tensor memory = t.contiguous() ? out.view({out.numel()}) : Tensor::empty({t.span()}, t.dtype->dtype);
    char* data = static_cast<char*>(memory.mutable_raw());
    const int64_t bytes = t.bytes(memory.numel());
    const uint32_t sum = read_data(entry.begin + t.bytes(t.offset), data, bytes);
    if (whole) check_sum(entry, sum);
    if (t.dtype->dtype == DType::boolean)
        for (int64_t i = 0; i < bytes; ++i)
            if (data[i] != 0 && data[i] != 1) refuse("tensor '", name, "': a bool is neither 0 nor 1");
    if (!t.contiguous()) copy(out, memory.as_strided(t.shape, t.strides, 0));
    return out;
}

}  // namespace

CheckpointSourcePtr open_torch(std::shared_ptr<const InputFile> file, bool check_sums) {
    return std::make_shared<TorchFile>(std::move(file), check_sums);
}

}  // namespace demi
