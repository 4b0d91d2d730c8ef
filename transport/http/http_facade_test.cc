// All routes over real connections, on a node of its own with real threads and files.
#include "transport/http/http_facade.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <thread>

#include "storage/files/file_system.h"
#include "transport/http/message/json_text.h"
#include "transport/testing/machine_fixture.h"
#include "transport/testing/raw_http1.h"

namespace dqueue::transport {
namespace {

using namespace std::chrono_literals;

struct Answered {
  int status = 0;
  std::string head;
  std::string body;

  // A member of the body: a string's characters, or the value as it stands.
  std::string operator[](const std::string& name) const {
    const auto members = ParseJsonObject(body);
    if (!members.ok() || !members->contains(name)) return "(none)";
    const std::string_view value = members->at(name);
    return JsonToText(value).value_or(std::string(value));
  }
  bool HasHeader(const std::string& line) const {
    return head.find("\r\n" + line + "\r\n") != std::string::npos;
  }
};

std::ostream& operator<<(std::ostream& out, const Answered& answer) {
  return out << answer.head << answer.body;
}

class HttpFacadeTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    machine_ = new LoneMachine("dqueue_http_test");
    machine_->Start("127.0.0.1:0");
    ASSERT_FALSE(HasFatalFailure());
    auto facade = HttpFacade::Start("127.0.0.1:0", &machine_->server());
    ASSERT_TRUE(facade.ok()) << facade.status();
    facade_ = std::move(facade)->release();
    const auto end = std::chrono::steady_clock::now() + 30s;
    while (Ask("GET", "/ready").status != 200 && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(10ms);
    }
    ASSERT_EQ(Ask("GET", "/ready").status, 200);
  }
  static void TearDownTestSuite() {
    delete facade_;
    delete machine_;
  }

