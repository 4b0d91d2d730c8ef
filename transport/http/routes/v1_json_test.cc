#include "transport/http/routes/v1_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "dqueue/v1/service.pb.h"
#include "transport/http/message/json_text.h"

namespace dqueue::transport {
namespace {

using testing::HasSubstr;

constexpr char kToken[] = "0000000000000003-0000000000000012-00000000000004d2";

std::string Problem(const std::string& text, google::protobuf::Message* message) {
  const auto problem = ReadMessageJson(text, message);
  return problem ? std::to_string(problem->status) + " " + problem->body : "";
}

TEST(ReadMessageJson, APayloadIsAnyJsonAsItStands) {
  struct Row {
    std::string member;
    std::string bytes;
  };
  for (const Row& row : std::vector<Row>{
           {R"("payload":"data")", R"("data")"},
           {R"("payload": {"a" : 1.50, "b":[ ]} )", R"({"a" : 1.50, "b":[ ]})"},
           {R"("payload":12345678901234567890123.000)", "12345678901234567890123.000"},
           {R"("payload":null)", "null"},
           {R"("payload":true)", "true"},
           {R"("payload":"")", R"("")"},
           {R"("p\u0061yload":[1])", "[1]"},
           {R"("payload_base64":"/wA=")", std::string("\xff\0", 2)},
           {R"("payload_base64":"_wA")", std::string("\xff\0", 2)},
           {R"("payload_base64":"")", ""},
       }) {
    v1::JobSpec job;
    EXPECT_EQ(Problem("{\"type\":\"t\"," + row.member + ",\"priority\":3}", &job), "")
        << row.member;
    EXPECT_EQ(job.payload(), row.bytes) << row.member;
    EXPECT_EQ(job.type() + std::to_string(job.priority()), "t3") << row.member;
  }
}

TEST(ReadMessageJson, EveryJobHasItsOwnPayload) {
  v1::EnqueueJobsRequest request;
  ASSERT_EQ(Problem(R"({"jobs":[{"payload":1},{},{"id":"c","payload":{"id":"x"}},)"
                    R"({"payload_base64":"YQ=="}],"request_id":"r"})",
                    &request),
            "");
  ASSERT_EQ(request.jobs_size(), 4);
  EXPECT_EQ(request.jobs(0).payload(), "1");
  EXPECT_EQ(request.jobs(1).payload(), "");
  EXPECT_EQ(request.jobs(2).id() + request.jobs(2).payload(), R"(c{"id":"x"})");
  EXPECT_EQ(request.jobs(3).payload(), "a");
  EXPECT_EQ(request.request_id(), "r");
}

TEST(ReadMessageJson, ATokenIsAnObjectOrItsText) {
  for (const std::string& token :
       {std::string(R"({"term":"3","sequence":18,"job":1234})"), '"' + std::string(kToken) + '"'}) {
    v1::CompleteJobsRequest request;
    ASSERT_EQ(Problem(R"({"items":[{"id":"a","token":)" + token + R"(,"result":[7]}]})", &request),
              "");
    EXPECT_EQ(request.items(0).token().ShortDebugString(), "term: 3 sequence: 18 job: 1234");
    EXPECT_EQ(request.items(0).result(), "[7]");
  }
}

TEST(ReadMessageJson, NamesOfEnumValuesMayBeShort) {
  v1::PurgeQueueRequest purge;
  EXPECT_EQ(Problem(R"({"states":["READY","JOB_STATE_DEAD",5]})", &purge), "");
  EXPECT_EQ(purge.ShortDebugString(), "states: JOB_STATE_READY states: JOB_STATE_DEAD states: " +
                                          v1::JobState_Name(static_cast<v1::JobState>(5)));
  v1::EnqueueJobsRequest enqueue;
  EXPECT_EQ(Problem(R"({"jobs":[{"retry":{"backoff":"LINEAR"}}]})", &enqueue), "")
      << "inside other messages too";
  EXPECT_EQ(enqueue.jobs(0).retry().ShortDebugString(), "backoff: BACKOFF_LINEAR");
  v1::CreateKeyRequest key;
  EXPECT_EQ(Problem(R"({"type":"WORKER"})", &key), "");
  EXPECT_EQ(key.type(), v1::KEY_TYPE_WORKER);
  for (const char* bad :
       {"ready", "STATE_READY", "", "KEY_TYPE_WORKER", "JOB_STATE_JOB_STATE_READY"}) {
    v1::PurgeQueueRequest request;
    const std::string problem =
        Problem(R"({"states":["READY",")" + std::string(bad) + R"("]})", &request);
    EXPECT_THAT(problem, HasSubstr(R"("field":"states[1]")")) << bad;
    EXPECT_THAT(problem, HasSubstr("SCHEDULED, READY, LEASED, ")) << bad;
  }
  EXPECT_THAT(Problem(R"({"states":[{}]})", &purge), HasSubstr("MALFORMED_REQUEST"));
  EXPECT_THAT(Problem(R"({"states":true})", &purge), HasSubstr("MALFORMED_REQUEST"));
}

TEST(ReadMessageJson, BadBodies) {
  struct Row {
    std::string text;
    std::string part;
  };
  for (const Row& row : std::vector<Row>{
           {R"({"jobs":[{},{"payload":1,"payload_base64":"YQ=="}]})",
            R"("field":"jobs[1].payload_base64")"},
           {R"({"jobs":[{"payload_base64":"%%%"}]})", "must be a string in base64"},
           {R"({"jobs":[{"payload_base64":7}]})", "must be a string in base64"},
           {R"({"jobs":[{"payload_base64":null}]})", "must be a string in base64"},
           {R"({"jobs":[{"payload":1,"payload":2}]})", "comes twice"},
           {R"({"jobs":[{"payload":}]})", "INVALID_JSON"},
           {R"({"jobs":[{"paylod":1}]})", "MALFORMED_REQUEST"},
           {R"({"jobs":[{"type_base64":"YQ=="}]})", "MALFORMED_REQUEST"},
           {R"({"jobs":{"payload":1}})", "MALFORMED_REQUEST"},
           {R"({"jobs":[7]})", "MALFORMED_REQUEST"},
       }) {
    v1::EnqueueJobsRequest request;
    const std::string problem = Problem(row.text, &request);
    EXPECT_EQ(problem.substr(0, 4), "400 ") << row.text;
    EXPECT_THAT(problem, HasSubstr(row.part)) << row.text;
  }
  v1::ExtendLeasesRequest extend;
  const std::string problem = Problem(R"({"items":[{"id":"a","token":"x"}]})", &extend);
  EXPECT_THAT(problem, HasSubstr(R"("field":"items[0].token")"));
  EXPECT_THAT(problem, HasSubstr("a token as it was given"));
}

TEST(MessageJson, ShowsJsonAsJsonAndOtherBytesAsBase64) {
  struct Row {
    std::string bytes;
    std::string shown;
  };
  for (const Row& row : std::vector<Row>{
           {R"({"a" : 1.50})", R"("payload":{"a" : 1.50},"state")"},
           {R"("text")", R"("payload":"text","state")"},
           {"12345678901234567890123", R"("payload":12345678901234567890123,"state")"},
           {"", R"("payload_base64":"","state")"},
           {"text", R"("payload_base64":"dGV4dA==","state")"},
           {std::string("\xff\0", 2), R"("payload_base64":"/wA=","state")"},
           {R"({"a":1,"a":2})", R"("payload_base64":)"},
           {R"({} {})", R"("payload_base64":)"},
       }) {
    v1::LeaseJobsResponse response;
    response.add_jobs()->set_id("first");
    response.add_jobs()->set_payload(row.bytes);
    const std::string json = MessageJson(response).value_or("");
    EXPECT_THAT(json, HasSubstr(row.shown));
    EXPECT_TRUE(CheckJson(json).ok()) << json;
  }
}

TEST(MessageJson, ReadsBackAsItWasShown) {
  v1::CompleteJobsRequest request;
  for (const std::string& result : {std::string("[1, \"\xc3\xa4\"]"), std::string("null"),
                                    std::string(), std::string("\x01\x02")}) {
    auto* item = request.add_items();
    item->mutable_token()->set_term(1);
    item->set_result(result);
  }
  v1::CompleteJobsRequest again;
  EXPECT_EQ(Problem(MessageJson(request).value_or(""), &again), "");
  EXPECT_EQ(again.ShortDebugString(), request.ShortDebugString());
}

}  // namespace
}  // namespace dqueue::transport
