// Reading and writing safetensors: every value comes back, every malformed file is refused and named.
#include "runtime/safetensors.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "runtime/checkpoint/zip.h"
#include "runtime/copy.h"
#include "runtime/random.h"
#include "tests/runtime/naive.h"
#include "tests/runtime/safetensors_bytes.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary.h"

using namespace demi;
using namespace demi::test;

namespace {

NamedTensors sample() {
    Tensor bools = Tensor::from(std::vector<uint8_t>{1, 0, 1}, {3}).to(DType::boolean);
    return {{"w", Tensor::arange(6, DType::f32).view({2, 3})},
            {"half", Tensor::from(std::vector<Half>{Half(1.5f), Half(-0.0f), Half::from_bits(0x7e01)}, {3})},
            {"bf", Tensor::full({2}, 3, DType::bf16)},
            {"double", Tensor::full({}, 0.1, DType::f64)},
            {"int", Tensor::arange(4, DType::i32)},
            {"long", Tensor::full({1, 1}, -7, DType::i64)},
            {"byte", Tensor::arange(5, DType::u8)},
            {"flags", bools},
            {"none", Tensor::zeros({0, 3})},
            {"transposed", Tensor::arange(6, DType::f32).view({2, 3}).transpose(0, 1)},
            {"expanded", Tensor::full({1, 2}, 4).expand({3, 2})},
            {"na\"me \\ \xc3\xa9", Tensor::zeros({1})}};
}

void check_equal(const Tensor& got, const Tensor& want) {
    CHECK(got.dtype() == want.dtype());
    CHECK(got.shape() == want.shape());
    if (got.numel() == 0) return;
    const Tensor a = got.contiguous(), b = want.contiguous();
    CHECK(std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.numel()) * size_of(a.dtype())) == 0);
}

}  // namespace

TEST_CASE("crc32c: the published value, the empty text, pieces") {
    CHECK(crc32c("123456789", 9) == 0xe3069283u);
    CHECK(crc32c("", 0) == 0);
    const std::string zeros(32, '\0');
    CHECK(crc32c(zeros.data(), 32) == 0x8a9136aau);  // RFC 3720, B.4
    const std::string ones(32, '\xff');
    CHECK(crc32c(ones.data(), 32) == 0x62a8ab43u);
    const std::string text = "the quick brown fox jumps over the lazy dog";
    for (size_t cut = 0; cut <= text.size(); ++cut)
        CHECK(crc32c(text.data() + cut, text.size() - cut, crc32c(text.data(), cut)) ==
              crc32c(text.data(), text.size()));
}

TEST_CASE("crc32 and crc32c of long texts are what a bit at a time gives") {
    const auto slow = [](uint32_t polynomial, const std::string& text, uint32_t start) {
        uint32_t crc = ~start;
        for (const char byte : text) {
            crc ^= static_cast<uint8_t>(byte);
            for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? polynomial : 0u);
        }
        return ~crc;
    };
    Generator generator{9};
    std::string text(100003, ' ');
    for (char& c : text) c = static_cast<char>(generator.next_below(256));
    for (const size_t size :
         {size_t{16383}, size_t{16384}, size_t{16385}, size_t{16391}, size_t{16415}, text.size()})
        for (const uint32_t start : {0u, 0x12345678u}) {
            CHECK(crc32c(text.data(), size, start) == slow(0x82f63b78u, text.substr(0, size), start));
            CHECK(crc32(text.data(), size, start) == slow(0xedb88320u, text.substr(0, size), start));
        }
}

