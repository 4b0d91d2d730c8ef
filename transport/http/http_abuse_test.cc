// Attacks and broken clients over HTTP, against a node with real threads and files. Tests of
// malformed requests are in http_server_test.cc, of bad bodies in http_facade_test.cc.
#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "queue/state/state_level.h"
#include "storage/files/file_system.h"
#include "transport/http/http_facade.h"
#include "transport/testing/machine_fixture.h"
#include "transport/testing/raw_http1.h"

namespace dqueue::transport {
namespace {

using namespace std::chrono_literals;

class HttpAbuseTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    machine_ = new LoneMachine("dqueue_abuse_test");
    machine_->Start("127.0.0.1:0");
    ASSERT_FALSE(HasFatalFailure());
    HttpFacadeOptions options;
    options.limits.hosts.emplace(std::vector<std::string>{"n1.example"});
    auto facade = HttpFacade::Start("127.0.0.1:0", &machine_->server(), options);
    ASSERT_TRUE(facade.ok()) << facade.status();
    facade_ = std::move(facade)->release();
    const auto end = std::chrono::steady_clock::now() + 30s;
    while (!Serves() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(10ms);
    ASSERT_TRUE(Serves());
    // The leader's own entries change the state, too.
    while (!HasNewestLevel() && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(10ms);
    }
    ASSERT_TRUE(HasNewestLevel());
    digest_ = Digest();
  }
  static void TearDownTestSuite() {
    delete facade_;
    delete machine_;
  }
  // No request may have had an effect.
  void TearDown() override {
    EXPECT_TRUE(Serves());
    EXPECT_EQ(Digest(), digest_);
  }

  // Returns all that comes back. `whole`: the server knows that this is all, and ends the
  // connection.
  static std::string Talk(const std::string& bytes, bool whole = true) {
    RawClient client(facade_->port());
    client.Send(bytes);
    if (!whole) client.EndSending();
    return client.ReadAll();
  }
  static std::string Request(const std::string& line, const std::string& headers,
                             const std::string& body = "") {
    return line + " HTTP/1.1\r\nConnection: close\r\n" + headers +
           (body.empty() ? "" : "Content-Length: " + std::to_string(body.size()) + "\r\n") +
           "\r\n" + body;
  }
  static bool Serves() {
    return FirstLine(Talk(Request("GET /ready", "Host: localhost\r\n"))) == "HTTP/1.1 200 OK";
  }
  static bool HasNewestLevel() {
    return Talk(Request("GET /metrics", "Host: localhost\r\n"))
               .find("\ndqueue_state_level " + std::to_string(queue::kStateLevelMax) + "\n") !=
           std::string::npos;
  }
  static std::string Digest() {
    const std::string cluster = Talk(Request("GET /v1/cluster", "Host: localhost\r\n"));
    const size_t field = cluster.find("\"state_digest\"");
    return field == std::string::npos ? cluster : cluster.substr(field, 40);
  }

