// Every malformed checkpoint is refused in one clear line; what is something else is called by its name.
#include <doctest/doctest.h>

#include "runtime/checkpoint/checkpoint.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/temporary.h"
#include "tests/support/torch_bytes.h"

using namespace demi;
using namespace demi::test;

namespace {

struct Malformed {
    std::string what, bytes, part;  // part: what the message must say
};

// Opens and loads all; the Error's text, "" where there was none.
std::string refusal(const std::string& bytes) {
    static const TemporaryFolder folder;
    put_file(folder / "x", bytes);
    return error_of([&] {
        const CheckpointFile file = open_checkpoint(folder / "x");
        for (const std::string& name : file.names()) file.load(name);
    });
}

void check_all(const std::vector<Malformed>& all) {
    for (const Malformed& m : all) {
        CAPTURE(m.what);
        const std::string text = refusal(m.bytes);
        CAPTURE(text);
        CHECK(has(text, m.part));
        CHECK(has(text, "[checkpoint]"));
        CHECK(!has(text, "\n"));
        CHECK(text.size() < 500);
    }
}

std::string with_pickle(const std::string& body) {
    TorchWriter writer;
    writer.add(Tensor::arange(6, DType::f32));
    return writer.file(body);
}
std::string six() { return p_storage("FloatStorage", "0", 6); }
std::string one_tensor(const std::string& tensor) { return with_pickle(p_dict({{"w", tensor}})); }

std::vector<ZipPart> good_parts() {
    TorchWriter writer;
    const std::string body = p_dict({{"a", writer.add(Tensor::arange(6, DType::f32))},
                                     {"b.c", writer.add(Tensor::arange(5, DType::f16))}});
    return writer.parts(pickle_of(body));
}

template <class Change> std::string changed(Change&& change, const ZipForm& form = {}) {
    std::vector<ZipPart> parts = good_parts();
    change(parts);
    return zip_of(parts, form);
}

}  // namespace

TEST_CASE("tensors that their storage does not hold") {
    const int64_t huge = int64_t{1} << 40;
    check_all({
        {"offset", one_tensor(p_tensor(six(), 1, {2, 3}, {3, 1})), "tensor 'w': shape (2, 3)"},
        {"stride", one_tensor(p_tensor(six(), 0, {2, 3}, {4, 1})), "its storage has 6"},
        {"negative stride", one_tensor(p_tensor(six(), 5, {6}, {-1})), "a stride must be a whole number"},
        {"negative size", one_tensor(p_tensor(six(), 0, {-1}, {1})), "a size must be a whole number"},
        {"negative offset", one_tensor(p_tensor(six(), -1, {1}, {1})), "its offset must be a whole number"},
        {"huge size", one_tensor(p_tensor(six(), 0, {huge, huge}, {huge, 1})), "overflow"},
        {"huge stride", one_tensor(p_tensor(six(), 0, {huge, 2}, {huge, huge})), "strides"},
        {"expanded", one_tensor(p_tensor(six(), 0, {huge, 6}, {0, 1})), "shows elements twice"},
        {"few strides", one_tensor(p_tensor(six(), 0, {2, 3}, {1})), "has 2 sizes and 1 strides"},
        {"rank 9", one_tensor(p_tensor(six(), 0, std::vector<int64_t>(9, 1), std::vector<int64_t>(9, 1))),
         "rank 9"},
        {"empty but far", one_tensor(p_tensor(six(), 7, {0}, {1})), "its storage has 6"},
        {"entry too small", one_tensor(p_tensor(p_storage("FloatStorage", "0", 7), 0, {7}, {1})),
         "needs 28 bytes"},
        {"entry too large", one_tensor(p_tensor(p_storage("FloatStorage", "0", 5), 0, {5}, {1})), "has 24"},
        {"no entry", one_tensor(p_tensor(p_storage("FloatStorage", "1", 6), 0, {6}, {1})),
         "not in the archive"},
        {"entry elsewhere", one_tensor(p_tensor(p_storage("FloatStorage", "../data.pkl", 6), 0, {6}, {1})),
         "not in"},
        {"storage with a line break", one_tensor(p_tensor(p_storage("FloatStorage", "a\nb", 6), 0, {6}, {1})),
         "not plain text"},
        {"complex", one_tensor(p_tensor(p_storage("ComplexFloatStorage", "0", 3), 0, {3}, {1})), "dtype C64"},
        {"i16", one_tensor(p_tensor(p_storage("ShortStorage", "0", 12), 0, {3}, {1})), "dtype I16"},
        {"untyped", one_tensor(p_tensor(p_storage("UntypedStorage", "0", 24), 0, {3}, {1})),
         "UntypedStorage"},
        {"bool of floats", one_tensor(p_tensor(p_storage("BoolStorage", "0", 24), 0, {24}, {1})),
         "neither 0 nor 1"},
        {"no storage", one_tensor(p_tensor("N", 0, {1}, {1})), "its storage is not"},
        {"three parts", one_tensor(p_call("torch._utils", "_rebuild_tensor_v2", p_tuple({"N", "N", "N"}))),
         "3 parts"},
        {"twice",
         with_pickle(p_dict({{"w", p_tensor(six(), 0, {6}, {1})}, {"w", p_tensor(six(), 0, {6}, {1})}})),
         "names 'w' twice"},
        {"twice by dots",
         with_pickle(p_dict(
             {{"a.w", p_tensor(six(), 0, {6}, {1})}, {"a", p_dict({{"w", p_tensor(six(), 0, {6}, {1})}})}})),
         "names 'a.w' twice"},
        {"name with a line break", with_pickle(p_dict({{"a\nb", "N"}})), "not plain text"},
        {"name too long", with_pickle(p_dict({{std::string(5000, 'a'), "N"}})), "too long"},
    });
}

