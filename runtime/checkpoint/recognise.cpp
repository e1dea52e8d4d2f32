#include <algorithm>
#include <cctype>

#include "runtime/checkpoint/source.h"

namespace demi {
namespace {

struct Known {
    size_t at;
    std::string_view bytes;
    const char* text;
};
using namespace std::string_view_literals;
constexpr const char* kUnpack = "is compressed: unpack it first";
constexpr Known kKnown[] = {
    {0, "version https://git-lfs", "is a Git LFS pointer, not the file: fetch it with 'git lfs pull'"},
    {0, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv,
     "is a legacy PyTorch file (before 1.6): in Python, torch.save(torch.load(FILE), NEW) writes today's "
     "format"},
    {257, "ustar", "is a tar archive: unpack it; a PyTorch file before 0.1.10 has to be saved again"},
    {0, "\x1f\x8b"sv, kUnpack},
    {0, "BZh", kUnpack},
    {0, "\xfd\x37zXZ"sv, kUnpack},
    {0, "\x28\xb5\x2f\xfd"sv, kUnpack},
    {0, "7z\xbc\xaf"sv, kUnpack},
    {0, "Rar!", kUnpack},
    {0, "GGUF",
     "is a GGUF file, whose weights may be quantised: take the .safetensors or .pth that it was made of"},
    {0, "lmgg", "is a GGML file: take the .safetensors or .pth that it was made of"},
    {0, "\x93NUMPY"sv, "is one NumPy array (.npy): needed is a state_dict with names"},
    {0, "\x89HDF"sv, "is an HDF5 file (Keras): needed is a PyTorch state_dict or safetensors"},
    {4, "TFL3", "is a TensorFlow Lite model: take the PyTorch weights or safetensors"},
    {0, "%PDF", "is a PDF"},
    {0, "\x89PNG"sv, "is a picture"},
    {0, "\xff\xd8\xff"sv, "is a picture"},
    {0,
     "\x7f"
     "ELF"sv,
     "is a program"},
};

bool begins(const std::string& text, std::string_view lower) {
    if (text.size() < lower.size()) return false;
    for (size_t i = 0; i < lower.size(); ++i)
        if (std::tolower(static_cast<unsigned char>(text[i])) != lower[i]) return false;
    return true;
}

// A protobuf whose first fields are ir_version and producer_name (or the graph itself).
bool is_onnx(const std::string& head) {
    return head.size() > 8 && head[0] == 0x08 && head[1] > 0 && head[1] < 32 &&
           (head[2] == 0x12 || head[2] == 0x1a || head[2] == 0x3a || head[2] == 0x42);
}

std::string first_bytes(const std::string& head) {
    constexpr const char* kHex = "0123456789abcdef";
    std::string text;
    for (unsigned char c : head.substr(0, 8)) {
        if (!text.empty()) text += ' ';
        text += kHex[c >> 4];
        text += kHex[c & 15];
    }
    return text;
}

}  // namespace

std::string what_it_is(const InputFile& file) {
    if (file.size() == 0) return "is empty: the download failed, or the disk was full";
    const std::string head = file.text(0, std::min<int64_t>(file.size(), 512));
    for (const Known& known : kKnown)
        if (head.size() >= known.at && std::string_view(head).substr(known.at).starts_with(known.bytes))
            return known.text;
    std::string text = head.starts_with("\xef\xbb\xbf") ? head.substr(3) : head;
    text.erase(0, std::min(text.find_first_not_of(" \t\r\n"), text.size()));
    for (const char* lead : {"<!doctype", "<html", "<?xml", "<head", "<body", "<error", "<!--"})
        if (begins(text, lead))
            return "is a web page (HTML or XML), not a checkpoint: the download gave an error or asks for a "
                   "login";
    if (head[0] == '\x80')
        return "is a pickle that torch.save did not write: in Python, load it and torch.save() a dict of "
               "tensors";
    if (is_onnx(head)) return "is an ONNX model: take the .safetensors or .pth that it was exported from";
    if (text.starts_with("{") || text.starts_with("[")) return "is JSON: name the folder that it lies in";
    const auto printable = [](unsigned char c) { return (c >= 0x20 && c < 0x7f) || (c >= 9 && c <= 13); };
    if (std::all_of(head.begin(), head.end(), printable)) {
        const size_t end = std::min<size_t>({text.find_first_of("\r\n"), text.size(), 40});
        return "is text, not a checkpoint ('" + text.substr(0, end) + "'): a download that failed?";
    }
    return "is no checkpoint that demi reads: needed is .safetensors, a Hugging Face folder, or a file of "
           "torch.save "
           "since PyTorch 1.6; its first bytes are " +
           first_bytes(head);
}

}  // namespace demi
