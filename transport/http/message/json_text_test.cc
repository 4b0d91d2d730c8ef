#include "transport/http/message/json_text.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace dqueue::transport {
namespace {

TEST(CheckJson, Table) {
  const std::string deep32 = std::string(32, '[') + std::string(32, ']');
  for (const auto& [text, problem] : std::vector<std::pair<std::string, std::string>>{
           {"{}", ""},
           {" [1,-2.5e3,\"\\u00e4\",true,null] \n", ""},
           {deep32, ""},
           {"{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}]}", ""},
           {"[" + deep32 + "]", "nested deeper than 32 levels"},
           {std::string(100000, '['), "nested deeper than 32 levels"},
           {"", "line 1, column 1: "},
           {std::string(1 << 20, ' '), "column 1048577: "},
           {"{\"a\":1,}", "line 1, column 8: syntax"},
           {"{\n \"a\": x}", "line 2, column 7: "},
           {"{/* */}", "syntax"},
           {"{} {}", "line 1, column 4: there is more after the value"},
           {"{\"a\":1,\"a\":2}", "the name \"a\" comes twice"},
           {"{\"a\":1,\"\\u0061\":2}", "the name \"a\" comes twice"},
           {"[{\"x\":{\"a\":1,\"a\":2}}]", "comes twice"},
           {"{\"\":1,\"\":2}", "comes twice"},
           {"\"\xff\"", "line 1, column "},
           {"\"\\ud800\"", "line 1, column "},
           {"01", "line 1, column "},
           {"NaN", "line 1, column 1: "},
           {"1e400000000000", "line 1, column "},
           {"\"tab\there\"", "line 1, column "},
       }) {
    const absl::Status status = CheckJson(text);
    EXPECT_EQ(status.ok(), problem.empty()) << text.substr(0, 50) << status;
    EXPECT_NE(std::string(status.message()).find(problem), std::string::npos)
        << text.substr(0, 50) << ": " << status;
  }
}

TEST(ParseJsonObject, SlicesTheValuesAsTheyStand) {
  const std::string text =
      R"( { "a" : {"x": [1, {"y":"}]"}] , "z":"\"" } ,"b\n":-1.50,"c": "s:,}" , "d":true,"e":[] })";
  const auto members = ParseJsonObject(text);
  ASSERT_TRUE(members.ok()) << members.status();
  const JsonMembers want = {{"a", R"({"x": [1, {"y":"}]"}] , "z":"\"" })"},
                            {"b\n", "-1.50"},
                            {"c", R"("s:,}")"},
                            {"d", "true"},
                            {"e", "[]"}};
  EXPECT_EQ(*members, want);
  EXPECT_TRUE(ParseJsonObject(" {} ")->empty());
  for (const char* other : {"[]", "\"x\"", "null", "1"}) {
    EXPECT_EQ(ParseJsonObject(other).status().message(),
              "line 1, column 1: the body must be an object");
  }
}

TEST(JsonValues, AreOfTheirTypeOnly) {
  EXPECT_EQ(JsonToText("\"a\\u0000\\n\""), std::string("a\0\n", 3));
  EXPECT_EQ(JsonToText("1"), std::nullopt);
  EXPECT_EQ(JsonToInteger("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(JsonToInteger("9007199254740993"), 9007199254740993);
  for (const char* text : {"9223372036854775808", "1.0", "1.5", "1e3", "\"5\"", "true", "[]"}) {
    EXPECT_EQ(JsonToInteger(text), std::nullopt) << text;
  }
}

TEST(JsonObject, WritesMembers) {
  EXPECT_EQ(JsonObject().Finish(), "{}");
  EXPECT_EQ(
      JsonObject()
          .Text("a\"", "x\n\xc3\xa4")
          .Integer("b", -1)
          .Unsigned("c", UINT64_MAX)
          .Null("d")
          .Raw("e", "[1]")
          .Finish(),
      "{\"a\\\"\":\"x\\n\xc3\xa4\",\"b\":-1,\"c\":18446744073709551615,\"d\":null,\"e\":[1]}");
}

}  // namespace
}  // namespace dqueue::transport