TEST_CASE("pickles that are not data") {
    const std::string loop = "]q" + std::string(1, '\0') + "h" + std::string(1, '\0') + "a";
    std::string bomb = "]";  // lists of lists: 2^50 paths
    for (int i = 0; i < 50; ++i) bomb = "]" + bomb + "q\x01" + "ah\x01" + "a";
    std::string doubling = "(" + std::string(1000, 'N') + "lq\x01";
    for (int i = 0; i < 40; ++i) doubling += "0" + p_global("collections", "OrderedDict") + "(h\x01" + "lR";
    check_all({
        {"system", one_tensor(p_call("posix", "system", "X\x04\x00\x00\x00true\x85")), "posix.system"},
        {"os", with_pickle(p_call("os", "popen", ")")), "os.popen"},
        {"eval", with_pickle(p_dict({{"x", p_call("builtins", "eval", ")")}})), "builtins.eval"},
        {"stack global", with_pickle(p_text("subprocess") + p_text("run") + "\x93"), "subprocess.run"},
        {"module", with_pickle(p_call("my.net", "Model", ")")), "object of class my.net.Model"},
        {"module in a dict", with_pickle(p_dict({{"model", p_call("my.net", "Model", ")")}})),
         "under 'model' an object"},
        {"module beside tensors",
         with_pickle(
             p_dict({{"w", p_tensor(six(), 0, {6}, {1})},
                     {"m", p_call("torch.distributed._shard.sharded_tensor.api", "ShardedTensor", ")")}})),
         "one rank's shard"},
        {"one tensor", with_pickle(p_tensor(six(), 0, {6}, {1})), "one tensor without a name"},
        {"no tensor", with_pickle("}"), "holds no tensor"},
        {"memo loop", with_pickle(loop), "hold themselves"},
        {"dict in itself", with_pickle("}q\x01(" + p_text("a") + "h\x01u"), "hold themselves"},
        {"exponential", with_pickle(bomb), "nested too deeply"},
        {"pairs that double", with_pickle(doubling + ")R"), "data.pkl"},
        {"deep", with_pickle(std::string(100000, ']') + std::string(99999, 'a')), "nested too deeply"},
        {"huge text", with_pickle("X\xff\xff\xff\xff"), "needs 4294967295 bytes"},
        {"huge text 8", with_pickle("\x8d" + std::string(8, '\xff')), "needs 18446744073709551615 bytes"},
        {"huge long", with_pickle("\x8b\xff\xff\xff\xff"), "bytes"},
        {"unknown memo", with_pickle("h\x07"), "remembered as 7"},
        {"pop nothing", with_pickle("0"), "empty stack"},
        {"no mark", with_pickle("t"), "needs a mark"},
        {"below the mark", with_pickle("N(0"), "empty stack"},
        {"append to none", with_pickle("NNa"), "is no list"},
        {"key without value", with_pickle("}(Nu"), "a key without a value"},
        {"call a number", with_pickle("K\x01)R"), "no class or function"},
        {"call without tuple", with_pickle(p_global("a", "b") + "NR"), "no tuple"},
        {"persistent id", with_pickle("NQ"), "tuple of at most"},
        {"text opcodes", with_pickle("I1\n"), "INT"},
        {"extension", with_pickle("\x82\x01"), "EXT1"},
        {"unknown opcode", with_pickle("\xff"), "opcode 0xff"},
        {"two values", with_pickle("NN"), "left on the stack"},
        {"after the end", with_pickle("}.}"), "bytes follow its end"},
        {"no STOP", changed([](auto& p) { p[0].data.pop_back(); }), "ends without STOP"},
        {"protocol 1", changed([](auto& p) { p[0].data = "}."; }), "does not begin with PROTO"},
        {"protocol 9", changed([](auto& p) { p[0].data[1] = 9; }), "protocol 2 to 5"},
        {"empty pickle", changed([](auto& p) { p[0].data = ""; }), "does not begin with PROTO"},
        {"odd class", with_pickle("ca b\nc\n"), "not plain text"},
    });
}