TEST_CASE("safetensors: what is written comes back, with and without checksums") {
    const TemporaryFolder folder;
    for (bool checksums : {false, true}) {
        const std::string path = folder / "a.safetensors";
        const Metadata metadata{
            {"step", "12"}, {"note", "quotes \" and \\ and \n and \xe2\x82\xac"}, {"a\"crc32c", "0"}};
        write_safetensors(path, sample(), metadata, checksums);
        const SafetensorsFile file(path);
        CHECK(file.metadata() == metadata);
        CHECK(file.names().size() == sample().size());
        CHECK(std::is_sorted(file.names().begin(), file.names().end()));
        CHECK(file.path() == path);
        for (const auto& [name, tensor] : sample()) {
            REQUIRE(file.contains(name));
            check_equal(file.load(name), tensor);
        }
        CHECK_FALSE(file.contains("x"));
        CHECK(error_of([&] { file.load("x"); }) == "[safetensors] '" + path + "': has no tensor 'x'");
        CHECK(file.info("half").dtype == "F16");
        // aligned as the format's own writer does it: the data begins on 8 bytes, wide types first
        const std::string bytes = get_file(path);
        CHECK(static_cast<unsigned char>(bytes[0]) % 8 == 0);
        for (const auto& name : file.names())
            if (file.info(name).end > file.info(name).begin)
                CHECK(file.info(name).begin % static_cast<int64_t>(size_of(file.load(name).dtype())) == 0);
    }
    CHECK(folder.files() == 1);
    write_safetensors(folder / "empty", {});
    CHECK(SafetensorsFile(folder / "empty").names().empty());
    write_safetensors(folder / "empty", {}, {{"k", "v"}}, true);
    CHECK(SafetensorsFile(folder / "empty").metadata() == Metadata{{"k", "v"}});
    write_safetensors(folder / "nothing", {}, {}, true);
    CHECK(SafetensorsFile(folder / "nothing").metadata().empty());
}

TEST_CASE("safetensors: spec-valid files that others write") {
    const TemporaryFolder folder;
    const auto opens = [&](const std::string& bytes) {
        put_file(folder / "f", bytes);
        return error_of([&] { SafetensorsFile file(folder / "f"); });
    };
    CHECK(opens(file_of("{}")) == "");
    CHECK(opens(file_of("{}      ")) == "");
    CHECK(opens(file_of(R"({"a":)" + entry("F32", "[]", "[0,4]") + "}", 4)) == "");
    CHECK(opens(file_of(R"({"a":)" + entry("F32", "[3,0,5]", "[0,0]") + "}")) == "");
    CHECK(opens(file_of(R"({ "b" : )" + entry("U8", "[1]", "[3,4]") + R"( , "a":)" +
                            entry("I8", "[3]", "[0,3]") + "} ",
                        4)) == "");
    CHECK(opens(file_of(R"({"a":)" + entry("F4", "[4]", "[0,2]") + "}", 2)) == "");
    CHECK(opens(file_of(R"({"a":{"data_offsets":[0,8],"shape":[1],"dtype":"U64"}})", 8)) == "");
    CHECK(error_of([&] { SafetensorsFile(folder / "f").load("a"); }) ==
          "[safetensors] '" + (folder / "f") + "': tensor 'a' has dtype U64, which demi does not have");
    // sizes beside a zero may be anything
    CHECK(opens(file_of(R"({"a":)" + entry("F32", "[0,4611686018427387904,4611686018427387904]", "[0,0]") +
                        "}")) == "");
    CHECK(SafetensorsFile(folder / "f").load("a").numel() == 0);
    put_file(folder / "f",
             file_of(R"({"a":)" + entry("BOOL", "[2]", "[0,2]") + "}") + std::string("\1\2", 2));
    CHECK(has(error_of([&] { SafetensorsFile(folder / "f").load("a"); }), "a BOOL is neither 0 nor 1"));
}

TEST_CASE("safetensors: every length of a cut file is refused") {
    const TemporaryFolder folder;
    const std::string path = folder / "cut";
    for (bool checksums : {false, true}) {
        write_safetensors(path, sample(), {{"k", "v"}}, checksums);
        const std::string whole = get_file(path);
        int accepted = 0;
        for (size_t length = 0; length < whole.size(); ++length) {
            put_file(path, whole.substr(0, length));
            accepted += error_of([&] { SafetensorsFile file(path); }) == "";
        }
        CHECK(accepted == 0);
    }
}

