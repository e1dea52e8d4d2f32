// Hashes what every public op computes, forward and backward, for fixed inputs: the same lines on two
// revisions mean the same bits, and a line that differs names the op and the case.
//   bits [--filter TEXT] [--device cpu|cuda] [--list] [--large]
// prints "op case hash", sorted ("refused" for an Error); TEXT is looked for in "op case". DEMI_ISA and
// DEMI_THREADS as everywhere. An emulated GPU leaves large cases out, unless --large. tests/bits/compare.sh
// runs two of them side by side.
#include "tests/bits/bits.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>

namespace demi::bits {

static struct {
    std::string filter;
    Device device;
    bool list = false, large = false;
    std::vector<std::string> lines;
} program;

Device device() { return program.device; }

bool small_only() {
#ifdef DEMI_GPU_EMULATION
    return program.device.is_cuda() && !program.large;
#else
    return false;
#endif
}

void Hash::word(uint64_t bits) {
    state_ = (state_ ^ bits) * 0x9e3779b97f4a7c15u;
    state_ ^= state_ >> 29;
}

void Hash::number(double value) { word(value != value ? ~uint64_t{0} : std::bit_cast<uint64_t>(value)); }

void Hash::text(std::string_view text) {
    word(text.size());
    for (const char c : text) word(static_cast<unsigned char>(c));
}

template <class Word> static void add_words(Hash& hash, const Tensor& t, Word magnitude, Word infinity) {
    const auto* data = static_cast<const unsigned char*>(t.raw());
    for (int64_t i = 0; i < t.numel(); ++i) {
        Word word;
        std::memcpy(&word, data + i * static_cast<int64_t>(sizeof(Word)), sizeof(Word));
        hash.word((word & magnitude) > infinity ? magnitude : word);
    }
}

void Hash::tensor(const Tensor& tensor) {
    word(tensor.defined());
    if (!tensor.defined()) return;
    const Tensor t = tensor.to(Device::cpu()).contiguous();
    text(name(t.dtype()));
    word(static_cast<uint64_t>(t.rank()));
    for (const int64_t size : t.shape()) word(static_cast<uint64_t>(size));
    switch (t.dtype()) {
    case DType::f16: return add_words<uint16_t>(*this, t, 0x7fff, 0x7c00);
    case DType::bf16: return add_words<uint16_t>(*this, t, 0x7fff, 0x7f80);
    case DType::f32: return add_words<uint32_t>(*this, t, 0x7fffffff, 0x7f800000);
    case DType::f64: return add_words<uint64_t>(*this, t, ~uint64_t{0} >> 1, 0x7ff0000000000000);
    case DType::i32: return add_words<uint32_t>(*this, t, ~uint32_t{0}, ~uint32_t{0});
    case DType::i64: return add_words<uint64_t>(*this, t, ~uint64_t{0}, ~uint64_t{0});
    default: return add_words<uint8_t>(*this, t, 0xff, 0xff);
    }
}

void run(const std::string& op, const std::string& name, const std::function<Results()>& compute) {
    const std::string lead = op + " " + name;
    if (lead.find(program.filter) == std::string::npos) return;
    if (program.list) {
        program.lines.push_back(lead);
        return;
    }
    try {
        for (const auto& [part, hash] : compute()) {
            char digits[20];
            std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash.value()));
            program.lines.push_back(lead + "/" + part + " " + digits);
        }
    } catch (const Error&) {
        program.lines.push_back(lead + " refused");
    }
}

static int usage() {
    std::fprintf(stderr, "usage: bits [--filter TEXT] [--device cpu|cuda] [--list] [--large]\n");
    return 2;
}

static int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        if (argument == "--list")
            program.list = true;
        else if (argument == "--large")
            program.large = true;
        else if (argument == "--filter" && i + 1 < argc)
            program.filter = argv[++i];
        else if (argument == "--device" && i + 1 < argc)
            program.device = Device::parse(argv[++i]);
        else
            return usage();
    }
    elementwise_cases();
    view_cases();
    product_cases();
    layer_cases();
    optimizer_cases();
    index_cases();
    attention_cases();
    model_cases();
    std::sort(program.lines.begin(), program.lines.end());
    for (size_t i = 0; i < program.lines.size(); ++i) {
        const std::string& line = program.lines[i];
        std::puts(line.c_str());
        const std::string name = line.substr(0, line.rfind(' ') + 1);
        if (!program.list && i > 0 && program.lines[i - 1].starts_with(name)) {
            std::fprintf(stderr, "bits: two cases are called %s\n", name.c_str());
            return 2;
        }
    }
    return 0;
}

}  // namespace demi::bits

int main(int argc, char** argv) {
    try {
        return demi::bits::main(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bits: %s\n", error.what());
        return 2;
    }
}
