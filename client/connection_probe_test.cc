#include "client/connection_probe.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "client/testing/fake_server.h"
#include "client/testing/test_certificates.h"

namespace dqueue::client {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// A TCP port of loopback. Listens unless told not to.
class Port {
 public:
  explicit Port(bool listens) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    bind(fd_, reinterpret_cast<sockaddr*>(&address), size);
    if (listens) listen(fd_, 10);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~Port() {
    thread_ = {};  // it waits in accept(), which a close() does not end
    close(fd_);
  }
  const std::string& address() const { return address_; }
  // Answers one connection after the other with this text, and closes it.
  void Answer(const std::string& text) {
    thread_ = std::jthread([this, text](const std::stop_token& stop) {
      const std::stop_callback end(stop, [this] { shutdown(fd_, SHUT_RDWR); });
      while (!stop.stop_requested()) {
        const int connection = accept(fd_, nullptr, nullptr);
        if (connection < 0) continue;
        char buffer[1024];
        [[maybe_unused]] ssize_t n = recv(connection, buffer, sizeof buffer, 0);
        n = send(connection, text.data(), text.size(), MSG_NOSIGNAL);
        close(connection);
      }
    });
  }

 private:
  const int fd_;
  std::string address_;
  std::jthread thread_;
};

Access PlainText() { return {}; }
Access Tls(const std::string& roots, const std::string& server_name = "") {
  Access access;
  access.tls = true;
  access.roots_pem = roots;
  access.server_name = server_name;
  return access;
}

ConnectionProblem Probe(const std::string& address, const Access& access) {
  return ProbeConnection(address, address, access, std::stop_token());
}

TEST(ConnectionProbe, NothingListens) {
  const Port port(false);
  for (const Access& access : {PlainText(), Tls("")}) {
    const ConnectionProblem problem = Probe(port.address(), access);
    EXPECT_EQ(problem.reason, "CONNECTION_REFUSED");
    EXPECT_TRUE(problem.unreachable);
    EXPECT_EQ(problem.message, port.address() + ": connection refused: no program listens there");
  }
  EXPECT_THAT(ProbeConnection("node1:9090", port.address(), PlainText(), {}).message,
              StartsWith("node1:9090 (" + port.address() + "): connection refused"));
}

TEST(ConnectionProbe, AGoodServerHasNoProblem) {
  FakeServer server;
  EXPECT_EQ(Probe(server.address(), PlainText()).reason, "");
}

TEST(ConnectionProbe, OtherProgramsInPlainText) {
  struct Case {
    std::string answer;
    std::string reason;
    std::string message;
  };
  const Case cases[] = {
      {"HTTP/1.1 400 Bad Request\r\n\r\n", "NOT_GRPC", "speaks HTTP/1.1, not gRPC"},
      {"220 mail ready\r\n", "NOT_GRPC", "something else than a dqueue node's gRPC"},
      {"", "CONNECTION_CLOSED", "closes the connection"},
  };
  for (const Case& c : cases) {
    Port port(true);
    port.Answer(c.answer);
    const ConnectionProblem problem = Probe(port.address(), PlainText());
    EXPECT_EQ(problem.reason, c.reason) << c.answer;
    EXPECT_THAT(problem.message, StartsWith(port.address() + ": "));
    EXPECT_THAT(problem.message, HasSubstr(c.message));
    EXPECT_FALSE(problem.unreachable);
  }
}

TEST(ConnectionProbe, ASilentServer) {
  const Port port(true);  // the kernel accepts, and nobody answers
  EXPECT_EQ(Probe(port.address(), PlainText()).reason, "SERVER_SILENT");
  EXPECT_EQ(Probe(port.address(), Tls("")).reason, "SERVER_SILENT");
}

TEST(ConnectionProbe, AStopEndsIt) {
  const Port port(true);
  std::stop_source stop;
  stop.request_stop();
  const auto begin = std::chrono::steady_clock::now();
  ProbeConnection(port.address(), port.address(), PlainText(), stop.get_token());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(500));
}