  static Answered Read(RawClient* client) {
    const std::string answer = client->ReadAnswer();
    Answered result;
    result.status = answer.size() > 12 ? std::stoi(answer.substr(9, 3)) : 0;
    result.head = answer.substr(0, answer.find("\r\n\r\n") + 2);
    result.body = Body(answer);
    return result;
  }
  static Answered Ask(const std::string& method, const std::string& target,
                      const std::string& body = "", const std::string& headers = "") {
    RawClient client(facade_->port());
    client.Send(Bytes(method, target, body, headers));
    return Read(&client);
  }
  static std::string Bytes(const std::string& method, const std::string& target,
                           const std::string& body, const std::string& headers = "") {
    const bool typed = body.empty() || headers.find("Content-Type") != std::string::npos;
    return method + " " + target + " HTTP/1.1\r\nHost: x\r\n" +
           (typed ? "" : "Content-Type: application/json\r\n") + headers +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  // Leases from a queue that one test has for itself.
  static Answered Lease(const std::string& queue, const std::string& worker = "w") {
    return Ask("POST", "/tasks/lease",
               "{\"worker_id\":\"" + worker + "\",\"queue\":\"" + queue + "\"}");
  }
  static std::string Submit(const std::string& queue, const std::string& rest = "") {
    return Ask("POST", "/tasks", "{\"queue\":\"" + queue + "\"" + rest + "}")["id"];
  }

  static LoneMachine* machine_;
  static HttpFacade* facade_;
};
LoneMachine* HttpFacadeTest::machine_ = nullptr;
HttpFacade* HttpFacadeTest::facade_ = nullptr;

TEST_F(HttpFacadeTest, TheLifeOfATask) {
  const Answered made = Ask("POST", "/tasks",
                            R"({"type":"email","payload":{"to": "user@example.com"},)"
                            R"("priority":10,"max_retries":2,"queue":"life"})");
  ASSERT_EQ(made.status, 201) << made;
  std::set<std::string> names;
  const auto members = ParseJsonObject(made.body);
  for (const auto& [name, value] : *members) names.insert(name);
  EXPECT_EQ(names,
            (std::set<std::string>{
                "job_id", "id",         "type",       "queue",       "priority", "payload",
                "status", "state",      "retries",    "attempts",    "attempt",  "max_retries",
                "error",  "created_at", "updated_at", "lease_until", "result",   "result_error",
                "run_at", "worker_id",  "lease_token"}));
  EXPECT_EQ(made["id"], made["job_id"]);
  EXPECT_EQ(made["payload"], R"({"to": "user@example.com"})") << "byte for byte";
  EXPECT_EQ(made["state"] + made["status"] + made["priority"] + made["max_retries"],
            "READYpending102");

  const Answered leased = Lease("life");
  ASSERT_EQ(leased.status, 200) << leased;
  EXPECT_EQ(leased["id"], made["id"]);
  EXPECT_EQ(leased["state"] + leased["status"] + leased["attempts"] + leased["worker_id"],
            "RUNNINGprocessing1w");
  EXPECT_TRUE(std::regex_match(leased["lease_until"],
                               std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z)")))
      << leased;
  EXPECT_EQ(Lease("life").status, 204);

  const std::string task = "/tasks/" + made["id"];
  const Answered failed =
      Ask("POST", task + "/nack", R"({"worker_id":"w","reason":"no database"})");
  ASSERT_EQ(failed.status, 200) << failed;
  EXPECT_EQ(failed["state"] + failed["status"] + failed["retries"], "RETRYfailed1");
  EXPECT_EQ(failed["error"], "no database");

  Answered again;
  const auto end = std::chrono::steady_clock::now() + 30s;
  while ((again = Lease("life")).status == 204 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(20ms);
  }
  ASSERT_EQ(again["attempts"], "2") << again;
  const Answered acked = Ask("POST", task + "/ack", R"({"worker_id":"w"})");
  EXPECT_EQ(acked.status, 200) << acked;
  EXPECT_EQ(acked["state"] + acked["status"], "ACKEDdone");
  EXPECT_EQ(Ask("GET", task)["state"], "ACKED");
}

TEST_F(HttpFacadeTest, LeasesAreFenced) {
  const std::string id = Submit("fence");
  const std::string ack = "/jobs/" + id + "/ack";
  const Answered idle = Ask("POST", ack, R"({"worker_id":"w"})");
  EXPECT_EQ(idle.status, 409) << idle;
  EXPECT_EQ(idle["reason"], "LEASE_STALE");
  const std::string token = Lease("fence")["lease_token"];
  const Answered other = Ask("POST", ack, R"({"worker_id":"v"})");
  EXPECT_EQ(other.status, 409) << other;
  EXPECT_NE(other["error"].find("another worker"), std::string::npos);
  EXPECT_EQ(Ask("POST", ack).status, 409) << "the default name is not the holder's either";
  std::string wrong = token;
  wrong[32] = wrong[32] == 'f' ? 'e' : 'f';  // of the sequence
  const Answered stale = Ask("POST", ack, "{\"lease_token\":\"" + wrong + "\"}");
  EXPECT_EQ(stale.status, 409) << stale;
  EXPECT_EQ(stale["reason"], "LEASE_STALE");
  EXPECT_EQ(Ask("POST", ack, "{\"lease_token\":\"x\"}").status, 400);
  const std::string good = "{\"lease_token\":\"" + token + "\",\"result\":[1, 2]}";
  const Answered done = Ask("POST", ack, good);
  EXPECT_EQ(done.status, 200) << done;
  EXPECT_EQ(done["result"], "[1, 2]");
  EXPECT_EQ(Ask("POST", ack, good).status, 200) << "the same token again is harmless";
}

TEST_F(HttpFacadeTest, JobsInTheOtherForm) {
  EXPECT_EQ(Ask("POST", "/jobs/lease")["reason"], "NO_JOB_READY");
  EXPECT_EQ(Ask("POST", "/jobs/lease").status, 404);
  const Answered made = Ask("POST", "/jobs", R"({"payload":"42","max_retries":0})");
  ASSERT_EQ(made.status, 201) << made;
  EXPECT_NE(made.body.find(R"("payload":"42")"), std::string::npos) << "a string stays one";
  EXPECT_EQ(made["queue"] + made["type"], "defaultdefault");
  const Answered leased = Ask("POST", "/jobs/lease");
  ASSERT_EQ(leased["id"], made["id"]) << leased;
  EXPECT_EQ(leased["attempt"] + leased["worker_id"], "1http");
  const Answered dead = Ask("POST", "/jobs/" + made["id"] + "/ack", R"({"result_error":"boom"})");
  EXPECT_EQ(dead.status, 200) << dead;
  EXPECT_EQ(dead["state"] + dead["status"] + dead["result_error"], "DEADdlqboom");

  const Answered later = Ask("POST", "/jobs", R"({"payload":"x","delay_ms":60000,"priority":3})");
  EXPECT_EQ(later["state"] + later["status"], "READYpending");
  EXPECT_GT(later["run_at"], later["created_at"]);
  const Answered at = Ask("POST", "/jobs", R"({"run_at":"2030-01-02T03:04:05Z"})");
  EXPECT_EQ(at["run_at"], "2030-01-02T03:04:05Z") << at;
}

TEST_F(HttpFacadeTest, ATimeInThePastIsNow) {
  // Also before 1970: the zero time of some languages.
  for (const char* time :
       {"2001-01-01T00:00:00Z", "1969-12-31T23:59:59.5Z", "0001-01-01T00:00:00Z"}) {
    const std::string text = std::string("\"") + time + "\"}";
    for (const auto& [path, body] :
         {std::pair{"/jobs", "{\"run_at\":" + text}, {"/v1/jobs", "{\"run_time\":" + text}}) {
      const Answered made = Ask("POST", path, body);
      EXPECT_EQ(made.status, 201) << path << " " << time << made;
      const Answered leased = Ask("POST", "/jobs/lease");
      EXPECT_EQ(leased["id"], made["id"]) << path << " " << time << leased;
    }
  }
}

TEST_F(HttpFacadeTest, AReplayIsAnsweredWithTheOriginal) {
  const std::string body = R"({"queue":"once","payload":{"a":1}})";
  const Answered first = Ask("POST", "/jobs", body, "Idempotency-Key: k1\r\n");
  ASSERT_EQ(first.status, 201) << first;
  EXPECT_FALSE(first.HasHeader("Idempotent-Replayed: true"));
  const Answered second = Ask("POST", "/jobs", body, "Idempotency-Key: k1\r\n");
  EXPECT_EQ(second.status, 200) << second;
  EXPECT_TRUE(second.HasHeader("Idempotent-Replayed: true")) << second;
  EXPECT_EQ(second["id"], first["id"]);
  const Answered in_body =
      Ask("POST", "/tasks", R"({"queue":"once","payload":{"a":1},"idempotency_key":"k1"})");
  EXPECT_EQ(in_body["id"], first["id"]) << in_body;
  const Answered other =
      Ask("POST", "/jobs", R"({"queue":"once","payload":{"a":2}})", "Idempotency-Key: k1\r\n");
  EXPECT_EQ(other.status, 422) << other;
  EXPECT_EQ(other["reason"], "IDEMPOTENCY_MISMATCH");
  EXPECT_EQ(Ask("POST", "/jobs", R"({"idempotency_key":"a"})", "Idempotency-Key: b\r\n").status,
            400);
}

TEST_F(HttpFacadeTest, APayloadIsTheSameOnEveryRoute) {
  struct Row {
    std::string id;
    std::string member;
  };
  for (const Row& row : std::vector<Row>{{"same-text", R"("payload":"data")"},
                                         {"same-object", R"("payload":{"a": 1.0})"},
                                         {"same-number", R"("payload":12345678901234567890)"},
                                         {"same-null", R"("payload":null)"},
                                         {"same-bytes", R"("payload_base64":"//79")"},
                                         {"same-none", R"("payload_base64":"")"}}) {
    for (const char* route : {"/v1/jobs", "/tasks", "/jobs"}) {
      const std::string id = row.id + (route[1] == 'v' ? "-v1" : route[1] == 't' ? "-t" : "-j");
      const Answered made = Ask("POST", route, "{\"id\":\"" + id + "\"," + row.member + "}");
      ASSERT_EQ(made.status, 201) << made;
      for (const char* from : {"/v1/jobs/", "/tasks/", "/jobs/"}) {
        const Answered job = Ask("GET", from + id);
        EXPECT_NE(job.body.find(row.member + ","), std::string::npos) << route << job;
      }
    }
  }
}

TEST_F(HttpFacadeTest, ACallThatSaysNothingIsRefused) {
  const auto enqueued = [] {
    const Answered stats = Ask("GET", "/stats");
    const std::string total = stats["total"];
    return std::string(ParseJsonObject(total)->at("enqueued"));
  };
  const std::string before = enqueued();
  for (const char* target :
       {"/tasks", "/jobs", "/v1/jobs", "/v1/jobs:redrive", "/v1/queues/default:purge",
        "/v1/jobs:cancel", "/v1/leases", "/v1/cluster:transfer", "/v1/keys", "/admin/keys"}) {
    const Answered answer = Ask("POST", target);
    EXPECT_EQ(answer.status, 400) << target << answer;
    EXPECT_EQ(answer["reason"], "MISSING_BODY") << target;
  }
  for (const char* body :
       {R"({"id":""})", R"({"queue":""})", R"({"type":""})", R"({"idempotency_key":""})"}) {
    EXPECT_EQ(Ask("POST", "/tasks", body).status, 400) << body;
  }
  for (const char* target : {"/tasks?queue=x", "/jobs/lease?wait_ms=5", "/v1/jobs?queue=x",
                             "/v1/leases?max_jobs=5", "/tasks/a/ack?worker_id=w"}) {
    const Answered answer = Ask("POST", target, "{}");
    EXPECT_EQ(answer.status, 400) << target << answer;
    EXPECT_NE(answer.body.find("this route has no parameters"), std::string::npos) << answer;
  }
  EXPECT_EQ(Ask("GET", "/stats?queue=x").status, 400) << "not all queues instead of one";
  for (const char* header :
       {"Idempotency-Key:\r\n", "Idempotency-Key: a\r\nIdempotency-Key: b\r\n"}) {
    EXPECT_EQ(Ask("POST", "/tasks", "{}", header).status, 400) << header;
    EXPECT_EQ(Ask("POST", "/v1/jobs", "{}", header).status, 400) << header;
  }
  EXPECT_EQ(Ask("POST", "/v1/jobs", R"({"jobs":[{}]})", "Idempotency-Key: a\r\n").status, 400);
  EXPECT_EQ(enqueued(), before) << "nothing was done";
}

TEST_F(HttpFacadeTest, TheHeaderIsTheKeyOfOneJobOnV1) {
  const Answered first = Ask("POST", "/v1/jobs", "{}", "Idempotency-Key: v1-key\r\n");
  ASSERT_EQ(first.status, 201) << first;
  const Answered second = Ask("POST", "/v1/jobs", "{}", "Idempotency-Key: v1-key\r\n");
  EXPECT_EQ(second.status, 200) << second;
  EXPECT_EQ(second["id"], first["id"]);
}

TEST_F(HttpFacadeTest, ALeaseIsExtended) {
  for (const char* const family_name : {"/tasks", "/jobs"}) {
    const std::string family = family_name;
    const std::string id = Submit("extend");
    const Answered leased = Lease("extend");
    ASSERT_EQ(leased["id"], id) << leased;
    const std::string extend = family + "/" + id + "/extend";
    const Answered longer = Ask(
        "POST", extend, "{\"lease_token\":\"" + leased["lease_token"] + "\",\"lease_ms\":3600000}");
    EXPECT_EQ(longer.status, 200) << longer;
    EXPECT_GT(longer["lease_until"], leased["lease_until"]) << longer;
    EXPECT_EQ(longer["lease_token"], leased["lease_token"]);
    EXPECT_EQ(Ask("POST", extend, R"({"worker_id":"w","lease_ms":60000})").status, 200);
    EXPECT_EQ(Ask("POST", extend, R"({"worker_id":"v"})").status, 409);
    EXPECT_EQ(Ask("POST", extend, R"({"worker_id":"w","lease_ms":999})").status, 400);
    EXPECT_EQ(Ask("POST", extend, R"({"worker_id":"w","result":1})").status, 400);
    // The text of the token is accepted under /v1, too.
    const std::string item =
        "{\"items\":[{\"id\":\"" + id + "\",\"token\":\"" + leased["lease_token"] + "\"}]}";
    const Answered done = Ask("POST", "/v1/leases:complete", item);
    EXPECT_NE(done.body.find(R"("code":0)"), std::string::npos) << done;
    EXPECT_EQ(Ask("POST", extend, R"({"worker_id":"w"})").status, 409);
  }
}

TEST_F(HttpFacadeTest, ALeasedJobWasChangedByItsLastAttempt) {
  const std::string id = Submit("again", R"(,"max_retries":5)");
  const Answered first = Lease("again");
  const Answered failed =
      Ask("POST", "/tasks/" + id + "/nack", R"({"worker_id":"w","reason":"x"})");
  Answered second;
  const auto end = std::chrono::steady_clock::now() + 30s;
  while ((second = Lease("again")).status == 204 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_EQ(first["updated_at"], first["created_at"]);
  EXPECT_EQ(second["updated_at"], failed["updated_at"]) << second;
  EXPECT_GT(second["updated_at"], second["created_at"]);
}

TEST_F(HttpFacadeTest, OnlyRoutesWithoutWorkRunOnTheServersThread) {
  std::set<std::string> here;
  std::set<std::string> watch;
  for (const Route& route : facade_->router().routes()) {
    if (route.runs == Runs::kHere) here.insert(route.pattern);
    if (route.runs == Runs::kWatch) watch.insert(route.pattern);
  }
  EXPECT_EQ(here, (std::set<std::string>{"/", "/dashboard/{file}", "/health", "/ready"}));
  EXPECT_EQ(watch, (std::set<std::string>{"/events", "/metrics"}));
}

TEST_F(HttpFacadeTest, BadBodies) {
  const std::string deep = std::string(33, '[') + std::string(33, ']');
  struct Row {
    std::string target;
    std::string body;
    int status;
    std::string part;
  };
  for (const Row& row : std::vector<Row>{
           {"/tasks", "null", 400, "line 1, column 1: the body must be an object"},
           {"/tasks", "[]", 400, "must be an object"},
           {"/tasks", "\"x\"", 400, "must be an object"},
           {"/tasks", R"({"type":"a",})", 400, "line 1, column 13"},
           {"/tasks", R"({} {})", 400, "there is more"},
           {"/tasks", std::string(1 << 20, ' '), 400, "INVALID_JSON"},
           {"/tasks", R"({"payload":)" + deep + "}", 400, "deeper than 32"},
           {"/tasks", R"({"type":"a","type":"b"})", 400, "comes twice"},
           {"/tasks", R"({"type":"\ud800"})", 400, "INVALID_JSON"},
           {"/tasks", "{\"type\":\"\xff\"}", 400, "INVALID_JSON"},
           {"/tasks", R"({"type":"a\u0000b"})", 400, R"("field":"type")"},
           {"/tasks", R"({"type":1})", 400, R"("field":"type")"},
           {"/tasks", R"({"payload":7,"payload_base64":""})", 400, R"("field":"payload_base64")"},
           {"/tasks", R"({"payload_base64":"%"})", 400, "a string in base64"},
           {"/tasks", R"({"priority":256})", 400, "an integer, 0 to 255"},
           {"/tasks", R"({"priority":-1})", 400, R"("value":"\"-1\"")"},
           {"/tasks", R"({"priority":1.5})", 400, "0 to 255"},
           {"/tasks", R"({"priority":"5"})", 400, R"("limit")"},
           {"/tasks", R"({"priority":9007199254740993})", 400, "0 to 255"},
           {"/tasks", R"({"priority":1e400})", 400, "0 to 255"},
           {"/tasks", R"({"max_retries":1001})", 400, "0 to 1000"},
           {"/tasks", R"({"delay_ms":-1})", 400, R"("field":"delay_ms")"},
           {"/tasks", R"({"delay_ms":1,"run_at":"2030-01-02T03:04:05Z"})", 400, "run_at"},
           {"/tasks", R"({"run_at":"tomorrow"})", 400, "a time like"},
           {"/tasks", R"({"colour":"red"})", 400, "colour"},
           {"/tasks", R"({"queue":"_sys"})", 400, R"({"error":"queue must be 1 to 128)"},
           {"/v1/jobs", R"({"queue":"_sys"})", 400, R"("field":"queue")"},
           {"/tasks", R"({"payload":")" + std::string((1 << 20) + 1, 'a') + "\"}", 413,
            "PAYLOAD_TOO_LARGE"},
           {"/tasks", std::string(7 << 20, ' '), 413, "REQUEST_TOO_LARGE"},
           {"/tasks/lease", "", 400, R"("field":"worker_id")"},
           {"/tasks/lease", R"({"worker_id":"w","wait_ms":60001})", 400, "0 to 60000"},
           {"/tasks/lease", R"({"worker_id":"w","lease_ms":999})", 400, "1000 to 43200000"},
           {"/tasks/a/ack", "{}", 400, "worker_id"},
           {"/tasks/none/ack", R"({"worker_id":"w"})", 404, "JOB_NOT_FOUND"},
           {"/jobs/a/ack", R"({"result":"a","result_error":"b"})", 400, "result_error"},
           {"/v1/jobs", R"({"jobs":[]})", 400, R"("field_violations":[{"field":"jobs")"},
           {"/v1/jobs", R"({"jobs":[{"colour":1}]})", 400, "colour"},
           {"/v1/jobs", R"({"jobs":[{"id":"a","id":"b"}]})", 400, "comes twice"},
           {"/v1/jobs", R"({"payload_base64":"%%%"})", 400, R"("field":"payload_base64")"},
           {"/v1/jobs", R"({"priority":1.5})", 400, "priority"},
           {"/v1/jobs:cancel", R"({"ids":"a","x":1})", 400, "MALFORMED_REQUEST"},
           {"/v1/leases", R"({"worker_id":"w","max_jobs":0})", 400, R"("field":"max_jobs")"},
       }) {
    const Answered answer = Ask("POST", row.target, row.body);
    EXPECT_EQ(answer.status, row.status) << row.body.substr(0, 80) << answer;
    EXPECT_NE(answer.body.find(row.part), std::string::npos) << row.body.substr(0, 80) << answer;
    EXPECT_TRUE(CheckJson(answer.body).ok()) << answer;
    if (row.body.find("\"jobs\"") == std::string::npos) {
      EXPECT_EQ(answer.body.find("jobs[0]"), std::string::npos) << "not a word of the caller's";
    }
  }
  for (const char* type : {"text/plain", "application/json; charset=utf-16", "",
                           "application/x-www-form-urlencoded"}) {
    const std::string header = std::string("Content-Type: ") + type + "\r\n";
    EXPECT_EQ(Ask("POST", "/tasks", "{}", header).status, 415) << type;
    EXPECT_EQ(Ask("POST", "/v1/jobs", "{}", header).status, 415) << type;
  }
  EXPECT_EQ(Ask("POST", "/v1/jobs:cancel", R"({"ids":["none"]})",
                "Content-Type: Application/JSON; charset=UTF-8\r\n")
                .status,
            200);
}

TEST_F(HttpFacadeTest, V1IsTheWholeApi) {
  const Answered batch = Ask(
      "POST", "/v1/jobs",
      R"({"jobs":[{"id":"v1-a","queue":"v1","type":"t"},{"id":"v1-b","queue":"v1","payload":{}},)"
      R"({"id":"bad id"},{"id":"v1-c","queue":"v1","delay":"3600s"}]})");
  ASSERT_EQ(batch.status, 200) << batch;
  EXPECT_NE(batch.body.find(R"("created":true)"), std::string::npos) << batch;
  EXPECT_NE(batch.body.find(R"("reason":"INVALID_FIELD")"), std::string::npos) << batch;

  const Answered got = Ask("GET", "/v1/jobs/v1-b");
  EXPECT_EQ(got.status, 200) << got;
  EXPECT_NE(got.body.find(R"("state":"JOB_STATE_READY")"), std::string::npos) << got;
  EXPECT_NE(got.body.find(R"("last_error":"")"), std::string::npos) << "defaults are printed";

  const Answered page = Ask("GET", "/v1/jobs?queue=v1&page_size=1&state=READY&full=true");
  EXPECT_EQ(page.status, 200) << page;
  EXPECT_NE(page["next_page_token"], "");
  const Answered rest =
      Ask("GET", "/v1/jobs?queue=v1&state=JOB_STATE_READY&page_token=" + page["next_page_token"]);
  EXPECT_EQ(rest["next_page_token"], "") << rest;
  EXPECT_NE(page["jobs"].find("v1-a") == std::string::npos,
            rest["jobs"].find("v1-a") == std::string::npos);

  const Answered leased =
      Ask("POST", "/v1/leases", R"({"worker_id":"w","queues":["v1"],"max_jobs":10})");
  ASSERT_EQ(leased.status, 200) << leased;
  std::smatch match;
  const std::regex pattern(R"re("id":"(v1-[ab])"(?:(?!"id":).)*?"token":(\{[^}]*\}))re");
  std::string text = leased.body;
  std::map<std::string, std::string> items;
  while (std::regex_search(text, match, pattern)) {
    items[match[1]] =
        "{\"items\":[{\"id\":\"" + match[1].str() + "\",\"token\":" + match[2].str() + "}]}";
    text = match.suffix();
  }
  ASSERT_EQ(items.size(), 2u) << leased;
  const auto ok = [](const Answered& answer) {
    return answer.status == 200 && answer.body.find(R"("code":0)") != std::string::npos;
  };
  EXPECT_TRUE(ok(Ask("POST", "/v1/leases:extend", items["v1-a"])));
  EXPECT_TRUE(ok(Ask("POST", "/v1/leases:complete", items["v1-a"])));
  EXPECT_TRUE(ok(Ask("POST", "/v1/leases:release", items["v1-b"])));
  const Answered stale = Ask("POST", "/v1/leases:fail", items["v1-b"]);
  EXPECT_EQ(stale.status, 200) << "each item has its own status";
  EXPECT_NE(stale.body.find("LEASE_STALE"), std::string::npos) << stale;
  EXPECT_TRUE(ok(Ask("POST", "/v1/jobs:cancel", R"({"ids":["v1-b"]})")));
  EXPECT_TRUE(ok(Ask("POST", "/v1/jobs:retry", R"({"ids":["v1-b"]})")));

  const Answered stats = Ask("GET", "/v1/stats?queue=v1");
  EXPECT_NE(stats["total"].find(R"("enqueued":"3")"), std::string::npos) << stats;
  const Answered cluster = Ask("GET", "/v1/cluster");
  EXPECT_EQ(cluster["node_id"] + cluster["role"], "n1leader") << cluster;
}

TEST_F(HttpFacadeTest, BadParameters) {
  for (const char* target :
       {"/v1/jobs?page_size=abc", "/v1/jobs?page_size=-1", "/v1/jobs?state=HAPPY",
        "/v1/jobs?full=1", "/v1/jobs?colour=red", "/v1/jobs?page_token=forged",
        "/v1/stats?queue=%0a", "/v1/jobs/%20", "/v1/jobs/a?id=b&id=c"}) {
    const Answered answer = Ask("GET", target);
    EXPECT_EQ(answer.status, 400) << target << answer;
    EXPECT_NE(answer["reason"], "(none)") << target << answer;
  }
  EXPECT_EQ(Ask("GET", "/v1/jobs/unheard-of").status, 404);
  EXPECT_EQ(Ask("GET", "/tasks/unheard-of")["reason"], "JOB_NOT_FOUND");
  const Answered wrong = Ask("DELETE", "/tasks/a");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_TRUE(wrong.HasHeader("Allow: GET, HEAD, OPTIONS")) << wrong;
}

TEST_F(HttpFacadeTest, StatsAreNumbers) {
  Submit("counted");
  const Answered stats = Ask("GET", "/stats");
  EXPECT_EQ(stats.status, 200);
  EXPECT_NE(stats["queues"].find(R"("counted":{"scheduled":0,"ready":1,"leased":0)"),
            std::string::npos)
      << stats;
  EXPECT_NE(stats["total"].find(R"("runnable":)"), std::string::npos) << stats;
}

TEST_F(HttpFacadeTest, StatsComeInPages) {
  for (const char* queue : {"page-a", "page-b", "page-c"}) Submit(queue);
  std::string token;
  std::string names;
  int pages = 0;
  do {
    const Answered page = Ask("GET", "/stats?page_size=2&page_token=" + token);
    ASSERT_EQ(page.status, 200) << page;
    for (const char* queue : {"page-a", "page-b", "page-c"}) {
      if (page["queues"].find(queue) != std::string::npos) names += queue;
    }
    token = page["next_page_token"];
  } while (!token.empty() && ++pages < 100);
  EXPECT_EQ(names, "page-apage-bpage-c");
  const Answered v1 = Ask("GET", "/v1/stats?page_size=1");
  EXPECT_EQ(v1.status, 200);
  EXPECT_NE(v1["next_page_token"], "");
  for (const char* bad : {"/stats?page_size=x", "/stats?page_size=-1", "/stats?page_token=x",
                          "/stats?pages=1", "/v1/workers?page_token=x"}) {
    EXPECT_EQ(Ask("GET", bad)["reason"], "INVALID_FIELD") << bad;
  }
}

TEST_F(HttpFacadeTest, AWaitingLeaseGetsTheJobUnlessItsClientIsGone) {
  const std::string ask = R"({"worker_id":"w","queue":"wait","wait_ms":30000})";
  {
    RawClient impatient(facade_->port());
    impatient.Send(Bytes("POST", "/tasks/lease", ask));
    impatient.Close();
  }
  RawClient patient(facade_->port());
  patient.Send(Bytes("POST", "/tasks/lease", ask));
  const std::string id = Submit("wait");
  const Answered leased = Read(&patient);
  ASSERT_EQ(leased.status, 200) << leased;
  EXPECT_EQ(leased["id"], id);
}

TEST_F(HttpFacadeTest, TheLargestBodyIsAccepted) {
#ifdef DQUEUE_TSAN
  // gRPC hands memory from thread to thread where the sanitizer does not see it, which then takes
  // its time over each eight bytes: minutes over these.
  constexpr size_t kPayloadBytes = 48 << 10;
#else
  // 15 MiB of body.
  constexpr size_t kPayloadBytes = 1 << 20;
#endif
  // base64 of zeros, to the last whole three of them.
  const std::string payload(kPayloadBytes / 3 * 4, 'A');
  std::string jobs;
  for (int i = 0; i < 11; ++i) {
    jobs += (i == 0 ? "" : ",") + std::string("{\"queue\":\"large\",\"payload_base64\":\"") +
            payload + "\"}";
  }
  const Answered answer = Ask("POST", "/v1/jobs", "{\"jobs\":[" + jobs + "]}");
  EXPECT_EQ(answer.status, 200) << answer.body.substr(0, 500);
  const Answered listed = Ask("GET", "/v1/jobs?queue=large&full=true");
  EXPECT_EQ(listed.status, 200) << listed.head;
  EXPECT_GT(listed.body.size(), kPayloadBytes);
#ifndef DQUEUE_TSAN
  EXPECT_NE(listed["next_page_token"], "") << "the node ends a page when it is large";
#endif
}

TEST_F(HttpFacadeTest, QueuesArePausedPurgedAndJobsDeletedAndRedriven) {
  const std::string id = Submit("stop", R"(,"max_retries":0)");
  const Answered paused = Ask("POST", "/v1/queues/stop:pause", R"({"refuse_enqueues":true})");
  EXPECT_EQ(paused.status, 200) << paused;
  EXPECT_NE(paused.body.find("\"paused\":true"), std::string::npos) << paused;
  EXPECT_EQ(Lease("stop").status, 204);
  EXPECT_NE(Ask("GET", "/stats").body.find("\"paused\":true,\"refuses_enqueues\":true"),
            std::string::npos);
  EXPECT_EQ(Ask("POST", "/v1/queues/stop:resume").status, 200);
  const Answered leased = Lease("stop");
  ASSERT_EQ(leased.status, 200) << leased;
  EXPECT_EQ(Ask("POST", "/tasks/" + id + "/nack", R"({"worker_id":"w","reason":"x"})")["state"],
            "DEAD");
  const Answered redriven = Ask("POST", "/v1/jobs:redrive", R"({"queue":"stop"})");
  EXPECT_EQ(redriven["redriven"], "1") << redriven;
  const Answered purged = Ask("POST", "/v1/queues/stop:purge", "{}");
  EXPECT_EQ(purged["purged"], "1") << purged;
  const std::string other = Submit("stop");
  EXPECT_NE(Ask("POST", "/v1/jobs:delete", "{\"ids\":[\"" + other + "\"]}").body.find("\"code\":0"),
            std::string::npos);
  EXPECT_EQ(Ask("GET", "/v1/jobs/" + other).status, 404);
  EXPECT_EQ(Ask("POST", "/v1/queues/bad%20name:pause").status, 400);
}

TEST_F(HttpFacadeTest, EventsAreWholeAtFirstAndThenChanges) {
  Submit("events");
  RawClient viewer(facade_->port());
  viewer.Send("GET /events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 3\r\n\r\n");
  const std::string head = viewer.ReadUntil("\r\n\r\n");
  EXPECT_NE(head.find("200 OK"), std::string::npos) << head;
  EXPECT_NE(head.find("Content-Type: text/event-stream\r\n"), std::string::npos) << head;
  const std::string first = viewer.ReadUntil("\"queues\":{");
  EXPECT_NE(first.find("event: stats\n"), std::string::npos) << first;
  EXPECT_NE(first.find("\"whole\":true"), std::string::npos) << first;
  EXPECT_NE(viewer.ReadUntil("\n\n").find("\"events\":{"), std::string::npos);
  EXPECT_NE(viewer.ReadUntil("\"disk_free_bytes\"").find("\"leader_id\":\"n1\""),
            std::string::npos);
  Submit("events");
  const std::string change = viewer.ReadUntil("\"events\":{");
  EXPECT_NE(change.find("\"whole\":false"), std::string::npos) << change;
  EXPECT_EQ((first + change).find("\nid: 0\n"), std::string::npos);
}

TEST_F(HttpFacadeTest, TheDashboardIsServed) {
  const Answered page = Ask("GET", "/");
  EXPECT_EQ(page.status, 200);
  EXPECT_TRUE(page.HasHeader("Content-Type: text/html; charset=utf-8")) << page.head;
  EXPECT_TRUE(page.HasHeader("Cache-Control: no-cache")) << page.head;
  std::set<std::string> named;
  const std::regex file("[\"']/dashboard/([a-z.]+)[\"']");
  for (std::sregex_iterator it(page.body.begin(), page.body.end(), file), end; it != end; ++it) {
    named.insert((*it)[1]);
  }
  EXPECT_GE(named.size(), 3u) << page.body;
  EXPECT_EQ(page.body.find("<style"), std::string::npos);
  EXPECT_EQ(page.body.find(" style="), std::string::npos);
  EXPECT_FALSE(std::regex_search(page.body, std::regex("<script[^>]*>[^<]"))) << "inline script";
  EXPECT_FALSE(std::regex_search(page.body, std::regex("https?://"))) << "something from elsewhere";
  named.insert("api.js");
  for (const std::string& name : named) {
    const Answered got = Ask("GET", "/dashboard/" + name);
    EXPECT_EQ(got.status, 200) << name;
    const char* type = name.ends_with(".js")    ? "text/javascript; charset=utf-8"
                       : name.ends_with(".css") ? "text/css; charset=utf-8"
                                                : "image/svg+xml";
    EXPECT_TRUE(got.HasHeader(std::string("Content-Type: ") + type)) << name << got.head;
    std::smatch etag;
    ASSERT_TRUE(std::regex_search(got.head, etag, std::regex("ETag: (\"[0-9a-f]{16}\")")));
    const Answered again =
        Ask("GET", "/dashboard/" + name, "", "If-None-Match: " + etag[1].str() + "\r\n");
    EXPECT_EQ(again.status, 304) << name;
    EXPECT_EQ(again.body, "");
    EXPECT_EQ(again.head.find("Content-Length"), std::string::npos) << again.head;
    EXPECT_EQ(Ask("GET", "/dashboard/" + name, "", "If-None-Match: \"other\"\r\n").status, 200);
  }
  for (const char* none :
       {"/dashboard/none.js", "/dashboard/", "/dashboard/%2e%2e", "/index.html"}) {
    EXPECT_EQ(Ask("GET", none).status, 404) << none;
  }
}

TEST_F(HttpFacadeTest, ABadLastEventIdIsRefused) {
  for (const char* id : {"x", "-1", "1-2", "18446744073709551616", "1e3"}) {
    const Answered answer = Ask("GET", "/events", "", std::string("Last-Event-ID: ") + id + "\r\n");
    EXPECT_EQ(answer.status, 400) << id;
    EXPECT_NE(answer.body.find("\"field\":\"Last-Event-ID\""), std::string::npos) << answer;
  }
}

// The lines of the description that are a path or a method, as "GET /jobs/{id}".
std::set<std::string> DescribedRoutes() {
  std::ifstream file(DQUEUE_SOURCE_DIR "/docs/openapi.yaml");
  std::set<std::string> routes;
  const std::regex path_line("  (/[^ ]*):");
  const std::regex method_line("    (get|post|put|delete|patch):");
  std::string path;
  std::smatch match;
  for (std::string line; std::getline(file, line);) {
    if (std::regex_match(line, match, path_line)) path = match[1];
    if (!std::regex_match(line, match, method_line)) continue;
    std::string method = match[1];
    for (char& c : method) c = static_cast<char>(std::toupper(c));
    routes.insert(method + " " + path);
  }
  return routes;
}

TEST_F(HttpFacadeTest, TheDescriptionHasEveryRouteAndNoOther) {
  std::set<std::string> served;
  for (const Route& route : facade_->router().routes()) {
    served.insert(route.method + " " + route.pattern);
  }
  EXPECT_EQ(DescribedRoutes(), served);
}

TEST_F(HttpFacadeTest, EveryRouteHasANameAndAllButFourAScope) {
  std::set<std::string> names;
  int open = 0;
  for (const Route& route : facade_->router().routes()) {
    EXPECT_TRUE(names.insert(route.name).second) << route.name;
    open += route.scope == queue::Scope::kNone;
  }
  EXPECT_EQ(open, 4) << "/health and /ready, and the files of the dashboard";
}

TEST_F(HttpFacadeTest, ReadOnlyChangesNothing) {
  auto facade =
      HttpFacade::Start("127.0.0.1:0", &machine_->server(), {.limits = {}, .read_only = true});
  ASSERT_TRUE(facade.ok()) << facade.status();
  const auto ask = [&](const std::string& method, const std::string& target) {
    RawClient client((*facade)->port());
    client.Send(Bytes(method, target, method == "POST" ? "{}" : ""));
    return Read(&client);
  };
  for (const Route& route : (*facade)->router().routes()) {
    if (route.method == "GET") continue;
    const Answered refused = ask(route.method, route.pattern);
    EXPECT_EQ(refused.status, 403) << route.pattern << refused;
    EXPECT_EQ(refused["reason"], "READ_ONLY");
  }
  EXPECT_EQ(ask("GET", "/stats").status, 200);
  RawClient viewer((*facade)->port());
  viewer.Send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(viewer.ReadUntil("\"disk_free_bytes\"").find("\"read_only\":true"), std::string::npos);
}

TEST(HttpFacade, EndsWhileCallsWait) {
  const std::string directory =
      testing::TempDir() + "/dqueue_http_end_test_" + std::to_string(getpid());
  std::filesystem::create_directories(directory);
  {
    Machine machine(SmallNode("n1", directory, {}), storage::PosixFileSystem());
    machine.Start("127.0.0.1:0");
    auto facade = HttpFacade::Start("127.0.0.1:0", &machine.server());
    ASSERT_TRUE(facade.ok()) << facade.status();
    RawClient client((*facade)->port());
    client.Send(
        "POST /jobs/lease HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Content-Length: 17\r\n\r\n{\"wait_ms\":60000}");
    RawClient other((*facade)->port());
    // So the first has been read.
    other.Send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(Body(other.ReadAnswer()), "OK\n");
    RawClient viewer((*facade)->port());
    viewer.Send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    viewer.ReadUntil("\r\n\r\n");
    const auto begin = std::chrono::steady_clock::now();
    facade->reset();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
    EXPECT_EQ(client.ReadAll(), "");
  }
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace dqueue::transport
