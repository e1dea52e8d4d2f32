#include "examples/common/text.h"

#include <doctest/doctest.h>

using namespace demi::examples;

TEST_CASE("bytes that are not UTF-8 are replaced") {
    CHECK(valid_utf8("Käse 猫") == "Käse 猫");
    CHECK(valid_utf8("a\xff"
                     "b") == "a\ufffd"
                             "b");
    CHECK(valid_utf8("\xc3") == "\ufffd");                      // cut off
    CHECK(valid_utf8("\xc0\xaf") == "\ufffd\ufffd");            // overlong
    CHECK(valid_utf8("\xed\xa0\x80") == "\ufffd\ufffd\ufffd");  // surrogate
}

TEST_CASE("HTML has no way out") {
    CHECK(html_escape("<b a='1' c=\"2\">&") == "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;");
    CHECK(html_escape(std::string("a\0b", 3)) == "a\ufffd"
                                                 "b");
}

TEST_CASE("JSON text is safe inside a script element") {
    CHECK(json_quote("a\"b\\c\nd\te") == "\"a\\\"b\\\\c\\nd\\te\"");
    CHECK(json_quote("</script>") == "\"\\u003c/script\\u003e\"");
    CHECK(json_quote("\x01") == "\"\\u0001\"");
}

TEST_CASE("columns in a terminal") {
    CHECK(display_width("abc") == 3);
    CHECK(display_width("━━") == 2);
    CHECK(display_width("猫") == 2);
    CHECK(display_width("e\u0301") == 1);
    CHECK(clip_to_width("a猫b", 2) == "a");
    CHECK(clip_to_width("a猫b", 3) == "a猫");
    CHECK(clip_to_width("abc", 9) == "abc");
    CHECK(clip_to_width("abc", 0) == "");
}
