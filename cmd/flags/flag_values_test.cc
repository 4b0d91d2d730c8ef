#include "cmd/flags/flag_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dqueue::cmd {
namespace {

template <class T>
std::string ErrorOf(const absl::StatusOr<T>& result) {
  return result.ok() ? "no error" : std::string(result.status().message());
}

TEST(ParseDuration, Good) {
  const std::pair<const char*, int64_t> cases[] = {
      {"0s", 0},     {"1ms", 1},         {"30s", 30000},           {"1.5s", 1500},
      {"0.001s", 1}, {"1h30m", 5400000}, {"90m", 5400000},         {"2h0m1s", 7201000},
      {".5s", 500},  {"1.0000s", 1000},  {"87672h", 315619200000},
  };
  for (const auto& [text, ms] : cases) {
    const absl::StatusOr<Millis> value = ParseDuration(text);
    ASSERT_TRUE(value.ok()) << text << ": " << value.status();
    EXPECT_EQ(value->count(), ms) << text;
  }
}

TEST(ParseDuration, Bad) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "an empty duration; write for example 500ms, 30s, 5m or 1h"},
      {"10", "\"10\" has no unit; the units are ms, s, m and h, for example 30s"},
      {"1h30", "\"1h30\" has no unit; the units are ms, s, m and h, for example 30s"},
      {"10 parsecs", "\"10 parsecs\" has no unit; the units are ms, s, m and h, for example 30s"},
      {"10parsecs", "\"10parsecs\" has the unknown unit \"parsecs\"; the units are ms, s, m and h"},
      {"10S", "\"10S\" has the unknown unit \"S\"; the units are ms, s, m and h"},
      {"-5s", "\"-5s\" is negative; a duration must be 0s or longer"},
      {"1e9h", "\"1e9h\" has the unknown unit \"e\"; the units are ms, s, m and h"},
      {"NaN", "\"NaN\" is not a duration; write for example 500ms, 30s, 5m or 1h"},
      {"inf", "\"inf\" is not a duration; write for example 500ms, 30s, 5m or 1h"},
      {"s", "\"s\" is not a duration; write for example 500ms, 30s, 5m or 1h"},
      {".s", "\".s\" is not a duration; write for example 500ms, 30s, 5m or 1h"},
      {" 5s", "\" 5s\" is not a duration; write for example 500ms, 30s, 5m or 1h"},
      {"5s ", "\"5s \" is not a duration; write for example 500ms, 30s, 5m or 1h"},
      {"１s", "\"１s\" is not a duration; write for example 500ms, 30s, 5m or 1h"},
      {"0.5ms", "\"0.5ms\" is not a whole number of milliseconds"},
      {"87673h", "\"87673h\" is too long; the longest duration is 87672h"},
      {"87672h1ms", "\"87672h1ms\" is too long; the longest duration is 87672h"},
      {"99999999999999999999h",
       "\"99999999999999999999h\" is too long; the longest duration is 87672h"},
      {"18446744073709551615h",
       "\"18446744073709551615h\" is too long; the longest duration is 87672h"},
  };
  for (const auto& [text, error] : cases) EXPECT_EQ(ErrorOf(ParseDuration(text)), error) << text;
}

TEST(FormatDuration, ParsesBack) {
  for (const auto& [ms, text] : std::initializer_list<std::pair<int64_t, const char*>>{
           {0, "0s"}, {1, "1ms"}, {1500, "1s500ms"}, {30000, "30s"}, {5400000, "1h30m"}}) {
    EXPECT_EQ(FormatDuration(Millis(ms)), text);
    EXPECT_EQ(ParseDuration(text)->count(), ms);
  }
}