TEST_CASE("ZIP archives that lie") {
    const std::string good = zip_of(good_parts());
    std::string far = good, cut_locator = zip_of(good_parts(), {64, true, true, ""});
    far.replace(far.size() - 6, 4, little(0x7fffffff, 4));
    cut_locator.replace(cut_locator.size() - 22 - 12, 8, little(uint64_t{1} << 62, 8));
    check_all({
        {"compressed", changed([](auto& p) { p[2].method = 8; }), "is compressed"},
        {"encrypted", changed([](auto& p) { p[2].flags = 1; }), "is encrypted"},
        {"duplicate", changed([](auto& p) { p.push_back(p[2]); }), "'model/data/0' twice"},
        {"two headers", changed([](auto& p) { p[2].local_name = "model/data/x"; }), "two headers"},
        {"overlap", changed([](auto& p) { p[2].size = 400; }), "overlaps"},
        {"beyond the file", changed([](auto& p) { p[2].size = 2000000; }),
         "does not lie before the directory"},
        {"wide beyond", changed([](auto& p) { p[2].size = int64_t{1} << 62; }, {64, true, true, ""}),
         "does not lie"},
        {"checksum of the pickle", changed([](auto& p) { p[0].crc = 5; }), "'model/data.pkl' is damaged"},
        {"two folders", changed([](auto& p) {
             p.push_back({"other/data/0", "x"});
         }),
         "outside the archive's folder"},
        {"two pickles", changed([](auto& p) {
             p.push_back({"other/data.pkl", "x"});
         }),
         "'other/data.pkl'"},
        {"big-endian", changed([](auto& p) { p[1].data = "big"; }), "big-endian"},
        {"name with a line break", changed([](auto& p) { p[3].name = "model/a\nb"; }), "not printable"},
        {"no pickle", changed([](auto& p) { p.erase(p.begin()); }), "has no data.pkl"},
        {"empty archive", zip_of({}), "has no data.pkl"},
        {"numpy", zip_of({{"arr_0.npy", "x"}}), "NumPy archive"},
        {"TorchScript", zip_of({{"m/data.pkl", "x"}, {"m/constants.pkl", "x"}}), "TorchScript"},
        {"directory elsewhere", far, "does not end where its end record begins"},
        {"end record elsewhere", cut_locator, "ZIP64 end record lies outside"},
        {"truncated", good.substr(0, good.size() / 2), "truncated"},
    });
}

TEST_CASE("what is something else is called by its name") {
    check_all({
        {"legacy",
         "\x80\x02\x8a\x0al\xfc\x9c"
         "F\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.",
         "legacy PyTorch file (before 1.6)"},
        {"pickle", "\x80\x04}.", "pickle that torch.save did not write"},
        {"pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"},
        {"page", "\n <!DOCTYPE html><html>", "web page"},
        {"xml", "<?xml version=\"1.0\"?><Error><Code>AccessDenied", "web page"},
        {"text", "Entry not found", "is text, not a checkpoint ('Entry not found')"},
        {"JSON", "{\"a\": 1}", "is JSON"},
        {"gz", "\x1f\x8b\x08", "is compressed"},
        {"GGUF", "GGUF\x03", "GGUF"},
        {"npy", "\x93NUMPY\x01", "NumPy array"},
        {"HDF5", "\x89HDF\r\n\x1a\n", "HDF5"},
        {"ONNX", std::string("\x08\x07\x12\x07pytorch\x1a\x05", 14), "ONNX"},
        {"tar", std::string(257, 'a') + "ustar" + std::string(300, 'b'), "tar archive"},
        {"empty", "", "is empty"},
        {"noise", std::string("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a", 10), "01 02 03 04 05 06 07 08"},
        {"one byte", std::string(1, '\x00'), "is no checkpoint that demi reads"},
    });
}

TEST_CASE("every truncation is refused, every flipped byte is refused or changes nothing") {
    const std::string good = zip_of(good_parts());
    CHECK(refusal(good) == "");
    TemporaryFolder folder;
    for (size_t bytes = 0; bytes < good.size(); ++bytes) {
        const std::string text = refusal(good.substr(0, bytes));
        CAPTURE(bytes);
        CHECK(text != "");
        CHECK(!has(text, "\n"));
    }
    const Tensor a = Tensor::arange(6, DType::f32), b = Tensor::arange(5, DType::f16);
    size_t refused = 0;
    for (size_t at = 0; at < good.size(); ++at) {
        for (int mask : {0xff, 0x01, 0x80}) {
            std::string bad = good;
            bad[at] = static_cast<char>(bad[at] ^ mask);
            CAPTURE(at);
            CAPTURE(mask);
            put_file(folder / "x", bad);
            const std::string text = error_of([&] {
                const CheckpointFile file = open_checkpoint(folder / "x");
                REQUIRE(file.names() == std::vector<std::string>{"a", "b.c"});
                const Tensor got_a = file.load("a"), got_b = file.load("b.c");
                CHECK(same_bits(got_a, a) == "");
                CHECK(same_bits(got_b, b) == "");
            });
            refused += text != "" ? 1 : 0;
            CHECK(!has(text, "\n"));
        }
    }
    CHECK(refused > 1000);
}
