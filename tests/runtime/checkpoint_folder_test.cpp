// Hugging Face folders: one file, or shards and their index.
#include <doctest/doctest.h>

#include <filesystem>

#include "runtime/checkpoint/checkpoint.h"
#include "tests/support/check_error.h"
#include "tests/support/compare.h"
#include "tests/support/temporary.h"
#include "tests/support/torch_bytes.h"

using namespace demi;
using namespace demi::test;

namespace {

const Tensor kOne = Tensor::arange(4, DType::f32), kTwo = Tensor::arange(3, DType::f32);

std::string refusal(const TemporaryFolder& folder) {
    return error_of([&] { open_checkpoint(folder.path()); });
}

}  // namespace

TEST_CASE("a folder with one file, of either kind") {
    TemporaryFolder folder;
    put_file(folder / "config.json", "{\"hidden_size\": 4}");
    CHECK(has(refusal(folder), "without model.safetensors"));
    put_file(folder / "pytorch_model.bin", torch_file({{"a", kOne}}));
    CHECK(same_bits(open_checkpoint(folder.path()).load("a"), kOne) == "");
    write_safetensors(folder / "model.safetensors", {{"b", kTwo}}, {{"format", "pt"}});
    const CheckpointFile file = open_checkpoint(folder.path());  // safetensors before pickles
    CHECK(file.names() == std::vector<std::string>{"b"});
    CHECK(file.config() == "{\"hidden_size\": 4}");
    CHECK(file.metadata() == Metadata{{"format", "pt"}});
    CHECK(file.format() == "Hugging Face folder");
    CHECK(file.info("b").shape == Shape({3}));
    put_file(folder / "preprocessor_config.json", "{}");
    CHECK(open_checkpoint(folder / "model.safetensors").config() == file.config());  // beside the file
    CHECK(open_checkpoint(folder / "model.safetensors").preprocessor() == "{}");
}

TEST_CASE("shards are one checkpoint, and have to agree with their index") {
    TemporaryFolder folder;
    const auto index = [&](const std::string& map) {
        put_file(folder / "model.safetensors.index.json", "{\"weight_map\": {" + map + "}}");
    };
    write_safetensors(folder / "one.safetensors", {{"a", kOne}});
    index(R"("a": "one.safetensors", "b": "two.safetensors")");
    CHECK(has(refusal(folder), "needs the shard 'two.safetensors', which is not there"));
    write_safetensors(folder / "two.safetensors", {{"b", kTwo}});
    const CheckpointFile file = open_checkpoint(folder.path());
    CHECK(file.names() == std::vector<std::string>{"a", "b"});
    CHECK(same_bits(file.load("b"), kTwo) == "");
    CHECK(open_checkpoint(folder / "model.safetensors.index.json").names() == file.names());
    index(R"("a": "one.safetensors", "b": "one.safetensors")");
    CHECK(has(refusal(folder), "has no tensor 'b'"));
    index(R"("a": "one.safetensors", "c": "two.safetensors")");
    CHECK(has(refusal(folder), "has no tensor 'c'"));
    write_safetensors(folder / "two.safetensors", {{"b", kTwo}, {"c", kTwo}});
    CHECK(has(refusal(folder), "'b' is not in the index"));
    write_safetensors(folder / "two.safetensors", {{"a", kTwo}, {"c", kTwo}});
    CHECK(has(refusal(folder), "two files hold 'a'"));
    for (const char* bad : {R"("a": "../one.safetensors")", R"("a": "/one.safetensors")", R"("a": "")",
                            R"("a": 1)", R"("a": ".metadata")"}) {
        index(bad);
        CHECK(has(refusal(folder), "must lie in a file of the same folder"));
    }
    index("");
    CHECK(has(refusal(folder), "has no weight_map"));
    put_file(folder / "model.safetensors.index.json", "[1]");
    CHECK(has(refusal(folder), "is not a JSON object"));
    put_file(folder / "model.safetensors.index.json", "{");
    CHECK(has(refusal(folder), "not valid JSON"));
}

TEST_CASE("folders of other programs") {
    TemporaryFolder folder;
    put_file(folder / "teacher_checkpoint.pth", torch_file({{"a", kOne}}));
    CHECK(has(refusal(folder), "'teacher_checkpoint.pth'"));
    put_file(folder / "__0_0.distcp", "x");
    CHECK(has(refusal(folder), "distributed checkpoint (DCP)"));
    CHECK(has(error_of([&] { open_checkpoint(folder / "missing.pth"); }), "cannot open: No such file"));
}