TEST(ParseBytes, GoodAndBad) {
  for (const auto& [text, bytes] :
       std::initializer_list<std::pair<const char*, uint64_t>>{{"0B", 0},
                                                               {"1KB", 1000},
                                                               {"1KiB", 1024},
                                                               {"1GB", 1000000000},
                                                               {"1GiB", 1073741824},
                                                               {"1.5KiB", 1536},
                                                               {"256MiB", 268435456}}) {
    ASSERT_TRUE(ParseBytes(text).ok()) << text << ParseBytes(text).status();
    EXPECT_EQ(*ParseBytes(text), bytes);
  }
  const std::string units = "the units are B, KB, MB, GB (of 1000) and KiB, MiB, GiB (of 1024)";
  const std::pair<const char*, std::string> cases[] = {
      {"", "\"\" is not a size; write for example 256MiB"},
      {"-1", "\"-1\" is negative; write for example 256MiB"},
      {"1", "\"1\" has no unit; " + units},
      {"1Gib", "\"1Gib\" has the unknown unit \"Gib\"; " + units},
      {"1 GiB", "\"1 GiB\" has the unknown unit \" GiB\"; " + units},
      {"0.3B", "\"0.3B\" is not a whole number of bytes"},
      {"99999999999999999999B", "\"99999999999999999999B\" is too large"},
      {"99999999999GiB", "\"99999999999GiB\" is too large"},
      {"MiB", "\"MiB\" is not a size; write for example 256MiB"},
  };
  for (const auto& [text, error] : cases) EXPECT_EQ(ErrorOf(ParseBytes(text)), error) << text;
  EXPECT_EQ(FormatBytes(268435456), "256MiB");
  EXPECT_EQ(FormatBytes(1000), "1000B");
  EXPECT_EQ(FormatBytes(0), "0B");
}

TEST(ParseInteger, Bad) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "\"\" is not a whole number of 1 to 9"},
      {"x", "\"x\" is not a whole number of 1 to 9"},
      {"5x", "\"5x\" is not a whole number of 1 to 9"},
      {"0x5", "\"0x5\" is not a whole number of 1 to 9"},
      {"5.0", "\"5.0\" is not a whole number of 1 to 9"},
      {" 5", "\" 5\" is not a whole number of 1 to 9"},
      {"+-5", "\"+-5\" is out of range; it must be 1 to 9"},
      {"５", "\"５\" is not a whole number of 1 to 9"},
      {"0", "\"0\" is out of range; it must be 1 to 9"},
      {"-1", "\"-1\" is out of range; it must be 1 to 9"},
      {"10", "\"10\" is out of range; it must be 1 to 9"},
      {"99999999999999999999", "\"99999999999999999999\" is out of range; it must be 1 to 9"},
  };
  for (const auto& [text, error] : cases) {
    EXPECT_EQ(ErrorOf(ParseInteger(text, 1, 9)), error) << text;
  }
  EXPECT_EQ(*ParseInteger("+9", 1, 9), 9);
  EXPECT_EQ(*ParseInteger("-9223372036854775808", INT64_MIN, INT64_MAX), INT64_MIN);
}

TEST(ParseTime, GoodAndBad) {
  EXPECT_EQ(FormatTime(*ParseTime("2026-01-02T03:04:05Z")), "2026-01-02T03:04:05.000Z");
  EXPECT_EQ(FormatTime(*ParseTime("2026-01-02T03:04:05.678+01:00")), "2026-01-02T02:04:05.678Z");
  EXPECT_EQ(FormatTime(*ParseTime("1970-01-01T00:00:00Z")), "1970-01-01T00:00:00.000Z");
  const std::string form = " is not an RFC 3339 time with a zone, for example 2026-01-02T03:04:05Z";
  for (const char* text :
       {"", "now", "tomorrow", "infinite-future", "2026-01-02", "2026-01-02T03:04:05",
        "2026-01-02 03:04:05Z", "2026-13-02T03:04:05Z", "2026-02-30T03:04:05Z",
        " 2026-01-02T03:04:05Z", "2026-01-02T25:04:05Z", "1767323045"}) {
    EXPECT_EQ(ErrorOf(ParseTime(text)), Quoted(text) + form) << text;
  }
  EXPECT_EQ(FormatTime(*ParseTime("1969-12-31T23:59:59.5Z")), "1969-12-31T23:59:59.500Z");
  EXPECT_EQ(*ParseTime("0001-01-01T00:00:00Z"), WallTime::min());
  for (const char* text : {"0000-12-31T23:59:59Z", "2201-01-01T00:00:00Z"}) {
    EXPECT_EQ(ErrorOf(ParseTime(text)),
              Quoted(text) + " is out of range; years 1 to 2200 can be given");
  }
}

