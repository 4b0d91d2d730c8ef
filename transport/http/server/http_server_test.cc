#include "transport/http/server/http_server.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "transport/testing/raw_http1.h"

namespace dqueue::transport {
namespace {

using namespace std::chrono_literals;

// /echo returns the request and takes a body; /later keeps the reply for the test; /forget drops
// it; /stream begins a stream and keeps it. Any other path answers "OK".
class TestHandler : public HttpHandler {
 public:
  size_t BodyBytesMax(const HttpRequest& head) override {
    return !head.target.asterisk && head.target.path.at(0) == "echo" ? 1000 : 0;
  }
  void Handle(HttpRequest request, HttpReply reply) override {
    const std::string what = request.target.asterisk ? "*" : request.target.path.at(0);
    if (what == "forget") return;
    if (what == "stream") {
      HttpResponse head;
      head.content_type = "text/event-stream";
      HttpStream stream = reply.Stream(std::move(head));
      stream.OnGone([this] { ++gone_streams_; });
      if (request.target.query.contains("at_once")) {
        std::thread([&stream] {
          stream.Write(std::make_shared<const std::string>("by another thread"));
        }).join();
      }
      const std::lock_guard lock(mutex_);
      streams_.push_back(std::move(stream));
      return;
    }
    if (what == "later") {
      reply.OnGone([this] { gone_.set_value(); });
      later_.set_value(reply);
      return;
    }
    HttpResponse response;
    response.content_type = "text/plain";
    response.body = what == "echo"  ? request.method + "|" + request.body + "|"
                    : what == "big" ? std::string(32 << 20, 'b')
                                    : "OK\n";
    reply.Send(std::move(response));
  }

  // The stream that was begun as the n-th.
  HttpStream stream(size_t n) {
    const std::lock_guard lock(mutex_);
    return streams_.at(n);
  }

