#include "cmd/cli/job_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "cmd/flags/flag_values.h"

namespace dqueue::cmd {
namespace {

using testing::ElementsAre;

struct ReadAll {
  std::vector<client::JobSpec> jobs;
  std::string error;  // empty: no error
};

ReadAll Read(const std::string& text, const client::JobSpec& defaults = {}) {
  std::istringstream in(text);
  JobFileReader reader(in, "jobs.json", defaults);
  ReadAll result;
  for (;;) {
    absl::StatusOr<std::optional<client::JobSpec>> job = reader.Next();
    if (!job.ok()) {
      result.error = std::string(job.status().message());
      return result;
    }
    if (!*job) {
      EXPECT_EQ(reader.bytes_read(), text.size());
      return result;
    }
    result.jobs.push_back(**std::move(job));
  }
}

std::vector<std::string> Ids(const ReadAll& result) {
  std::vector<std::string> ids;
  for (const client::JobSpec& job : result.jobs) ids.push_back(job.id);
  return ids;
}

TEST(JobFile, Array) {
  const ReadAll result = Read(R"([
  {
    "id": "job-001",
    "payload": {
      "task": "process_data",
      "value": 42
    },
    "timeout_ms": 5000
  },
  {
    "id": "job-002",
    "payload": {
      "task": "send_email",
      "recipient": "user@example.com"
    },
    "timeout_ms": 3000
  }
]
)");
  EXPECT_EQ(result.error, "");
  EXPECT_THAT(Ids(result), ElementsAre("job-001", "job-002"));
  EXPECT_EQ(result.jobs[0].payload,
            "{\n      \"task\": \"process_data\",\n      \"value\": 42\n    }");
  EXPECT_EQ(result.jobs[0].lease_duration, Millis(5000));
  EXPECT_EQ(result.jobs[1].lease_duration, Millis(3000));
}

TEST(JobFile, EveryField) {
  const ReadAll result =
      Read(R"({"id":"a","type":"t","queue":"q","payload":"text \"\u00e9\"","priority":255,)"
           R"("timeout_ms":1000,"delay_ms":5,"max_retries":0,"idempotency_key":"k",)"
           R"("headers":{"h":"1","g":"2"},"labels":{}})");
  ASSERT_EQ(result.error, "");
  const client::JobSpec& job = result.jobs.at(0);
  EXPECT_EQ(job.type, "t");
  EXPECT_EQ(job.queue, "q");
  EXPECT_EQ(job.payload, R"("text \"\u00e9\"")");
  EXPECT_EQ(job.priority, 255);
  EXPECT_EQ(job.delay, Millis(5));
  EXPECT_EQ(job.retry.max_retries, 0);
  EXPECT_EQ(job.idempotency_key, "k");
  EXPECT_EQ(job.headers, (std::map<std::string, std::string>{{"g", "2"}, {"h", "1"}}));
  EXPECT_TRUE(job.labels.empty());
  EXPECT_EQ(Read(R"({"run_at":"0001-01-01T00:00:00Z"})").jobs[0].run_time, WallTime::min());
  const ReadAll timed = Read(R"({"run_at":"2026-01-02T03:04:05Z"})");
  ASSERT_EQ(timed.error, "");
  EXPECT_EQ(FormatTime(*timed.jobs[0].run_time), "2026-01-02T03:04:05.000Z");
}

TEST(JobFile, PayloadsKeepTheirSourceText) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"payload": 12345678901234567890123.000 })", "12345678901234567890123.000"},
      {R"({"payload":null,"id":"x"})", "null"},
      {R"({"payload":[1, {"a":"}]\"{["}],"id":"x"})", R"([1, {"a":"}]\"{["}])"},
      {R"({"payl\u006fad":{ }})", "{ }"},
      {R"({"payload":true})", "true"},
      {R"({"payload":""})", R"("")"},
      {R"({"payload":"\u0000\n"})", R"("\u0000\n")"},
      {R"({"payload_base64":"dGV4dA=="})", "text"},
      {R"({"payload_base64":""})", ""},
  };
  for (const auto& [text, payload] : cases) {
    const ReadAll result = Read(text);
    ASSERT_EQ(result.error, "") << text;
    EXPECT_EQ(result.jobs[0].payload, payload) << text;
  }
}

TEST(JobFile, LinesAndOtherLayouts) {
  EXPECT_THAT(Ids(Read("{\"id\":\"a\"}\n{\"id\":\"b\"}\n")), ElementsAre("a", "b"));
  EXPECT_THAT(Ids(Read("\n\n {\"id\":\"a\"}{\"id\":\"b\"}")), ElementsAre("a", "b"));
  EXPECT_THAT(Ids(Read("\r\n{\"id\":\"a\"}\r\n\r\n{\r\n\"id\":\"b\"}")), ElementsAre("a", "b"));
  EXPECT_THAT(Ids(Read("\xEF\xBB\xBF[{\"id\":\"a\"} , {\"id\":\"b\"}]")), ElementsAre("a", "b"));
  EXPECT_THAT(Ids(Read(" [ ] ")), ElementsAre());
  EXPECT_EQ(Read(" [ ] ").error, "");
}

TEST(JobFile, DefaultsFillWhatIsMissing) {
  client::JobSpec defaults;
  defaults.queue = "q";
  defaults.type = "t";
  defaults.delay = Millis(7);
  const ReadAll result = Read(R"([{"type":"own"}, {"run_at":"2026-01-02T03:04:05Z"}])", defaults);
  ASSERT_EQ(result.error, "");
  EXPECT_EQ(result.jobs[0].queue, "q");
  EXPECT_EQ(result.jobs[0].type, "own");
  EXPECT_EQ(result.jobs[0].delay, Millis(7));
  EXPECT_FALSE(result.jobs[1].delay.has_value());
}

