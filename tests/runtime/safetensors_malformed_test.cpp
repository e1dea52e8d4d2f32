// Every malformed safetensors file is refused, with a message of its own.
#include <doctest/doctest.h>

#include <sys/stat.h>

#include <vector>

#include "runtime/safetensors.h"
#include "tests/runtime/safetensors_bytes.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary.h"

using namespace demi;
using namespace demi::test;

namespace {

struct Malformed {
    std::string what, file, part;  // part: what the message must say
};

std::vector<Malformed> corpus() {
    const std::string good = entry("F32", "[2]", "[0,8]");
    const auto one = [](const std::string& text) { return R"({"a":)" + text + "}"; };
    std::vector<Malformed> all{
        {"empty file", "", "too short for a header length: 0 bytes"},
        {"seven bytes", "1234567", "too short for a header length: 7 bytes"},
        {"header length 0", with_length(0, ""), "does not begin with '{'"},
        {"header length over the limit", with_length(100'000'001, "{}"),
         "header length 100000001 is over the limit"},
        {"header length 2^63", with_length(uint64_t{1} << 63, "{}"),
         "header length 9223372036854775808 is over"},
        {"header length all ones", with_length(~uint64_t{0}, "{}"),
         "header length 18446744073709551615 is over"},
        {"header longer than the file", with_length(3, "{}"),
         "header of 3 bytes does not fit a file of 10 bytes"},
        {"leading space", file_of(" {}"), "does not begin with '{'"},
        {"byte order mark", file_of("\xef\xbb\xbf{}"), "does not begin with '{'"},
        {"an array", file_of("[]"), "does not begin with '{'"},
        {"open brace only", file_of("{"), "not valid JSON"},
        {"text after the object", file_of("{}x"), "not valid JSON"},
        {"NUL padding", file_of(std::string("{}\0\0", 4)), "not valid JSON"},
        {"two objects", file_of("{}{}"), "not valid JSON"},
        {"trailing comma", file_of(R"({"a":1,})"), "not valid JSON"},
        {"single quotes", file_of("{'a':1}"), "not valid JSON"},
        {"comment", file_of("{/*x*/}"), "not valid JSON"},
        {"invalid UTF-8", file_of("{\"\xff\":1}"), "not valid JSON"},
        {"overlong UTF-8", file_of("{\"\xc0\xaf\":1}"), "not valid JSON"},
        {"lone surrogate", file_of(R"({"\ud800":1})"), "not valid JSON"},
        {"control character in a name", file_of("{\"a\nb\":1}"), "not valid JSON"},
        {"NaN literal", file_of(one(R"({"dtype":NaN})"), 8), "not valid JSON"},
        {"deep nesting", file_of(one(std::string(100000, '[') + std::string(100000, ']'))),
         "nested too deeply"},
        {"duplicate tensor", file_of(R"({"a":)" + good + R"(,"a":)" + good + "}", 8), "names 'a' twice"},
        {"duplicate escaped", file_of(R"({"a":)" + good + R"(,"\u0061":)" + good + "}", 8),
         "names 'a' twice"},
        {"duplicate metadata block", file_of(R"({"__metadata__":{},"__metadata__":{}})"),
         "names '__metadata__' twice"},
        {"duplicate metadata key", file_of(R"({"__metadata__":{"k":"1","k":"2"}})"), "names 'k' twice"},
        {"duplicate dtype",
         file_of(one(R"({"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]})"), 8),
         "names 'dtype' twice"},
        {"metadata a list", file_of(R"({"__metadata__":[]})"), "__metadata__ must map strings to strings"},
        {"metadata a string", file_of(R"({"__metadata__":"x"})"), "__metadata__ must map strings to strings"},
        {"metadata number", file_of(R"({"__metadata__":{"epoch":1}})"), "value of 'epoch' must be a string"},
        {"metadata nested", file_of(R"({"__metadata__":{"x":{"y":"z"}}})"), "value of 'x' must be a string"},
        {"entry a number", file_of(one("1")), "tensor 'a' must have exactly dtype, shape and data_offsets"},
        {"entry null", file_of(one("null")), "must have exactly"},
        {"no dtype", file_of(one(R"({"shape":[2],"data_offsets":[0,8]})"), 8), "must have exactly"},
        {"no shape", file_of(one(R"({"dtype":"F32","data_offsets":[0,8]})"), 8), "must have exactly"},
        {"no offsets", file_of(one(R"({"dtype":"F32","shape":[2]})"), 8), "must have exactly"},
        {"an extra field", file_of(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":0})"), 8),
         "must have exactly"},
        {"unknown dtype", file_of(one(entry("F31", "[2]", "[0,8]")), 8), "unknown dtype: \"F31\""},
        {"dtype in lower case", file_of(one(entry("f32", "[2]", "[0,8]")), 8), "unknown dtype: \"f32\""},
        {"dtype a number", file_of(one(R"({"dtype":32,"shape":[2],"data_offsets":[0,8]})"), 8),
         "unknown dtype: 32"},
        {"shape a number", file_of(one(entry("F32", "2", "[0,8]")), 8), "shape must be a list: got 2"},
        {"shape of strings", file_of(one(entry("F32", "[\"2\"]", "[0,8]")), 8),
         "a size must be an unsigned integer: got \"2\""},
        {"negative size", file_of(one(entry("F32", "[-2]", "[0,8]")), 8),
         "a size must be an unsigned integer: got -2"},
        {"fractional size", file_of(one(entry("F32", "[2.0]", "[0,8]")), 8),
         "a size must be an unsigned integer: got 2.0"},
        {"size as exponent", file_of(one(entry("F32", "[2e0]", "[0,8]")), 8),
         "a size must be an unsigned integer"},
        {"size over 2^63", file_of(one(entry("F32", "[9223372036854775808]", "[0,8]")), 8),
         "a size must be an unsigned integer: got 9223372036854775808"},
        {"size over 2^64", file_of(one(entry("F32", "[18446744073709551616]", "[0,8]")), 8),
         "a size must be an unsigned"},
        {"shape overflows", file_of(one(entry("F32", "[4294967296,4294967296]", "[0,8]")), 8),
         "shape (4294967296, 4294967296) overflows"},
        {"product wraps to 8 bytes",
         file_of(one(entry("F32", "[4611686018427387904,4611686018427387905]", "[0,8]")), 8), "overflows"},
        {"bits overflow", file_of(one(entry("F64", "[288230376151711744]", "[0,0]"))), "overflows"},
        {"rank 9, sizes", file_of(one(entry("F32", "[1,1,1,1,1,1,1,1,3]", "[0,8]")), 8), "needs 12 bytes"},
        {"one offset", file_of(one(entry("F32", "[2]", "[8]")), 8),
         "data_offsets must be two numbers: got [8]"},
        {"three offsets", file_of(one(entry("F32", "[2]", "[0,8,8]")), 8),
         "data_offsets must be two numbers"},
        {"offsets an object", file_of(one(entry("F32", "[2]", R"({"0":0,"1":8})")), 8),
         "data_offsets must be two numbers"},
        {"negative offset", file_of(one(entry("F32", "[2]", "[-8,0]")), 8),
         "an offset must be an unsigned integer: got -8"},
        {"fractional offset", file_of(one(entry("F32", "[2]", "[0,8.0]")), 8),
         "an offset must be an unsigned integer: got 8.0"},
        {"offsets reversed", file_of(one(entry("F32", "[2]", "[8,0]")), 8),
         "needs 8 bytes: its offsets are [8, 0)"},
        {"too few bytes", file_of(one(entry("F32", "[2]", "[0,7]")), 7),
         "needs 8 bytes: its offsets are [0, 7)"},
        {"too many bytes", file_of(one(entry("F32", "[2]", "[0,9]")), 9),
         "needs 8 bytes: its offsets are [0, 9)"},
        {"odd number of half bytes", file_of(one(entry("F4", "[3]", "[0,1]")), 1),
         "does not fill whole bytes"},
        {"scalar without bytes", file_of(one(entry("F32", "[]", "[0,0]"))), "needs 4 bytes"},
        {"empty with bytes", file_of(one(entry("F32", "[0]", "[0,4]")), 4), "needs 0 bytes"},
        {"hole at the start", file_of(one(entry("F32", "[2]", "[4,12]")), 12),
         "begins at byte 4 of the data, expected 0 (hole)"},
        {"hole between", file_of(R"({"a":)" + good + R"(,"b":)" + entry("F32", "[1]", "[12,16]") + "}", 16),
         "tensor 'b' begins at byte 12 of the data, expected 8 (hole)"},
        {"overlap", file_of(R"({"a":)" + good + R"(,"b":)" + entry("F32", "[1]", "[4,8]") + "}", 8),
         "tensor 'b' begins at byte 4 of the data, expected 8 (overlap)"},
        {"same bytes twice", file_of(R"({"a":)" + good + R"(,"b":)" + good + "}", 8),
         "begins at byte 0 of the data, expected 8 (overlap)"},
        {"empty tensor beyond the data",
         file_of(R"({"a":)" + good + R"(,"b":)" + entry("F32", "[0]", "[9,9]") + "}", 8), "(hole)"},
        {"data cut short", file_of(one(good), 7), "tensors take 8 bytes but the file holds 7 (cut short)"},
        {"no data at all", file_of(one(good)), "but the file holds 0 (cut short)"},
        {"trailing bytes", file_of(one(good), 9),
         "tensors take 8 bytes but the file holds 9 (trailing bytes)"},
        {"data without tensors", file_of("{}", 1),
         "tensors take 0 bytes but the file holds 1 (trailing bytes)"},
        {"checksum of a tensor, none of the header",
         file_of(R"({"__metadata__":{"crc32c.a":"1"},"a":)" + good + "}", 8),
         "has checksums of tensors but none of its header"},
        {"wrong checksum of the header",
         file_of(R"({"__metadata__":{"crc32c":"0000000001"},"a":)" + good + "}", 8),
         "header is damaged: its checksum is "},
        {"short checksum of the header", file_of(R"({"__metadata__":{"crc32c":"1"},"a":)" + good + "}", 8),
         "has no readable checksum of its header"},
        {"escaped checksum key",
         file_of(R"({"__metadata__":{"crc\u00332c":"0000000001"},"a":)" + good + "}", 8),
         "has no readable checksum of its header"},
    };
    return all;
}

}  // namespace