  std::mutex mutex_;
  std::vector<HttpStream> streams_;
  std::atomic<int> gone_streams_{0};
  std::promise<HttpReply> later_;
  std::promise<void> gone_;
};

class HttpServerTest : public testing::Test {
 protected:
  void Start(const HttpLimits& limits = {}) {
    auto server = HttpServer::Start("127.0.0.1:0", &handler_, limits);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  RawClient Connect() { return RawClient(server_->port()); }
  // Sends, closes its sending half, and returns all that comes back.
  std::string Talk(const std::string& bytes) {
    RawClient client = Connect();
    client.Send(bytes);
    client.EndSending();
    return client.ReadAll();
  }

  TestHandler handler_;
  std::unique_ptr<HttpServer> server_;
};

const std::string kRest = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const std::string kGet = "GET /x" + kRest;
const std::string kPost = "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";

TEST_F(HttpServerTest, AnswersWithTheHeadersOfEveryAnswer) {
  Start();
  const std::string answer = Talk(kGet);
  EXPECT_EQ(FirstLine(answer), "HTTP/1.1 200 OK");
  EXPECT_EQ(Body(answer), "OK\n");
  for (const char* header :
       {"Content-Length: 3\r\n", "Cache-Control: no-store\r\n",
        "X-Content-Type-Options: nosniff\r\n", "Server: dqueue\r\n",
        "Content-Security-Policy: default-src 'self'; frame-ancestors 'none'; "
        "base-uri 'none'; form-action 'none'\r\n",
        "Referrer-Policy: no-referrer\r\n", "Cross-Origin-Resource-Policy: same-origin\r\n"}) {
    EXPECT_NE(answer.find(header), std::string::npos) << header << answer;
  }
}

struct Row {
  std::string what;
  std::string request;
  std::string line;
  std::string part;  // of the body
};

std::vector<Row> BadHeads() {
  const std::string bad = "HTTP/1.1 400 Bad Request";
  const std::string get = "GET /x HTTP/1.1\r\nHost: x\r\n";
  std::string many = get;
  for (int i = 0; i < 101; ++i) many += "A: b\r\n";
  return {
      {"another version", "GET /x HTTP/9.9\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported",
       "BAD_VERSION"},
      {"HTTP/0.9", "GET /x\r\n\r\n", bad, "BAD_REQUEST"},
      {"no HTTP", "hello\r\n\r\n", bad, "BAD_REQUEST"},
      {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported",
       "BAD_VERSION"},
      {"TLS", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + "\r\n\r\n", bad,
       "BAD_REQUEST"},
      {"SSH", "SSH-2.0-OpenSSH_9.2\r\n\r\n", bad, "BAD_REQUEST"},
      {"a header without a name", "GET /x HTTP/1.1\r\n: x\r\n\r\n", bad, "BAD_REQUEST"},
      {"a header without a colon", get + "abc\r\n\r\n", bad, "BAD_REQUEST"},
      {"a space before the colon", get + "A : b\r\n\r\n", bad, "BAD_REQUEST"},
      {"a control character", get + "A: \x01\r\n\r\n", bad, "BAD_REQUEST"},
      {"a NUL in a header", get + "A: " + std::string(1, '\0') + "\r\n\r\n", bad, "BAD_REQUEST"},
      {"a NUL in the target", "GET /" + std::string(1, '\0') + " HTTP/1.1\r\nHost: x\r\n\r\n", bad,
       "BAD_REQUEST"},
      {"bare line feeds", "GET /x HTTP/1.1\nHost: x\n\n\r\n\r\n",
       "HTTP/1.1 505 HTTP Version Not Supported", "BAD_VERSION"},
      {"a bare line feed in the header", get + "A: b\nC: d\r\n\r\n", bad, "BAD_REQUEST"},
      {"no Host", "GET /x HTTP/1.1\r\n\r\n", bad, "one Host field"},
      {"two Hosts", get + "Host: y\r\n\r\n", bad, "one Host field"},
      {"an escape that is none", "GET /%zz" + kRest, bad, "BAD_TARGET"},
      {"half an escape", "GET /%4" + kRest, bad, "BAD_TARGET"},
      {"an escaped NUL", "GET /a%00b" + kRest, bad, "NUL"},
      {"escaped bytes that are no UTF-8", "GET /%ff" + kRest, bad, "UTF-8"},
      {"raw bytes above ASCII", "GET /\xc3\xa4" + kRest, bad, "BAD_"},
      {"a parameter twice", "GET /x?a=1&a=2" + kRest, bad, "comes twice"},
      {"a bad escape in the query", "GET /x?a=%" + kRest, bad, "BAD_TARGET"},
      {"the absolute form", "GET http://x/x" + kRest, bad, "begin with '/'"},
      {"the authority form", "CONNECT x:443" + kRest, bad, "begin with '/'"},
      {"no slash", "GET x" + kRest, bad, "begin with '/'"},
      {"a long target", "GET /" + std::string(4096, 'a') + kRest, "HTTP/1.1 414 URI Too Long",
       "4096"},
      {"a request line of 9 KiB", "GET /" + std::string(9 << 10, 'a') + kRest,
       "HTTP/1.1 431 Request Header Fields Too Large", "8192"},
      {"a header of 8 KiB", get + "A: " + std::string(8192, 'a') + "\r\n\r\n",
       "HTTP/1.1 431 Request Header Fields Too Large", "8192"},
      {"a header without an end", std::string(1 << 20, 'G'),
       "HTTP/1.1 431 Request Header Fields Too Large", "8192"},
      {"101 fields", many + "\r\n", "HTTP/1.1 431 Request Header Fields Too Large", "100"},
      {"an expectation", get + "Expect: tea\r\n\r\n", "HTTP/1.1 417 Expectation Failed", "100"},
  };
}

std::vector<Row> BadBodies() {
  const std::string bad = "HTTP/1.1 400 Bad Request";
  const std::string chunked = kPost + "Transfer-Encoding: chunked\r\n\r\n";
  return {
      {"a length that is no number", kPost + "Content-Length: x\r\n\r\n", bad, "BAD_REQUEST"},
      {"a negative length", kPost + "Content-Length: -1\r\n\r\n", bad, "BAD_REQUEST"},
      {"a length with a sign", kPost + "Content-Length: +1\r\n\r\na", bad, "BAD_REQUEST"},
      {"a length that overflows", kPost + "Content-Length: 99999999999999999999\r\n\r\n", bad,
       "BAD_REQUEST"},
      {"two lengths", kPost + "Content-Length: 0\r\nContent-Length: 1\r\n\r\n", bad, "BAD_REQUEST"},
      {"a length twice", kPost + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", bad,
       "BAD_REQUEST"},
      {"a list of lengths", kPost + "Content-Length: 1, 1\r\n\r\na", bad, "BAD_REQUEST"},
      {"length and chunks",
       kPost + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", bad,
       "BAD_REQUEST"},
      {"chunks and length",
       kPost + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", bad,
       "BAD_REQUEST"},
      {"another encoding", kPost + "Transfer-Encoding: gzip\r\n\r\n", bad, "chunked"},
      {"another encoding and a length",
       kPost + "Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\na", bad, "BAD_REQUEST"},
      {"chunked twice", kPost + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", bad,
       "chunked"},
      {"chunks in HTTP/1.0", "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       "HTTP/1.0 400 Bad Request", "HTTP/1.0"},
      {"a chunk of no size", chunked + "x\r\n", bad, "BAD_REQUEST"},
      {"a chunk whose size overflows", chunked + "fffffffffffffffff\r\n", bad, "BAD_REQUEST"},
      {"a chunk of another size", chunked + "1\r\nab\r\n0\r\n\r\n", bad, "BAD_REQUEST"},
      {"a giant extension", chunked + "1;" + std::string(64 << 10, 'a') + "\r\na\r\n0\r\n\r\n", bad,
       "BAD_REQUEST"},
      {"a body over the route's limit", kPost + "Content-Length: 1001\r\n\r\n",
       "HTTP/1.1 413 Payload Too Large", "1000 bytes"},
      {"chunks over the route's limit",
       chunked + "3e9\r\n" + std::string(1001, 'a') + "\r\n0\r\n\r\n",
       "HTTP/1.1 413 Payload Too Large", "1000 bytes"},
      {"a body over the server's limit where none is wanted",
       "GET /x HTTP/1.1\r\nHost: x\r\nContent-Length: 20971521\r\n\r\n",
       "HTTP/1.1 413 Payload Too Large", "20971520 bytes"},
  };
}

TEST_F(HttpServerTest, BadRequests) {
  Start();
  for (const auto& rows : {BadHeads(), BadBodies()}) {
    for (const Row& row : rows) {
      // The rest must not be read as another request.
      const std::string answer = Talk(row.request + kGet);
      EXPECT_EQ(FirstLine(answer), row.line) << row.what;
      EXPECT_NE(Body(answer).find(row.part), std::string::npos) << row.what << ": " << answer;
      EXPECT_NE(Body(answer).find("\"reason\":\""), std::string::npos) << row.what;
      EXPECT_EQ(answer.find("200 OK"), std::string::npos) << row.what << ": " << answer;
    }
  }
  EXPECT_EQ(FirstLine(Talk(kGet)), "HTTP/1.1 200 OK") << "it lives after all that";
}

TEST_F(HttpServerTest, GoodRequests) {
  Start();
  for (const Row& row : std::vector<Row>{
           {"HTTP/1.0", "GET /x HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK", "OK\n"},
           {"a query", "GET /x?a=1&b" + kRest, "HTTP/1.1 200 OK", "OK\n"},
           {"a field in two lines",
            "GET /x HTTP/1.1\r\nHost: x\r\nA: b\r\n c" + kRest.substr(kRest.find("\r\nConnection")),
            "HTTP/1.1 200 OK", "OK\n"},
           {"an escaped slash", "GET /x%2Fy" + kRest, "HTTP/1.1 200 OK", "OK\n"},
           {"the asterisk", "OPTIONS *" + kRest, "HTTP/1.1 200 OK", "OK\n"},
           {"a body", kPost + "Content-Length: 4\r\n\r\nbody", "HTTP/1.1 200 OK", "POST|body|"},
           {"no body", kPost + "\r\n", "HTTP/1.1 200 OK", "POST||"},
           {"chunks, an extension and a trailer",
            kPost + "Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nbo\r\n2\r\ndy\r\n0\r\nT: x\r\n\r\n",
            "HTTP/1.1 200 OK", "POST|body|"},
           {"a longest body", kPost + "Content-Length: 1000\r\n\r\n" + std::string(1000, 'a'),
            "HTTP/1.1 200 OK", "POST|" + std::string(1000, 'a') + "|"},
           {"a body that nobody wants",
            "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n" +
                std::string(100000, 'a'),
            "HTTP/1.1 200 OK", "OK\n"},
           {"Range and Upgrade",
            "GET /x HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\nIf-None-Match: \"x\r\n"
            "Upgrade: websocket\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK", "OK\n"},
       }) {
    const std::string answer = Talk(row.request);
    EXPECT_EQ(FirstLine(answer), row.line) << row.what;
    EXPECT_EQ(Body(answer), row.part) << row.what;
  }
}

TEST_F(HttpServerTest, HeadHasTheHeaderOnly) {
  Start();
  const std::string answer = Talk("HEAD /x" + kRest);
  EXPECT_EQ(FirstLine(answer), "HTTP/1.1 200 OK");
  EXPECT_NE(answer.find("Content-Length: 3\r\n"), std::string::npos);
  EXPECT_EQ(Body(answer), "");
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
  Start();
  std::string all;
  for (int i = 0; i < 1000; ++i) {
    const std::string body = std::to_string(i);
    all += "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
  }
  RawClient client = Connect();
  std::thread sender([&] { client.Send(all); });
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(Body(client.ReadAnswer()), "POST|" + std::to_string(i) + "|");
  }
  sender.join();
}

TEST_F(HttpServerTest, TheBodyIsAwaitedWithAContinue) {
  Start();
  RawClient client = Connect();
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.ReadAnswer(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("hi");
  EXPECT_EQ(Body(client.ReadAnswer()), "POST|hi|");
  // Where the body is refused or not wanted, the answer comes instead.
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n");
  EXPECT_EQ(FirstLine(client.ReadAnswer()), "HTTP/1.1 413 Payload Too Large");
  RawClient other = Connect();
  other.Send("POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  const std::string answer = other.ReadAll();
  EXPECT_EQ(FirstLine(answer), "HTTP/1.1 200 OK");
  EXPECT_NE(answer.find("Connection: close"), std::string::npos) << answer;
}

TEST_F(HttpServerTest, TheFirstAnswerCountsAndMayComeLater) {
  Start();
  RawClient client = Connect();
  client.Send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  const HttpReply reply = handler_.later_.get_future().get();
  EXPECT_FALSE(reply.gone());
  HttpResponse first;
  first.content_type = "text/plain";
  first.body = "first";
  HttpResponse second = first;
  second.body = "second";
  reply.Send(first);
  reply.Send(second);
  EXPECT_EQ(Body(client.ReadAnswer()), "first");
  client.Send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(Body(client.ReadAnswer()), "OK\n") << "the second answer went nowhere";
}

TEST_F(HttpServerTest, ALostReplyIsA500) {
  Start();
  RawClient client = Connect();
  client.Send("GET /forget" + kRest);
  EXPECT_EQ(FirstLine(client.ReadAll()), "HTTP/1.1 500 Internal Server Error");
}

TEST_F(HttpServerTest, ReportsAGoneClientAndAnUndeliveredAnswer) {
  Start();
  RawClient client = Connect();
  client.Send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  const HttpReply reply = handler_.later_.get_future().get();
  client.Close();
  ASSERT_EQ(handler_.gone_.get_future().wait_for(30s), std::future_status::ready);
  EXPECT_TRUE(reply.gone());
  std::promise<void> undelivered;
  HttpResponse response;
  response.undelivered = [&] { undelivered.set_value(); };
  reply.Send(std::move(response));
  EXPECT_EQ(undelivered.get_future().wait_for(30s), std::future_status::ready);
}

TEST_F(HttpServerTest, AReplyOutlivesTheServer) {
  Start();
  RawClient client = Connect();
  client.Send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  const HttpReply reply = handler_.later_.get_future().get();
  server_.reset();
  reply.Send({});
  EXPECT_EQ(client.ReadAll(), "");
}

TEST_F(HttpServerTest, ConnectionsAreBounded) {
  Start({.connections = 10, .give_way_time = 1h});
  std::vector<RawClient> open;
  // Each has been answered once, so it is known to be accepted.
  for (int i = 0; i < 10; ++i) {
    open.push_back(Connect());
    open.back().Send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
    ASSERT_EQ(Body(open.back().ReadAnswer()), "OK\n") << i;
  }
  EXPECT_EQ(Connect().ReadAll(), "") << "closed at once";
  open.clear();
  // As soon as the server has seen an end, there is room again.
  std::string answer;
  for (int i = 0; i < 1000 && answer.empty(); ++i) answer = Talk(kGet);
  EXPECT_EQ(FirstLine(answer), "HTTP/1.1 200 OK");
}

TEST_F(HttpServerTest, AcceptsAgainAfterALackOfDescriptors) {
  Start();
  RawClient early = Connect();
  early.Send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_EQ(Body(early.ReadAnswer()), "OK\n");

  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low{256, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  std::vector<UniqueFd> fill;
  for (int fd = dup(early.fd()); fd >= 0; fd = dup(early.fd())) fill.emplace_back(fd);
  fill.pop_back();  // the client's end takes the last one
  RawClient late = Connect();
  late.Send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
  // Each answer is a turn of the server's thread, so it has tried to accept.
  for (int i = 0; i < 3; ++i) {
    early.Send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(Body(early.ReadAnswer()), "OK\n");
  }
  pollfd answered{late.fd(), POLLIN, 0};
  EXPECT_EQ(poll(&answered, 1, 0), 0);
  fill.clear();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(Body(late.ReadAnswer()), "OK\n");
}

TEST_F(HttpServerTest, SlowClientsAreClosed) {
  Start({.header_time = 100ms, .body_time = 100ms, .idle_time = 100ms, .write_time = 100ms});
  RawClient silent = Connect();
  RawClient header = Connect();
  header.Send("GET /x HT");
  RawClient body = Connect();
  body.Send(kPost + "Content-Length: 10\r\n\r\nabc");
  RawClient idle = Connect();
  idle.Send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(Body(idle.ReadAnswer()), "OK\n");
  RawClient stuck = Connect();
  const int small = 4096;
  setsockopt(stuck.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
  stuck.Send("GET /big" + kRest);
  EXPECT_EQ(silent.ReadAll(), "");
  EXPECT_EQ(header.ReadAll(), "");
  EXPECT_EQ(body.ReadAll(), "");
  EXPECT_EQ(idle.ReadAll(), "");
  // It takes nothing and is told that the rest is lost.
  pollfd broken{stuck.fd(), 0, 0};
  EXPECT_EQ(poll(&broken, 1, 30000), 1);
}

HttpChunk Chunk(const std::string& text) { return std::make_shared<const std::string>(text); }
const std::string kStream = "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n";

TEST_F(HttpServerTest, AStreamComesInChunksAndTheConnectionGoesOn) {
  Start();
  RawClient client = Connect();
  client.Send(kStream);
  const std::string head = client.ReadUntil("\r\n\r\n");
  EXPECT_EQ(FirstLine(head), "HTTP/1.1 200 OK");
  EXPECT_NE(head.find("Transfer-Encoding: chunked\r\n"), std::string::npos) << head;
  EXPECT_NE(head.find("Content-Type: text/event-stream\r\n"), std::string::npos) << head;
  EXPECT_NE(head.find("nosniff"), std::string::npos) << head;
  EXPECT_EQ(head.find("Content-Length"), std::string::npos) << head;
  const HttpStream stream = handler_.stream(0);
  stream.Write(Chunk("data: one\n\n"));
  EXPECT_EQ(client.ReadUntil("\n\n\r\n"), "b\r\ndata: one\n\n\r\n");
  stream.Write(Chunk(""));  // would be the end
  stream.Write(Chunk("data: two\n\n"));
  stream.End();
  stream.Write(Chunk("late"));
  EXPECT_EQ(client.ReadUntil("0\r\n\r\n"), "b\r\ndata: two\n\n\r\n0\r\n\r\n");
  client.Send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(Body(client.ReadAnswer()), "OK\n");
  EXPECT_EQ(handler_.gone_streams_, 0);
}

TEST_F(HttpServerTest, AStreamHasChunksWrittenBeforeItsHandlerReturns) {
  Start();
  RawClient client = Connect();
  client.Send("GET /stream?at_once=1 HTTP/1.0\r\n\r\n");
  client.ReadUntil("\r\n\r\n");
  handler_.stream(0).End();
  EXPECT_EQ(client.ReadAll(), "by another thread");
}

TEST_F(HttpServerTest, AStreamEndsWithItsLastCopy) {
  Start();
  RawClient client = Connect();
  client.Send(kStream);
  client.ReadUntil("\r\n\r\n");
  {
    const std::lock_guard lock(handler_.mutex_);
    handler_.streams_.clear();
  }
  EXPECT_EQ(client.ReadUntil("0\r\n\r\n"), "0\r\n\r\n");
}

TEST_F(HttpServerTest, AStreamToHttp10EndsWithTheConnection) {
  Start();
  RawClient client = Connect();
  client.Send("GET /stream HTTP/1.0\r\n\r\n");
  const std::string head = client.ReadUntil("\r\n\r\n");
  EXPECT_EQ(head.find("chunked"), std::string::npos) << head;
  handler_.stream(0).Write(Chunk("data: one\n\n"));
  handler_.stream(0).End();
  EXPECT_EQ(client.ReadAll(), "data: one\n\n");
}

TEST_F(HttpServerTest, HeadOfAStreamIsItsHeadOnly) {
  Start();
  RawClient client = Connect();
  client.Send("HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(FirstLine(client.ReadUntil("\r\n\r\n")), "HTTP/1.1 200 OK");
  client.Send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(Body(client.ReadAnswer()), "OK\n");
  EXPECT_TRUE(handler_.stream(0).gone());
}

TEST_F(HttpServerTest, StreamsHaveTheirOwnLimit) {
  Start({.connections = 10, .streams = 2});
  std::vector<RawClient> open;
  for (int i = 0; i < 2; ++i) {
    open.push_back(Connect());
    open.back().Send(kStream);
    EXPECT_EQ(FirstLine(open.back().ReadUntil("\r\n\r\n")), "HTTP/1.1 200 OK");
  }
  RawClient third = Connect();
  third.Send(kStream);
  const std::string refused = third.ReadAnswer();
  EXPECT_EQ(FirstLine(refused), "HTTP/1.1 503 Service Unavailable");
  EXPECT_NE(refused.find("TOO_MANY_STREAMS"), std::string::npos) << refused;
  EXPECT_TRUE(handler_.stream(2).gone());
  EXPECT_EQ(FirstLine(Talk(kGet)), "HTTP/1.1 200 OK") << "others are served";
  handler_.stream(0).End();
  EXPECT_EQ(open[0].ReadUntil("0\r\n\r\n"), "0\r\n\r\n");
  third.Send(kStream);
  EXPECT_EQ(FirstLine(third.ReadUntil("\r\n\r\n")), "HTTP/1.1 200 OK") << "there is room again";
}

TEST_F(HttpServerTest, ADisconnectedClientOfAStreamIsNoticed) {
  Start();
  RawClient client = Connect();
  client.Send(kStream);
  client.ReadUntil("\r\n\r\n");
  client.Close();
  // Every answer is a turn of the server's thread.
  for (int i = 0; i < 1000 && handler_.gone_streams_ == 0; ++i) Talk(kGet);
  EXPECT_EQ(handler_.gone_streams_, 1);
  EXPECT_TRUE(handler_.stream(0).gone());
}

TEST_F(HttpServerTest, ASlowClientOfAStreamIsClosed) {
  Start({.stream_backlog_bytes = 10'000});
  RawClient slow = Connect();
  const int small = 4096;
  setsockopt(slow.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
  slow.Send(kStream);
  RawClient quick = Connect();
  quick.Send(kStream);
  for (RawClient* client : {&slow, &quick}) client->ReadUntil("\r\n\r\n");
  // The first chunk may be large.
  const std::string large(2 << 20, 'l');
  for (size_t i : {0, 1}) handler_.stream(i).Write(Chunk(large));
  EXPECT_EQ(quick.ReadUntil("l\r\n").size(), std::string("200000\r\n").size() + large.size() + 2);
  EXPECT_EQ(handler_.gone_streams_, 0);
  const HttpChunk shared = Chunk(std::string(4'000, 's'));
  for (int round = 0; round < 3; ++round) {
    for (size_t i : {0, 1}) handler_.stream(i).Write(shared);
    quick.ReadUntil("s\r\n");
  }
  Talk(kGet);
  EXPECT_EQ(handler_.gone_streams_, 1) << "8,000 bytes wait for the slow one, and 4,000 come";
  pollfd broken{slow.fd(), 0, 0};
  EXPECT_EQ(poll(&broken, 1, 30000), 1);
  EXPECT_FALSE(handler_.stream(1).gone());
}

size_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  size_t total = 0;
  size_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

TEST_F(HttpServerTest, AViewerCostsLittleMemory) {
  Start();
  constexpr size_t kViewers = 500;
  std::vector<RawClient> viewers;
  const size_t before = ResidentBytes();
  for (size_t i = 0; i < kViewers; ++i) {
    viewers.push_back(Connect());
    viewers.back().Send(kStream);
    ASSERT_EQ(FirstLine(viewers.back().ReadUntil("\r\n\r\n")), "HTTP/1.1 200 OK") << i;
  }
  const HttpChunk shared = Chunk(std::string(20'000, 's'));
  for (size_t i = 0; i < kViewers; ++i) handler_.stream(i).Write(shared);
  for (RawClient& viewer : viewers) EXPECT_GT(viewer.ReadUntil("s\r\n").size(), shared->size());
  const size_t each = (ResidentBytes() - std::min(before, ResidentBytes())) / kViewers;
  RecordProperty("bytes_a_viewer", static_cast<int>(each));
  std::printf("%zu bytes a viewer, the test's own end included\n", each);
#if !defined(__SANITIZE_ADDRESS__) && !defined(DQUEUE_TSAN)
  EXPECT_LT(each, 64u << 10);
#endif
}

TEST_F(HttpServerTest, StopsWithStreamsOpen) {
  Start();
  RawClient client = Connect();
  client.Send(kStream);
  client.ReadUntil("\r\n\r\n");
  const HttpStream stream = handler_.stream(0);
  server_.reset();
  EXPECT_EQ(client.ReadAll(), "");
  stream.Write(Chunk("to nobody"));
  stream.End();
}

TEST_F(HttpServerTest, StopsWithConnectionsOpen) {
  Start();
  RawClient idle = Connect();
  RawClient half = Connect();
  half.Send("GET /health HT");
  server_.reset();
  EXPECT_EQ(half.ReadAll(), "");
}

TEST(HttpServer, SaysWhatIsWrongWithTheAddress) {
  TestHandler handler;
  EXPECT_EQ(HttpServer::Start("nonsense", &handler).status().code(),
            absl::StatusCode::kInvalidArgument);
  const auto first = HttpServer::Start("127.0.0.1:0", &handler);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(
      HttpServer::Start("127.0.0.1:" + std::to_string((*first)->port()), &handler).status().code(),
      absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace dqueue::transport
