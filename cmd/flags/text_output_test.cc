#include "cmd/flags/text_output.h"

#include <gtest/gtest.h>

#include "cmd/flags/escape.h"

namespace dqueue::cmd {
namespace {

TEST(Escape, Utf8) {
  for (const char* good : {"", "plain", "é", "€", "😀", "\x7f"}) EXPECT_TRUE(IsUtf8(good)) << good;
  // A lone continuation, overlong forms, a surrogate, beyond U+10FFFF, cut short.
  for (const char* bad : {"\x80", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                          "\xE2\x82", "a\xFF"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
  }
  EXPECT_EQ(MadeUtf8("a\xFF\xE2\x82z€"), "a\uFFFD\uFFFD\uFFFDz€");
}

TEST(Escape, LinesCannotBeForged) {
  EXPECT_EQ(EscapedForText("a\nb\x1b[31m\xFF€\\"), "a\\x0ab\\x1b[31m\\xff€\\\\");
  EXPECT_EQ(EscapedForJson("a\n\t\r\x01\"b\"\\\xFF€"), "a\\n\\t\\r\\u0001\\\"b\\\"\\\\\\u00ff€");
  // A two-byte terminal control, a line separator, and right-to-left controls.
  EXPECT_EQ(EscapedForText("\u009b1mé\u2028\u202e\u2066\u200f"),
            "\\u009b1mé\\u2028\\u202e\\u2066\u200f");
  EXPECT_EQ(EscapedForJson("\u0085\u2029\u00a0"), "\\u0085\\u2029\u00a0");
}

TEST(TextTable, AlignsByCharacters) {
  TextTable table({"A", "LONG"});
  table.Row({"é", "1"});
  table.Row({"xyz", "a\nb"});
  EXPECT_EQ(table.ToString(),
            "A    LONG\n"
            "é    1\n"
            "xyz  a\\x0ab\n");
  EXPECT_EQ(table.ToString(/*with_header=*/false), "é    1\nxyz  a\\x0ab\n");
}

TEST(JsonWriter, Commas) {
  JsonWriter json;
  json.BeginObject().Text("a", "x\"y").Unsigned("b", UINT64_MAX).BeginArray("c").Item("1");
  EXPECT_EQ(json.Take(), R"({"a":"x\"y","b":18446744073709551615,"c":["1")");
  json.Item("2").BeginObject().EndObject().EndArray().Bool("d", true).Null("e").Signed("f", -1);
  json.Real("g", 0.5).Real("h", 1.0 / 0.0).Bytes("i", "ok").Bytes("j", "\xFF").EndObject();
  EXPECT_EQ(json.Take(),
            R"(,"2",{}],"d":true,"e":null,"f":-1,"g":0.500,"h":null,"i":"ok","j":null,)"
            R"("j_base64":"/w=="})");
}

TEST(Grouped, Thousands) {
  EXPECT_EQ(Grouped(0), "0");
  EXPECT_EQ(Grouped(999), "999");
  EXPECT_EQ(Grouped(1000), "1,000");
  EXPECT_EQ(Grouped(1234567), "1,234,567");
}

}  // namespace
}  // namespace dqueue::cmd
