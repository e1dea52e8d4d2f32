// Reading what torch.save writes: every dtype, views of shared storages, nested dicts, both kinds of ZIP.
#include "runtime/checkpoint/checkpoint.h"

#include <doctest/doctest.h>

#include "runtime/checkpoint/zip.h"
#include "runtime/copy.h"
#include "runtime/random.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/temporary.h"
#include "tests/support/torch_bytes.h"

using namespace demi;
using namespace demi::test;

namespace {

CheckpointFile opened(const std::string& bytes) {
    static const TemporaryFolder folder;
    put_file(folder / "file.anything", bytes);
    return open_checkpoint(folder / "file.anything");
}

std::string bytes_of(const Tensor& t) {
    return {static_cast<const char*>(t.raw()), static_cast<size_t>(t.numel()) * size_of(t.dtype())};
}

}  // namespace

TEST_CASE("every dtype of a state_dict comes back, in both kinds of ZIP") {
    const Tensor counted = Tensor::arange(6, DType::f32).view({2, 3});
    std::vector<std::pair<std::string, Tensor>> all{{"scalar", Tensor::full({}, -2.5)},
                                                    {"none", Tensor::zeros({0, 3})}};
    for (DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64, DType::i64, DType::i32, DType::u8})
        all.emplace_back("x." + std::string(name(dtype)), counted.to(dtype));
    all.emplace_back("flags", Tensor::from(std::vector<bool>{true, false, true}, {3}));
    TorchWriter writer;
    std::vector<std::pair<std::string, std::string>> items;
    for (const auto& [name, tensor] : all) items.emplace_back(name, writer.add(tensor));
    for (const ZipForm& form :
         {ZipForm{}, ZipForm{0, false, false, "made by hand"}, ZipForm{64, true, true, ""}}) {
        const CheckpointFile file = opened(writer.file(p_dict(items), form));
        CHECK(file.format() == "PyTorch");
        CHECK(file.names().size() == all.size());
        for (const auto& [name, tensor] : all) CHECK(same_bits(file.load(name), tensor) == "");
    }
    CHECK(opened(writer.file(p_dict(items))).info("x.bf16").dtype == "BF16");
    CHECK(has(error_of([&] { opened(writer.file(p_dict(items))).load("y"); }), "has no tensor 'y'"));
}

TEST_CASE("views of one storage are what their strides say") {
    TorchWriter writer;
    const Tensor all = Tensor::arange(24, DType::f32);
    const std::string key = writer.add_storage(bytes_of(all)), storage = p_storage("FloatStorage", key, 24);
    const std::string body = p_dict(
        {{"rows", p_tensor(storage, 4, {2, 4}, {4, 1})},
         {"transposed", p_tensor(storage, 0, {4, 6}, {1, 4})},
         {"columns", p_tensor(storage, 1, {6, 2}, {4, 2})},
         {"parameter", p_call("torch._utils", "_rebuild_parameter",
                              p_tuple({p_tensor(storage, 23, {1, 1}, {99, 7}), "\x88",
                                       p_call("collections", "OrderedDict", ")")}))},
         {"with attributes",
          p_call("torch._tensor", "_rebuild_from_type_v2",
                 p_tuple({p_global("torch._utils", "_rebuild_tensor_v2"),
                          p_global("torch.nn.parameter", "Parameter"),
                          p_tuple({storage, p_int(2), p_tuple({p_int(3)}), p_tuple({p_int(5)}), "\x89", "N"}),
                          "}"}))},
         {"tied", p_tensor(storage, 0, {24}, {1})},
         {"also tied", p_tensor(storage, 0, {2, 12}, {12, 1})}});
    const CheckpointFile file = opened(writer.file(body));
    CHECK(same_bits(file.load("rows"), all.slice(0, 4, 12).view({2, 4})) == "");
    CHECK(same_bits(file.load("transposed"), all.view({6, 4}).transpose(0, 1)) == "");
    CHECK(same_bits(file.load("columns"), all.view({6, 4}).slice(1, 1, 4, 2)) == "");
    CHECK(file.load("parameter").item() == 23);
    CHECK(file.load("with attributes").to_vector<float>() == std::vector<float>{2, 7, 12});
    CHECK(same_bits(file.load("also tied").view({24}), file.load("tied")) == "");
}