TEST_CASE("safetensors: malformed files are refused, each with a message of its own that names the file") {
    const TemporaryFolder folder;
    const std::string path = folder / "bad.safetensors";
    const std::vector<Malformed> files = corpus();
    CHECK(files.size() >= 70);
    for (const Malformed& bad : files) {
        put_file(path, bad.file);
        const std::string message = error_of([&] { SafetensorsFile file(path); });
        CHECK_MESSAGE(has(message, bad.part), bad.what << ": " << message);
        CHECK_MESSAGE(message.starts_with("[safetensors] '" + path + "': "), bad.what << ": " << message);
    }
    CHECK(has(error_of([&] { SafetensorsFile file(folder / "missing"); }), "cannot open: No such file"));
    CHECK(has(error_of([&] { SafetensorsFile file(folder.path()); }), "is not a regular file"));
    REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
    CHECK(has(error_of([&] { SafetensorsFile file(folder / "pipe"); }), "is not a regular file"));
}

TEST_CASE("safetensors: null for metadata, and a tensor of rank 9 beside others, are read as the official "
          "library does") {
    const TemporaryFolder folder;
    const std::string path = folder / "a.safetensors";
    put_file(path, file_of(R"({"__metadata__":null,"deep":)" + entry("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]") +
                               R"(,"flat":)" + entry("F32", "[2]", "[8,16]") + "}",
                           16));
    const SafetensorsFile file(path);
    CHECK(file.metadata().empty());
    CHECK(file.names().size() == 2);
    CHECK(file.load("flat").numel() == 2);
    CHECK(file.info("deep").rank == 9);
    CHECK(has(error_of([&] { file.load("deep"); }), "'deep' has rank 9, at most 8"));
}