TEST(ParseHostPort, Good) {
  EXPECT_EQ(ParseHostPort("localhost:9090")->ToString(), "localhost:9090");
  EXPECT_EQ(ParseHostPort("[::1]:9090")->ToString(), "[::1]:9090");
  EXPECT_EQ(ParseHostPort(":9090")->host, "");
  EXPECT_TRUE(ParseHostPort(":9090")->IsWildcard());
  EXPECT_TRUE(ParseHostPort("[::]:9090")->IsWildcard());
  EXPECT_TRUE(ParseHostPort("127.0.0.7:1")->IsLoopback());
  EXPECT_FALSE(ParseHostPort("10.0.0.7:1")->IsLoopback());
  EXPECT_FALSE(ParseHostPort("127.example.org:1")->IsLoopback());
  EXPECT_FALSE(ParseHostPort("127.1:1")->IsLoopback());
  EXPECT_EQ(ParseHostPort("h:0", /*allow_port_zero=*/true)->port, 0);
}

TEST(ParseHostPort, Bad) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "\"\" has no port; write host:port"},
      {"host", "\"host\" has no port; write host:port"},
      {"host:", "\"host:\" has no port after the colon"},
      {"host:0", "\"host:0\" has a bad port; it must be 1 to 65535"},
      {"host:65536", "\"host:65536\" has a bad port; it must be 1 to 65535"},
      {"host:-1", "\"host:-1\" has a bad port; it must be 1 to 65535"},
      {"host:+1", "\"host:+1\" has a bad port; it must be 1 to 65535"},
      {"host:80a", "\"host:80a\" has a bad port; it must be 1 to 65535"},
      {"host:0x50", "\"host:0x50\" has a bad port; it must be 1 to 65535"},
      {"host:１２", "\"host:１２\" has a bad port; it must be 1 to 65535"},
      {"::1", "\"::1\" is an IPv6 address without brackets; write [address]:port"},
      {"fe80::1:9090",
       "\"fe80::1:9090\" is an IPv6 address without brackets; write [address]:port"},
      {"[::1]", "\"[::1]\" has no port; write [address]:port"},
      {"[::1", "\"[::1\" has no closing bracket"},
      {"[host]:1", "\"[host]:1\" has no IPv6 address in its brackets"},
      {"ho st:1", "\"ho st:1\" has a character that no host name has: \" \""},
      {"http//x:1", "\"http//x:1\" has a character that no host name has: \"/\""},
  };
  for (const auto& [text, error] : cases) EXPECT_EQ(ErrorOf(ParseHostPort(text)), error) << text;
}

TEST(CheckServers, SchemesAndSlashesAreOptional) {
  EXPECT_TRUE(
      CheckServers({"localhost:9090", "http://10.0.0.1:9090", "https://h:1", "http://[::1]:9090/"})
          .ok());
  EXPECT_EQ(CheckServers({":9090"}).message(), "\":9090\" has no host; write host:port");
  EXPECT_EQ(CheckServers({"http://h"}).message(), "\"h\" has no port; write host:port");
}

TEST(SplitCommas, KeepsEmptyItems) {
  EXPECT_THAT(SplitCommas(""), testing::IsEmpty());
  EXPECT_THAT(SplitCommas("a"), testing::ElementsAre("a"));
  EXPECT_THAT(SplitCommas("a,,b,"), testing::ElementsAre("a", "", "b", ""));
}

TEST(Nearest, FindsMisspelledNames) {
  const std::vector<std::string> names = {"data-dir", "id", "peers", "http-addr", "grpc-addr"};
  EXPECT_EQ(Nearest("dat-dir", names), "data-dir");
  EXPECT_EQ(Nearest("data-dri", names), "data-dir");
  EXPECT_EQ(Nearest("peer", names), "peers");
  EXPECT_EQ(Nearest("http", names), "http-addr");
  EXPECT_EQ(Nearest("xyz", names), "");
  // Two edits are too many for a short word.
  EXPECT_EQ(Nearest("pears", {"peers"}), "peers");
  EXPECT_EQ(Nearest("port", {"cert"}), "");
  EXPECT_EQ(Nearest("serber", {"server"}), "server");
  EXPECT_EQ(Nearest("cerber", {"server"}), "server");
  EXPECT_EQ(Nearest(std::string(100000, 'x'), names), "");
}

}  // namespace
}  // namespace dqueue::cmd