TEST_CASE("dicts in dicts become names with dots, other objects are listed") {
    TorchWriter writer;
    const Tensor one = Tensor::full({2}, 1), two = Tensor::full({2}, 2), three = Tensor::full({1}, 3);
    const std::string state = p_call("collections", "OrderedDict", ")") + "q\x05" + "(" + p_text("a.w") +
                              writer.add(one) + "u" + "}" + p_text("_metadata") + "}sb";
    const std::string args = p_global("argparse", "Namespace") + ")\x81" + "}" + p_text("lr") + "G" +
                             std::string(8, '\x3f') + "sb";
    const std::string optimizer =
        p_dict({{"state", "}" + p_int(0) + p_dict({{"exp_avg", writer.add(two)}}) + "s"},
                {"lists", "](" + writer.add(three) + "Ne"}});
    const CheckpointFile file = opened(writer.file(p_dict({{"teacher", state},
                                                           {"optimizer", optimizer},
                                                           {"epoch", "\x8a\x09"
                                                                     "123456789"},
                                                           {"args", args}})));
    CHECK(file.names() ==
          std::vector<std::string>{"optimizer.lists.0", "optimizer.state.0.exp_avg", "teacher.a.w"});
    CHECK(same_bits(file.load("optimizer.state.0.exp_avg"), two) == "");
    CHECK(file.objects() == Metadata{{"args", "argparse.Namespace"}});
}

TEST_CASE("pickle protocol 4") {
    TorchWriter writer;
    const Tensor one = Tensor::arange(3, DType::f32);
    const std::string key = writer.add_storage(bytes_of(one));
    const auto text = [](const std::string& t) { return "\x8c" + little(t.size(), 1) + t + "\x94"; };
    const std::string size = "K\x03\x85\x94", stride = "K\x01\x85\x94";
    const std::string body = "}\x94(" + text("w") + text("torch._utils") + text("_rebuild_tensor_v2") +
                             "\x93\x94" + "((" + text("storage") + text("torch") + text("FloatStorage") +
                             "\x93\x94" + text(key) + text("cpu") + "K\x03t\x94QK" + std::string(1, '\0') +
                             size + stride + "\x89}\x94t\x94R\x94" + text("again") + "h\x14u";
    std::string pickle = "\x80\x04\x95" + little(body.size() + 1, 8) + body + ".";
    // "again" is whatever was remembered last before it: the tensor
    size_t memos = 0;
    for (size_t i = 0; i < body.size(); ++i) memos += body[i] == '\x94' ? 1 : 0;
    pickle[pickle.size() - 3] = static_cast<char>(memos - 2);
    const CheckpointFile file = opened(zip_of(writer.parts(pickle)));
    CHECK(same_bits(file.load("w"), one) == "");
    CHECK(same_bits(file.load("again"), one) == "");
}

TEST_CASE("a wrong checksum is named, and can be waived") {
    TemporaryFolder folder;
    TorchWriter writer;
    const Tensor one = Tensor::arange(40, DType::f32);
    const std::string whole = writer.add(one);
    std::vector<ZipPart> parts = writer.parts(pickle_of(
        p_dict({{"w", whole}, {"part", p_tensor(p_storage("FloatStorage", "0", 40), 1, {3}, {1})}})));
    parts[2].crc = 1;
    put_file(folder / "x.pth", zip_of(parts));
    const CheckpointFile file = open_checkpoint(folder / "x.pth");
    for (const char* name : {"w", "part"})
        CHECK(has(error_of([&] { file.load(name); }), "'model/data/0' is damaged: its CRC-32"));
    CHECK(same_bits(open_checkpoint(folder / "x.pth", false).load("w"), one) == "");
}

TEST_CASE("checksums of pieces are that of the whole") {
    std::string bytes;
    for (int i = 0; i < 3000; ++i) bytes += static_cast<char>(i * 7 + i / 100);
    CHECK(crc32("123456789", 9) == 0xcbf43926u);  // the check value of the algorithm
    for (size_t cut : {size_t{0}, size_t{1}, size_t{1024}, bytes.size()})
        CHECK(crc32_joined(crc32(bytes.data(), cut), crc32(bytes.data() + cut, bytes.size() - cut),
                           bytes.size() - cut) == crc32(bytes.data(), bytes.size()));
    // more than one piece
    Generator generator{2};
    TorchWriter writer;
    const Tensor large = randn({3, 200000}, generator);
    const std::string good = writer.file(p_dict({{"w", writer.add(large)}}));
    CHECK(same_bits(opened(good).load("w"), large) == "");
    std::string bad = good;
    bad[bad.size() / 2] = static_cast<char>(bad[bad.size() / 2] ^ 4);
    CHECK(has(error_of([&] { opened(bad).load("w"); }), "is damaged"));
}