  static LoneMachine* machine_;
  static HttpFacade* facade_;
  static std::string digest_;
};
LoneMachine* HttpAbuseTest::machine_ = nullptr;
HttpFacade* HttpAbuseTest::facade_ = nullptr;
std::string HttpAbuseTest::digest_;

struct Row {
  std::string what;
  std::string request;
  std::string status;  // "404"; "": the connection ends without an answer
  std::string part;    // of the answer
};

const std::string kHost = "Host: localhost\r\n";
const std::string kJson = kHost + "Content-Type: application/json\r\n";

TEST_F(HttpAbuseTest, MethodsAndPaths) {
  for (const Row& row : std::vector<Row>{
           {"a word of its own", Request("BREW /tasks", kHost), "405", "Allow: OPTIONS, POST"},
           {"a method in another case", Request("get /health", kHost), "405", "Allow: GET"},
           {"TRACE", Request("TRACE /health", kHost), "405", "METHOD_NOT_ALLOWED"},
           {"PUT", Request("PUT /tasks", kJson, "{}"), "405", "METHOD_NOT_ALLOWED"},
           {"no such route", Request("GET /none", kHost), "404", "NOT_FOUND"},
           {"a slash at the end", Request("GET /health/", kHost), "404", "NOT_FOUND"},
           {"two slashes", Request("GET //health", kHost), "404", "NOT_FOUND"},
           {"another case", Request("GET /Health", kHost), "404", "NOT_FOUND"},
           {"an escaped slash", Request("GET /v1%2Fcluster", kHost), "404", "NOT_FOUND"},
           {"up", Request("GET /../../../../etc/passwd", kHost), "404", "NOT_FOUND"},
           {"up, escaped", Request("GET /%2e%2e/%2e%2e/etc/passwd", kHost), "404", "NOT_FOUND"},
           {"up, escaped twice", Request("GET /%252e%252e/etc/passwd", kHost), "404", "NOT_FOUND"},
           {"up, backslashes", Request("GET /..\\..\\etc\\passwd", kHost), "404", "NOT_FOUND"},
           {"a job that is a path", Request("GET /tasks/..%2F..%2Fetc%2Fpasswd", kHost), "400",
            "INVALID_FIELD"},
           {"an Accept that cannot be", Request("GET /stats", kHost + "Accept: image/png\r\n"),
            "200", "Content-Type: application/json"},
           {"a query of 8 KiB", Request("GET /stats?" + std::string(8000, 'a'), kHost), "414",
            "TARGET_TOO_LONG"},
           {"a target as HTML", Request("GET /%3Cimg%20src=x%20onerror=alert(1)%3E", kHost), "404",
            "Content-Type: application/json"},
       }) {
    const std::string answer = Talk(row.request);
    EXPECT_EQ(FirstLine(answer).substr(0, 12), "HTTP/1.1 " + row.status) << row.what;
    EXPECT_NE(answer.find(row.part), std::string::npos) << row.what << answer;
    EXPECT_EQ(answer.find("root:"), std::string::npos) << row.what;
  }
}

TEST_F(HttpAbuseTest, BodiesThatAreBombs) {
  std::string members = "{";
  for (int i = 0; i < 300'000; ++i) members += "\"k" + std::to_string(i) + "\":1,";
  members.back() = '}';
  for (const Row& row : std::vector<Row>{
           {"100,000 brackets", Request("POST /tasks", kJson, std::string(100'000, '[')), "400",
            "deeper than 32"},
           {"brackets in the whole API",
            Request("POST /v1/jobs", kJson, "{\"labels\":" + std::string(100'000, '[')), "400",
            "deeper than 32"},
           {"300,000 members", Request("POST /tasks", kJson, members), "400",
            "more than 1000 members"},
           {"300,000 members in the whole API", Request("POST /v1/jobs", kJson, members), "400",
            "more than 1000 members"},
           {"a number of a million digits",
            Request("POST /tasks", kJson, "{\"priority\":" + std::string(1'000'000, '9') + "}"),
            "400", "0 to 255"},
           {"a name of a megabyte",
            Request("POST /tasks", kJson, "{\"" + std::string(1'000'000, 'n') + "\":1}"), "400",
            "INVALID_FIELD"},
           {"base64 of another alphabet",
            Request("POST /v1/leases:complete", kJson,
                    R"({"items":[{"id":"a","result_base64":"!!!!"}]})"),
            "400", "result"},
           {"minus zero", Request("POST /tasks", kJson, R"({"priority":-0.5})"), "400", "0 to 255"},
           {"not a number", Request("POST /tasks", kJson, R"({"priority":NaN})"), "400",
            "INVALID_JSON"},
           {"a comment", Request("POST /tasks", kJson, "{/* */}"), "400", "INVALID_JSON"},
           {"a length that is longer than what comes",
            "POST /tasks HTTP/1.1\r\n" + kJson + "Content-Length: 100\r\n\r\n{}", "", ""},
           {"chunks without an end",
            "POST /tasks HTTP/1.1\r\n" + kJson + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
            "", ""},
           {"gzip", Request("POST /tasks", kJson + "Content-Encoding: gzip\r\n", "\x1f\x8b\x08"),
            "400", "INVALID_JSON"},
       }) {
    const std::string answer = Talk(row.request, !row.status.empty());
    EXPECT_EQ(answer.empty() ? "" : FirstLine(answer).substr(9, 3), row.status) << row.what;
    EXPECT_NE(answer.find(row.part), std::string::npos) << row.what << answer.substr(0, 2000);
    EXPECT_LT(answer.size(), 3000u) << row.what << ": the value is not sent back whole";
  }
}

// A length that is too short: the rest is another request, and a malformed one.
TEST_F(HttpAbuseTest, BytesAfterABodyAreAnotherRequest) {
  const std::string answer =
      Talk("POST /tasks HTTP/1.1\r\n" + kJson +
           "Content-Length: 1\r\n\r\n{}GET /metrics HTTP/1.1\r\n" + kHost + "\r\n");
  EXPECT_EQ(FirstLine(answer), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(answer.find("200 OK"), std::string::npos) << answer;
  EXPECT_EQ(answer.find("dqueue_build"), std::string::npos);
}

TEST_F(HttpAbuseTest, ForeignHostsAndOrigins) {
  const std::string get = "GET /stats";
  const std::string post = "POST /tasks/none/ack";  // no such job: has no effect
  const auto host = [](const std::string& name) { return "Host: " + name + "\r\n"; };
  const auto origin = [](const std::string& from) { return "Origin: " + from + "\r\n"; };
  const std::string own = host("localhost:8080");
  for (const Row& row : std::vector<Row>{
           {"loopback", Request(get, host("localhost")), "200", ""},
           {"loopback and a port", Request(get, host("LocalHost:1")), "200", ""},
           {"an address", Request(get, host("10.1.2.3:8080")), "200", ""},
           {"an address of IPv6", Request(get, host("[::1]:8080")), "200", ""},
           {"a name that was given", Request(get, host("N1.example:8080")), "200", ""},
           {"no host, of an old client", "GET /stats HTTP/1.0\r\n\r\n", "200", ""},
           {"DNS rebinding", Request(get, host("evil.example")), "403", "FOREIGN_HOST"},
           {"a health check, too", Request("GET /health", host("evil.example")), "403",
            "FOREIGN_HOST"},
           {"a name that begins like it", Request(get, host("localhost.evil.example")), "403",
            "FOREIGN_HOST"},
           {"a name that ends like it", Request(get, host("evil.n1.example")), "403",
            "FOREIGN_HOST"},
           {"a user in front", Request(get, host("localhost@evil.example")), "403", "FOREIGN_HOST"},
           {"half an address", Request(get, host("[::1")), "403", "FOREIGN_HOST"},
           {"a number for an address", Request(get, host("2130706433")), "403", "FOREIGN_HOST"},
           {"what a proxy says does not count",
            Request(get, host("evil.example") +
                             "X-Forwarded-Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\n"
                             "Forwarded: for=127.0.0.1;host=localhost\r\n"),
            "403", "FOREIGN_HOST"},
           {"its own page", Request(post, own + origin("http://localhost:8080")), "400",
            "worker_id"},
           {"its own page over TLS", Request(post, own + origin("https://LOCALHOST:8080")), "400",
            "worker_id"},
           {"a name that was given, behind a proxy",
            Request(post, own + origin("https://n1.example")), "400", "worker_id"},
           {"another site", Request(post, own + origin("http://evil.example")), "403",
            "FOREIGN_ORIGIN"},
           {"another site, only reading", Request(get, own + origin("http://evil.example")), "403",
            "FOREIGN_ORIGIN"},
           {"another port", Request(post, own + origin("http://localhost:3000")), "403",
            "FOREIGN_ORIGIN"},
           {"a page of no site", Request(post, own + origin("null")), "403", "FOREIGN_ORIGIN"},
           {"nonsense", Request(post, own + origin("://")), "403", "FOREIGN_ORIGIN"},
           {"another site's form", Request(post, own + "Sec-Fetch-Site: cross-site\r\n"), "403",
            "FOREIGN_ORIGIN"},
           {"a link on another site", Request(get, own + "Sec-Fetch-Site: cross-site\r\n"), "200",
            ""},
           {"CORS asks first",
            Request("OPTIONS /tasks", own + origin("http://evil.example") +
                                          "Access-Control-Request-Method: POST\r\n"),
            "403", "FOREIGN_ORIGIN"},
       }) {
    const std::string answer = Talk(row.request);
    EXPECT_EQ(FirstLine(answer).substr(9, 3), row.status) << row.what << answer;
    EXPECT_NE(answer.find(row.part), std::string::npos) << row.what << answer;
    EXPECT_EQ(answer.find("Access-Control-"), std::string::npos) << row.what;
  }
}

TEST(HostCheck, AnyHostIsStillNotAnyOrigin) {
  const HostCheck any({"*"});
  HttpRequest request;
  request.method = "POST";
  request.headers = {{"Host", "whatever:80"}};
  EXPECT_FALSE(any.Problem(request));
  request.headers.emplace_back("Origin", "http://whatever:80");
  EXPECT_FALSE(any.Problem(request));
  request.headers.back().second = "http://evil.example";
  EXPECT_TRUE(any.Problem(request));
}

TEST_F(HttpAbuseTest, EveryRouteSendsTheSecurityHeaders) {
  int routes = 0;
  for (const Route& route : facade_->router().routes()) {
    ++routes;
    std::string path = route.pattern;
    for (size_t name = 0; (name = path.find('{')) != std::string::npos;) {
      path.replace(name, path.find('}') - name + 1, "none");
    }
    // Answered with an error where the route takes a body.
    RawClient client(facade_->port());
    client.Send(Request(route.method + " " + path, kJson, route.body_bytes_max > 0 ? "[]" : ""));
    const std::string answer = client.ReadAnswer();
    for (const char* header :
         {"\r\nX-Content-Type-Options: nosniff\r\n", "frame-ancestors 'none'", "base-uri 'none'",
          "\r\nContent-Security-Policy: default-src ", "\r\nX-Frame-Options: DENY\r\n",
          "\r\nReferrer-Policy: no-referrer\r\n",
          "\r\nCache-Control: ", "\r\nCross-Origin-Resource-Policy: same-origin\r\n"}) {
      EXPECT_NE(answer.find(header), std::string::npos) << route.pattern << header << answer;
    }
  }
  EXPECT_GT(routes, 20);
}

// Keeps requests until the test answers them.
class HoldingHandler : public HttpHandler {
 public:
  size_t BodyBytesMax(const HttpRequest&) override { return 1000; }
  void Handle(HttpRequest, HttpReply reply) override {
    const std::lock_guard lock(mutex_);
    held_.push_back(std::move(reply));
    changed_.notify_all();
  }
  HttpReply Take() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, 30s, [this] { return !held_.empty(); }));
    HttpReply reply = std::move(held_.back());
    held_.pop_back();
    return reply;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<HttpReply> held_;
};

TEST(HttpServerConnections, WhoSaysNothingGivesWay) {
  HoldingHandler handler;
  HttpLimits limits;
  limits.connections = 3;
  limits.give_way_time = 0ms;
  auto server = HttpServer::Start("127.0.0.1:0", &handler, limits);
  ASSERT_TRUE(server.ok());
  const int port = (*server)->port();
  RawClient working(port);
  working.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const HttpReply reply = handler.Take();
  RawClient silent(port);
  RawClient body(port);
  body.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc");
  // Each stays open, and gives way in its turn.
  std::vector<RawClient> more;
  for (int i = 0; i < 10; ++i) {
    more.emplace_back(port);
    more.back().Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    handler.Take().Send(HttpResponse{});
    EXPECT_EQ(FirstLine(more.back().ReadAnswer()), "HTTP/1.1 200 OK") << i;
  }
  EXPECT_EQ(silent.ReadAll(), "");
  EXPECT_EQ(body.ReadAll(), "");
  reply.Send(HttpResponse{});
  EXPECT_EQ(FirstLine(working.ReadAnswer()), "HTTP/1.1 200 OK") << "it was none of these";
}

TEST(HttpServerBodies, AllTogetherAreBounded) {
  HoldingHandler handler;
  HttpLimits limits;
  limits.all_body_bytes = 2000;
  auto server = HttpServer::Start("127.0.0.1:0", &handler, limits);
  ASSERT_TRUE(server.ok());
  const int port = (*server)->port();
  // Announces 1000 bytes and sends fewer.
  const auto post = [](size_t bytes) {
    return "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + std::string(bytes, 'x');
  };
  RawClient first(port);
  first.Send(post(1000));
  const HttpReply reply = handler.Take();
  RawClient second(port);
  second.Send(post(1000));
  const HttpReply other = handler.Take();
  RawClient third(port);
  third.Send(post(1000));
  const std::string refused = third.ReadAll();
  EXPECT_EQ(FirstLine(refused), "HTTP/1.1 503 Service Unavailable");
  EXPECT_NE(refused.find("\r\nRetry-After: 1\r\n"), std::string::npos) << refused;
  EXPECT_NE(refused.find("\"reason\":\"OVERLOADED\""), std::string::npos) << refused;
  // An answer frees room, and so does a client that disconnects before its body is complete.
  reply.Send(HttpResponse{});
  EXPECT_EQ(FirstLine(first.ReadAnswer()), "HTTP/1.1 200 OK");
  for (int i = 0; i < 3; ++i) {
    RawClient half(port);
    half.Send(post(500));
    half.EndSending();
    EXPECT_EQ(half.ReadAll(), "");
  }
  first.Send(post(1000));
  handler.Take().Send(HttpResponse{});
  EXPECT_EQ(FirstLine(first.ReadAnswer()), "HTTP/1.1 200 OK");
  other.Send(HttpResponse{});
  EXPECT_EQ(FirstLine(second.ReadAnswer()), "HTTP/1.1 200 OK");
}

}  // namespace
}  // namespace dqueue::transport