class TlsServer {
 public:
  TlsServer(const TestCertificate& own, const std::string& client_ca) {
    grpc::SslServerCredentialsOptions options(
        client_ca.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                          : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = client_ca;
    options.pem_key_cert_pairs = {{own.key, own.certificate}};
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  const std::string& address() const { return address_; }

 private:
  v1::ClusterService::Service service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

TEST(ConnectionProbe, Certificates) {
  signal(SIGPIPE, SIG_IGN);
  const TestCertificate ca = MakeTestCertificate("ca", nullptr);
  const TestCertificate foreign = MakeTestCertificate("foreign", nullptr);
  const TestCertificate own = MakeTestCertificate("n1", &ca);
  const TestCertificate expired = MakeTestCertificate("n1", &ca, std::chrono::hours(-1));
  const TlsServer server(own, "");
  EXPECT_EQ(Probe(server.address(), Tls(ca.certificate, "n1")).reason, "");
  EXPECT_EQ(Probe(server.address(), Tls(ca.certificate)).reason, "") << "by its IP address";

  ConnectionProblem problem = Probe(server.address(), Tls(foreign.certificate, "n1"));
  EXPECT_EQ(problem.reason, "TLS_CERTIFICATE");
  EXPECT_THAT(problem.message, HasSubstr("does not come from a CA that this client trusts"));
  problem = Probe(server.address(), Tls(ca.certificate, "n2"));
  EXPECT_EQ(problem.reason, "TLS_CERTIFICATE");
  EXPECT_THAT(problem.message, HasSubstr("does not have the name that was dialled, \"n2\""));
  problem = Probe(server.address(), PlainText());
  EXPECT_EQ(problem.reason, "TLS_REQUIRED");

  const TlsServer old(expired, "");
  problem = Probe(old.address(), Tls(ca.certificate, "n1"));
  EXPECT_EQ(problem.reason, "TLS_CERTIFICATE");
  EXPECT_THAT(problem.message, HasSubstr("has expired"));

  FakeServer plain;
  EXPECT_EQ(Probe(plain.address(), Tls(ca.certificate, "n1")).reason, "TLS_NOT_SPOKEN");

  const TlsServer strict(own, ca.certificate);
  EXPECT_EQ(Probe(strict.address(), Tls(ca.certificate, "n1")).reason, "TLS_CLIENT_CERTIFICATE");
  Access with_certificate = Tls(ca.certificate, "n1");
  with_certificate.cert_pem = own.certificate;
  with_certificate.key_pem = own.key;
  EXPECT_EQ(Probe(strict.address(), with_certificate).reason, "");
}

TEST(DialledAddress, FromGrpcsErrors) {
  EXPECT_EQ(DialledAddress("failed to connect to all addresses; last error: UNKNOWN: "
                           "ipv4:127.0.0.1:21001: tcp handshaker shutdown"),
            "127.0.0.1:21001");
  EXPECT_EQ(DialledAddress("last error: UNKNOWN: ipv6:%5B::1%5D:1: Connection refused"), "[::1]:1");
  EXPECT_EQ(DialledAddress("Socket closed"), "");
}

TEST(ConnectionProbes, FindInTheBackground) {
  const Access access;
  const Port port(false);
  ConnectionProbes probes(&access);
  EXPECT_EQ(probes.Problem(port.address()), std::nullopt);
  probes.OnFailure(port.address(), "failed to connect to all addresses");
  const auto problem = probes.Problem(port.address(), Duration{20000});
  ASSERT_TRUE(problem.has_value());
  EXPECT_EQ(problem->reason, "CONNECTION_REFUSED");
  EXPECT_TRUE(probes.UnreachableSince(port.address()).has_value());
  probes.OnSuccess(port.address());
  EXPECT_EQ(probes.Problem(port.address()), std::nullopt);
  EXPECT_EQ(probes.UnreachableSince(port.address()), std::nullopt);
}

TEST(ConnectionProbes, NamesThatDoNotExist) {
  const Access access;
  ConnectionProbes probes(&access);
  probes.OnFailure("node9:9090",
                   "DNS resolution failed for node9:9090: C-ares status is not ARES_SUCCESS "
                   "qtype=AAAA name=node9 is_balancer=0: Domain name not found");
  const auto problem = probes.Problem("node9:9090");
  ASSERT_TRUE(problem.has_value());
  EXPECT_EQ(problem->reason, "NAME_NOT_RESOLVED");
  EXPECT_EQ(problem->message, "node9:9090: the name cannot be resolved: Domain name not found");
  EXPECT_TRUE(probes.UnreachableSince("node9:9090").has_value());
}

}  // namespace
}  // namespace dqueue::client
