#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mutex>
#include <string>
#include <vector>

#include "transport/listen_socket.h"
#include "transport/server.h"

namespace dqueue::transport {
namespace {

class HttpServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto server = HttpServer::Start("127.0.0.1:0", [this] {
      const std::lock_guard lock(mutex_);
      return reason_;
    });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  UniqueFd Connect() {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(server_->port()));
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const timeval limit{30, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
  }
  static void Send(const UniqueFd& fd, const std::string& bytes) {
    size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t n = send(fd.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return;  // refused while it was sent
      sent += static_cast<size_t>(n);
    }
  }
  static std::string ReadAll(const UniqueFd& fd) {
    std::string all;
    char buffer[4096];
    for (ssize_t n = 0; (n = recv(fd.get(), buffer, sizeof(buffer), 0)) > 0;) {
      all.append(buffer, static_cast<size_t>(n));
    }
    return all;
  }
  // Sends, closes its sending half, and returns all that comes back.
  std::string Talk(const std::string& bytes) {
    const UniqueFd fd = Connect();
    Send(fd, bytes);
    shutdown(fd.get(), SHUT_WR);
    return ReadAll(fd);
  }

  std::mutex mutex_;
  std::string reason_;
  std::unique_ptr<HttpServer> server_;
};

std::string FirstLine(const std::string& response) {
  return response.substr(0, response.find("\r\n"));
}
std::string Body(const std::string& response) {
  const size_t end = response.find("\r\n\r\n");
  return end == std::string::npos ? "" : response.substr(end + 4);
}

TEST_F(HttpServerTest, HealthAndReady) {
  const std::string health = Talk("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(FirstLine(health), "HTTP/1.1 200 OK");
  EXPECT_EQ(Body(health), "OK\n");
  EXPECT_NE(health.find("Content-Length: 3\r\n"), std::string::npos) << health;
  EXPECT_NE(health.find("Cache-Control: no-store\r\n"), std::string::npos) << health;

  const std::string ask = "GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(FirstLine(Talk(ask)), "HTTP/1.1 200 OK");
  {
    const std::lock_guard lock(mutex_);
    reason_ = "no \"leader\"";
  }
  const std::string not_ready = Talk(ask);
  EXPECT_EQ(FirstLine(not_ready), "HTTP/1.1 503 Service Unavailable");
  EXPECT_NE(not_ready.find("Content-Type: application/json\r\n"), std::string::npos);
  EXPECT_EQ(Body(not_ready),
            "{\"error\":\"no \\u0022leader\\u0022\",\"reason\":\"NOT_READY\",\"details\":{}}\n");
  EXPECT_EQ(FirstLine(Talk("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")), "HTTP/1.1 200 OK")
      << "alive all the same";
}

TEST_F(HttpServerTest, RequestTable) {
  const std::string rest = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  struct Row {
    std::string what;
    std::string request;
    std::string line;
    std::string reason;
  };
  for (const Row& row : {
           Row{"a query", "GET /health?x=1" + rest, "HTTP/1.1 200 OK", ""},
           Row{"HTTP/1.0", "GET /health HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK", ""},
           Row{"nothing there", "GET /" + rest, "HTTP/1.1 404 Not Found", "NOT_FOUND"},
           Row{"a longer path", "GET /health/x" + rest, "HTTP/1.1 404 Not Found", "NOT_FOUND"},
           Row{"another case", "GET /Health" + rest, "HTTP/1.1 404 Not Found", "NOT_FOUND"},
           Row{"POST", "POST /health" + rest, "HTTP/1.1 405 Method Not Allowed",
               "METHOD_NOT_ALLOWED"},
           Row{"DELETE", "DELETE /ready" + rest, "HTTP/1.1 405 Method Not Allowed",
               "METHOD_NOT_ALLOWED"},
           Row{"an unknown method", "BREW /ready" + rest, "HTTP/1.1 405 Method Not Allowed",
               "METHOD_NOT_ALLOWED"},
           Row{"a body", "POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
               "HTTP/1.1 413 Payload Too Large", "BODY_NOT_ALLOWED"},
           Row{"a chunked body",
               "POST /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
               "4\r\nbody\r\n0\r\n\r\n",
               "HTTP/1.1 413 Payload Too Large", "BODY_NOT_ALLOWED"},
           Row{"another version", "GET /health HTTP/9.9\r\n\r\n",
               "HTTP/1.1 505 HTTP Version Not Supported", "BAD_VERSION"},
           Row{"no HTTP", "hello\r\n\r\n", "HTTP/1.1 400 Bad Request", "BAD_REQUEST"},
           Row{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
               "HTTP/1.1 505 HTTP Version Not Supported", "BAD_VERSION"},
           Row{"a header without a name", "GET /health HTTP/1.1\r\n: x\r\n\r\n",
               "HTTP/1.1 400 Bad Request", "BAD_REQUEST"},
           Row{"a header with a control character",
               std::string("GET /health HTTP/1.1\r\nA: \x01\r\n\r\n"), "HTTP/1.1 400 Bad Request",
               "BAD_REQUEST"},
           Row{"a length that is no number", "GET /health HTTP/1.1\r\nContent-Length: x\r\n\r\n",
               "HTTP/1.1 400 Bad Request", "BAD_REQUEST"},
           Row{"two lengths",
               "GET /health HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n",
               "HTTP/1.1 400 Bad Request", "BAD_REQUEST"},
           Row{"a header of 8 KiB", "GET /health HTTP/1.1\r\nA: " + std::string(8192, 'a') + rest,
               "HTTP/1.1 431 Request Header Fields Too Large", "HEADER_TOO_LARGE"},
           Row{"a header without an end", std::string(1 << 20, 'G'),
               "HTTP/1.1 431 Request Header Fields Too Large", "HEADER_TOO_LARGE"},
       }) {
    const std::string response = Talk(row.request);
    EXPECT_EQ(FirstLine(response), row.line) << row.what;
    if (row.reason.empty()) {
      EXPECT_EQ(Body(response), "OK\n") << row.what;
    } else {
      EXPECT_NE(Body(response).find("\"reason\":\"" + row.reason + "\""), std::string::npos)
          << row.what << ": " << response;
    }
  }
  EXPECT_EQ(FirstLine(Talk("GET /health" + rest)), "HTTP/1.1 200 OK") << "it lives after all that";
}

TEST_F(HttpServerTest, HeadHasTheHeaderOnly) {
  const std::string response =
      Talk("HEAD /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(FirstLine(response), "HTTP/1.1 200 OK");
  EXPECT_NE(response.find("Content-Length: 3\r\n"), std::string::npos);
  EXPECT_EQ(Body(response), "");
}

TEST_F(HttpServerTest, AConnectionServesManyRequests) {
  const std::string one = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string all = Talk(one + one + one);
  size_t count = 0;
  for (size_t at = 0; (at = all.find("HTTP/1.1 200 OK", at)) != std::string::npos; ++at) ++count;
  EXPECT_EQ(count, 3u);
}

TEST_F(HttpServerTest, ConnectionsAreBounded) {
  std::vector<UniqueFd> open;
  // Each has been answered once, so it is known to be accepted.
  for (int i = 0; i < 256; ++i) {
    open.push_back(Connect());
    Send(open.back(), "GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    char buffer[16];
    ASSERT_GT(recv(open.back().get(), buffer, sizeof(buffer), 0), 0) << i;
  }
  const UniqueFd one_more = Connect();
  EXPECT_EQ(ReadAll(one_more), "") << "closed at once";
  open.clear();
  // As soon as the server has seen an end, there is room again.
  std::string answer;
  for (int i = 0; i < 1000 && answer.empty(); ++i) {
    answer = Talk("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  EXPECT_EQ(FirstLine(answer), "HTTP/1.1 200 OK");
}

TEST_F(HttpServerTest, StopsWithConnectionsOpen) {
  const UniqueFd idle = Connect();
  const UniqueFd half = Connect();
  Send(half, "GET /health HT");
  server_.reset();
  EXPECT_EQ(ReadAll(half), "");
}

TEST(HttpServer, SaysWhatIsWrongWithTheAddress) {
  const auto ready = [] { return std::string(); };
  EXPECT_EQ(HttpServer::Start("nonsense", ready).status().code(),
            absl::StatusCode::kInvalidArgument);
  const auto first = HttpServer::Start("127.0.0.1:0", ready);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(
      HttpServer::Start("127.0.0.1:" + std::to_string((*first)->port()), ready).status().code(),
      absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace dqueue::transport