TEST(JobFile, BadFiles) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "1:1: is empty; expected an array of jobs or one job per line"},
      {" \n ", "2:2: is empty; expected an array of jobs or one job per line"},
      {"\xEF\xBC", "1:3: not JSON and not UTF-8"},
      {"nonsense", "1:1: item 0: a job must be an object; found \"n\""},
      {"\"text\"", "1:1: item 0: a job must be an object; found \"\\\"\""},
      {"[1]", "1:2: item 0: a job must be an object; found \"1\""},
      {"[{},]", "1:5: there is a comma before the end of the array"},
      {"[{}{}]", "1:4: expected a comma or the end of the array"},
      {"[{}", "1:4: the file ends inside the array"},
      {"[{}]x", "1:5: there is text after the array"},
      {"[{}][]", "1:5: there is text after the array"},
      {"[{}\n,{\"id\":", "2:2: item 1: the file ends inside the object"},
      {"{\"id\": \"a", "1:1: item 0: the file ends inside the object"},
      {"{]", "1:3: item 0: a closing bracket does not match"},
      {"[{\"payload\":[}]", "1:15: item 0: a closing bracket does not match"},
      {std::string(65, '{'), "1:66: item 0: is nested deeper than 64"},
      {"{\"id\":\"a\"}\n{\"id\":tru}", "2:1: item 1: byte 7: not valid JSON: syntax error"},
      {"{\"id\":\"a\",}", "1:1: item 0: byte 11: not valid JSON: syntax error"},
      {"{\"id\":\"\xFF\"}", "1:1: item 0: is not UTF-8"},
  };
  for (const auto& [text, error] : cases) {
    EXPECT_EQ(Read(text).error, "jobs.json:" + error) << text;
  }
}

TEST(JobFile, BadFields) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"payload":1,"payload_base64":"YQ=="})", "payload and payload_base64 cannot both be set"},
      {R"({"payload_base64":"%"})", "payload_base64: must be base64"},
      {R"({"paylod":1})", "unknown field \"paylod\"; did you mean \"payload\"?"},
      {R"({"zzz":1})", "unknown field \"zzz\""},
      {R"({"id":"a","id":"b"})", "id: is there twice"},
      {R"({"id":"a","\u0069d":"b"})", "id: is there twice"},
      {R"({"id":7})", "id: must be a string, not a number"},
      {R"({"id":null})", "id: must be a string, not null"},
      {R"({"priority":"5"})", "priority: must be a whole number, not a string"},
      {R"({"priority":1.5})", "priority: must be a whole number without fraction or exponent"},
      {R"({"priority":256})", "priority: 256 is out of range; it must be 0 to 255"},
      {R"({"priority":-1})", "priority: -1 is out of range; it must be 0 to 255"},
      {R"({"priority":18446744073709551615})",
       "priority: 18446744073709551615 is out of range; it must be 0 to 255"},
      {R"({"timeout_ms":999})", "timeout_ms: 999 is out of range; it must be 1000 to 43200000"},
      {R"({"delay_ms":-1})", "delay_ms: -1 is out of range; it must be 0 to 315619200000"},
      {R"({"run_at":"0000-01-01T00:00:00Z"})",
       "run_at: \"0000-01-01T00:00:00Z\" is out of range; years 1 to 2200 can be given"},
      {R"({"run_at":"soon"})",
       "run_at: \"soon\" is not an RFC 3339 time with a zone, for example 2026-01-02T03:04:05Z"},
      {R"({"run_at":"2026-01-02T03:04:05Z","delay_ms":1})",
       "delay_ms and run_at cannot both be set"},
      {R"({"headers":[]})", "headers: must be an object of strings, not an array"},
      {R"({"labels":{"a":1}})", "labels: \"a\" must be a string, not a number"},
  };
  for (const auto& [text, error] : cases) {
    EXPECT_EQ(Read(std::string("[{},\n  ") + text + "]").error,
              std::string("jobs.json:2:3: item 1: ") + error)
        << text;
  }
}

TEST(JobFile, PayloadLimit) {
  const std::string largest((1 << 20) - 2, 'x');  // without its quotes
  EXPECT_EQ(Read("{\"payload\":\"" + largest + "\"}").jobs.at(0).payload.size(), 1u << 20);
  EXPECT_EQ(Read("{\"payload\":\"" + largest + "y\"}").error,
            "jobs.json:1:1: item 0: payload: has 1048577 bytes; the maximum is 1048576");
  EXPECT_EQ(Read("{\"payload\":\"" + std::string(8 << 20, 'x') + "\"}").error,
            "jobs.json:1:1: item 0: is longer than 7340032 bytes");
}

TEST(JobFile, IsJson) {
  for (const char* text :
       {"{}", " [1, {\"a\":\"b\"}]\n", "\"text\"", "12345678901234567890123", "null"}) {
    EXPECT_TRUE(IsJson(text)) << text;
  }
  for (const char* text : {"", "text", "{} {}", "{\"a\":}", "\"\xff\"", "NaN"}) {
    EXPECT_FALSE(IsJson(text)) << text;
  }
  EXPECT_TRUE(IsJson(std::string(32, '[') + std::string(32, ']')));
  EXPECT_FALSE(IsJson(std::string(33, '[') + std::string(33, ']')));
}

}  // namespace
}  // namespace dqueue::cmd