TEST_CASE("safetensors: a file that shrinks after it was opened is refused") {
    const TemporaryFolder folder;
    write_safetensors(folder / "f", {{"a", Tensor::zeros({100})}});
    const SafetensorsFile file(folder / "f");
    std::filesystem::resize_file(folder / "f", 200);
    CHECK(has(error_of([&] { file.load("a"); }), "ends early"));
}

TEST_CASE("safetensors: every single flipped bit of a file with checksums is found") {
    const TemporaryFolder folder;
    const std::string path = folder / "flip";
    const NamedTensors tensors{{"weight", Tensor::arange(8, DType::f32)},
                               {"count", Tensor::full({1}, 3, DType::i64)},
                               {"none", Tensor::zeros({0, 3})},
                               {"mask", Tensor::full({3}, 1, DType::boolean)}};
    write_safetensors(path, tensors, {{"step", "8"}}, true);
    const std::string whole = get_file(path);
    int missed = 0;
    std::set<std::string> messages;
    for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
        std::string bytes = whole;
        bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
        put_file(path, bytes);
        const std::string message = error_of([&] {
            const SafetensorsFile file(path);
            for (const std::string& name : file.names()) file.load(name);
        });
        if (message == "") ++missed;
        messages.insert(message);
    }
    CHECK_MESSAGE(missed == 0, "of " << whole.size() * 8 << " bits");
    CHECK(messages.size() > 10);
}

TEST_CASE("safetensors: what cannot be written is refused before a file is touched") {
    const TemporaryFolder folder;
    const std::string path = folder / "f";
    const Tensor one = Tensor::zeros({1});
    const auto refused = [&](const NamedTensors& tensors, const Metadata& metadata = {}) {
        return error_of([&] { write_safetensors(path, tensors, metadata); });
    };
    CHECK(has(refused({{"a", one}, {"a", one}}), "two tensors are named 'a'"));
    CHECK(has(refused({{"__metadata__", one}}), "cannot be named __metadata__"));
    CHECK(has(refused({{"a", Tensor()}}), "tensor 'a' is undefined"));
    CHECK(has(refused({{"\xff", one}}), "must be valid UTF-8"));
    CHECK(has(refused({{"a", one}}, {{"k", "\xc3"}}), "must be valid UTF-8"));
    CHECK(has(refused({{"a", one}}, {{"crc32c.a", "1"}}), "metadata key 'crc32c.a' is reserved"));
    CHECK(folder.files() == 0);
}

TEST_CASE("safetensors: tensors in rows are the same file as whole ones") {
    const TemporaryFolder folder;
    const NamedTensors all = sample();
    std::vector<TensorSpec> specs;
    for (const auto& [name, tensor] : all) specs.push_back({name, tensor.dtype(), tensor.shape()});
    write_safetensors(folder / "whole", all, {{"k", "v"}}, true);
    for (const int64_t most : {1, 2, 100}) {
        const auto rows = [&](size_t i, int64_t row) {
            const Tensor& t = all[i].second;
            return t.rank() == 0 ? t : t.slice(0, row, std::min(row + most, t.size(0)));
        };
        stream_safetensors_rows(folder / "rows", specs, rows, {{"k", "v"}}, true);
        CHECK(get_file(folder / "rows") == get_file(folder / "whole"));
    }
    const std::vector<TensorSpec> one{{"x", DType::f32, {3, 2}}};
    const auto refused = [&](const Tensor& rows) {
        return error_of(
            [&] { stream_safetensors_rows(folder / "no", one, [&](size_t, int64_t) { return rows; }); });
    };
    for (const Tensor& rows : {Tensor(), Tensor::zeros({0, 2}), Tensor::zeros({2, 2}), Tensor::zeros({3, 1}),
                               Tensor::zeros({3}), Tensor::zeros({3, 2}, DType::i32)})
        CHECK(has(refused(rows), "tensor 'x'"));
    CHECK(folder.files() == 2);
}
