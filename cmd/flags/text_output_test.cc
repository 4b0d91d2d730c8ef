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

TEST(Escape, ValuesOfMessagesAreCutAfterEscaping) {
  const auto times = [](size_t count, const std::string& text) {
    std::string out;
    for (size_t i = 0; i < count; ++i) out += text;
    return out;
  };
  EXPECT_EQ(Quoted("plain"), "\"plain\"");
  EXPECT_EQ(Quoted("a\"b\\c\n\x1b[0m\xFF\u009b"), "\"a\\\"b\\\\c\\x0a\\x1b[0m\\xff\\u009b\"");
  EXPECT_EQ(Quoted(times(80, "x")), "\"" + times(80, "x") + "\"");
  EXPECT_EQ(Quoted(times(81, "x")), "\"" + times(80, "x") + "…\"");
  // Characters count, not bytes.
  EXPECT_EQ(Quoted(times(80, "é")), "\"" + times(80, "é") + "\"");
  EXPECT_EQ(Quoted(times(79, "x") + "€€"), "\"" + times(79, "x") + "€…\"");
  // An escape has four or six characters and is never cut.
  EXPECT_EQ(Quoted(times(20, "\n")), "\"" + times(20, "\\x0a") + "\"");
  EXPECT_EQ(Quoted(times(77, "x") + "\xFF"), "\"" + times(77, "x") + "…\"");
  EXPECT_EQ(Quoted(times(75, "x") + "\u2028"), "\"" + times(75, "x") + "…\"");
  EXPECT_EQ(Quoted(times(79, "x") + "\""), "\"" + times(79, "x") + "…\"");
  EXPECT_EQ(Shown("a\"b\\\n"), "a\"b\\\\\\x0a");
  EXPECT_EQ(Shown("abcdef", 3), "abc…");
}

TEST(Escape, MessagesAreNotEscapedTwice) {
  const std::string message = "cannot read " + Quoted("a\nb\\") + ": \x1b[2J\xFF";
  EXPECT_EQ(EscapedMessage(message), "cannot read \"a\\x0ab\\\\\": \\x1b[2J\\xff");
  EXPECT_EQ(EscapedMessage(EscapedMessage(message)), EscapedMessage(message));
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
  json.Real("g", 0.5).Real("h", 1.0 / 0.0).Raw("i", "[1,\n\t\"\xC3\xA4\x7F\xC2\x9B\xE2\x80\xAE\"]");
  json.EndObject();
  EXPECT_EQ(
      json.Take(),
      R"(,"2",{}],"d":true,"e":null,"f":-1,"g":0.500,"h":null,"i":[1,  "ä\u007f\u009b\u202e"]})");
}

TEST(Grouped, Thousands) {
  EXPECT_EQ(Grouped(0), "0");
  EXPECT_EQ(Grouped(999), "999");
  EXPECT_EQ(Grouped(1000), "1,000");
  EXPECT_EQ(Grouped(1234567), "1,234,567");
}

}  // namespace
}  // namespace dqueue::cmd
