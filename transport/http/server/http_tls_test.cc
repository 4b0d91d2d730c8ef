// HTTP over TLS, with a raw client.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>

#include <future>
#include <mutex>

#include "transport/http/server/http_server.h"
#include "transport/testing/raw_http1.h"
#include "transport/testing/test_certificates.h"

namespace dqueue::transport {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;

struct Ways {
  int version = 0;        // the only one; 0: any
  std::string ciphers{};  // of TLS 1.2; empty: any
  std::string alpn{};     // as on the wire
};

class TlsClient {
 public:
  TlsClient(int port, const std::string& ca, const Ways& ways = {})
      : tcp_(port),
        context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free),
        tls_(nullptr, SSL_free) {
    BIO* bio = BIO_new_mem_buf(ca.data(), static_cast<int>(ca.size()));
    X509* root = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context_.get()), root);
    X509_free(root);
    BIO_free(bio);
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    // Old versions are offered only below this level.
    SSL_CTX_set_security_level(context_.get(), 0);
    if (ways.version != 0) {
      SSL_CTX_set_min_proto_version(context_.get(), ways.version);
      SSL_CTX_set_max_proto_version(context_.get(), ways.version);
    }
    if (!ways.ciphers.empty()) {
      EXPECT_EQ(SSL_CTX_set_cipher_list(context_.get(), ways.ciphers.c_str()), 1);
    }
    tls_.reset(SSL_new(context_.get()));
    if (!ways.alpn.empty()) {
      SSL_set_alpn_protos(tls_.get(), reinterpret_cast<const unsigned char*>(ways.alpn.data()),
                          static_cast<unsigned>(ways.alpn.size()));
    }
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls_.get()), "127.0.0.1");
    SSL_set_fd(tls_.get(), tcp_.fd());
    connected_ = SSL_connect(tls_.get()) == 1;
    ERR_clear_error();
  }

  bool connected() const { return connected_; }
  std::string version() const { return SSL_get_version(tls_.get()); }
  std::string alpn() const {
    const unsigned char* data = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(tls_.get(), &data, &size);
    return std::string(reinterpret_cast<const char*>(data), size);
  }
  void Send(const std::string& bytes) {
    SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()));
    ERR_clear_error();
  }
  // Until the server ends the connection; `goodbye`: whether it said so in TLS.
  std::string ReadAll(bool* goodbye = nullptr) {
    std::string all;
    char buffer[16384];
    int n = 0;
    while ((n = SSL_read(tls_.get(), buffer, sizeof(buffer))) > 0) {
      all.append(buffer, static_cast<size_t>(n));
    }
    if (goodbye != nullptr) *goodbye = SSL_get_error(tls_.get(), n) == SSL_ERROR_ZERO_RETURN;
    ERR_clear_error();
    return all;
  }
  // Disconnects like a browser: close_notify, then the end of the connection.
  void Go() {
    SSL_shutdown(tls_.get());
    tls_.reset();
    tcp_.Close();
  }

 private:
  RawClient tcp_;
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_;
  std::unique_ptr<SSL, void (*)(SSL*)> tls_;
  bool connected_ = false;
};

// Answers with the body; /big with 8 MB; /later when the test says so.
class EchoHandler final : public HttpHandler {
 public:
  size_t BodyBytesMax(const HttpRequest&) override { return 20 << 20; }
  void Handle(HttpRequest request, HttpReply reply) override {
    if (request.target.path.front() == "later") {
      reply.OnGone([this] { gone.set_value(); });
      later.set_value(reply);
      return;
    }
    HttpResponse response;
    response.content_type = "text/plain";
    response.body = request.target.path.front() == "big" ? std::string(8 << 20, 'b') : request.body;
    reply.Send(std::move(response));
  }
  std::promise<HttpReply> later;
  std::promise<void> gone;
};

class HttpTlsTest : public testing::Test {
 protected:
  void Start(const HttpLimits& limits = {}) {
    TlsFiles files = disk_.WriteNode(ca_, "n1");
    files.ca.clear();
    auto store = TlsStore::Open(files);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    auto server = HttpServer::Start("127.0.0.1:0", &handler_, limits, store_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  TlsClient Connect(const Ways& ways = {}) { return TlsClient(server_->port(), ca_.cert(), ways); }

  const TestCa ca_;
  const TestFiles disk_;
  EchoHandler handler_;
  std::shared_ptr<TlsStore> store_;
  std::unique_ptr<HttpServer> server_;
};

const std::string kClose = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

TEST_F(HttpTlsTest, AnswersAndSendsCloseNotify) {
  Start();
  TlsClient client = Connect();
  ASSERT_TRUE(client.connected());
  EXPECT_EQ(client.version(), "TLSv1.3");
  // The second is there before the first is answered.
  client.Send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nfirstGET /big" + kClose);
  bool goodbye = false;
  const std::string answer = client.ReadAll(&goodbye);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer.substr(0, 1000), HasSubstr("Strict-Transport-Security: max-age=31536000\r\n"));
  EXPECT_THAT(answer.substr(0, 1000), HasSubstr("\r\n\r\nfirst"));
  EXPECT_THAT(answer.substr(answer.size() - (8 << 20)), std::string(8 << 20, 'b'));
  EXPECT_TRUE(goodbye);
}

TEST_F(HttpTlsTest, TakesLongBodies) {
  Start();
  TlsClient client = Connect();
  ASSERT_TRUE(client.connected());
  const std::string body(3 << 20, 'x');
  client.Send("POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_EQ(Body(client.ReadAll()), body);
}

TEST_F(HttpTlsTest, OnlyGoodVersionsAndCiphers) {
  Start();
  EXPECT_FALSE(Connect({.version = TLS1_VERSION}).connected());
  EXPECT_FALSE(Connect({.version = TLS1_1_VERSION}).connected());
  EXPECT_TRUE(Connect({.version = TLS1_2_VERSION}).connected());
  EXPECT_TRUE(Connect({.version = TLS1_3_VERSION}).connected());
  for (const char* cipher : {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
                             "ECDHE-ECDSA-CHACHA20-POLY1305"}) {
    EXPECT_TRUE(Connect({.version = TLS1_2_VERSION, .ciphers = cipher}).connected()) << cipher;
  }
  for (const char* cipher :
       {"ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-CCM",
        "AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256", "aNULL"}) {
    EXPECT_FALSE(Connect({.version = TLS1_2_VERSION, .ciphers = cipher}).connected()) << cipher;
  }
}

TEST_F(HttpTlsTest, SpeaksHttp11) {
  Start();
  TlsClient both = Connect({.alpn = "\x02h2\x08http/1.1"});
  EXPECT_TRUE(both.connected());
  EXPECT_EQ(both.alpn(), "http/1.1");
  EXPECT_FALSE(Connect({.alpn = "\x02h2"}).connected());
}

TEST_F(HttpTlsTest, PlainTextIsClosedWithoutHarm) {
  Start();
  RawClient plain(server_->port());
  plain.Send("GET /x" + kClose);
  EXPECT_EQ(plain.ReadAll().find("HTTP/"), std::string::npos);
  RawClient noise(server_->port());
  noise.Send(std::string("\x16\x03\x01\x40\x00", 5) + std::string(100, '\xff'));
  noise.EndSending();
  noise.ReadAll();
  TlsClient client = Connect();
  client.Send("GET /x" + kClose);
  EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(HttpTlsTest, AnEndlessHandshakeIsClosed) {
  HttpLimits limits;
  limits.header_time = 100ms;
  Start(limits);
  RawClient silent(server_->port());
  RawClient half(server_->port());
  half.Send(std::string("\x16\x03\x01", 3));
  EXPECT_EQ(silent.ReadAll(), "");
  EXPECT_EQ(half.ReadAll(), "");
}

TEST_F(HttpTlsTest, NoticesADisconnectedClient) {
  Start();
  TlsClient client = Connect();
  ASSERT_TRUE(client.connected());
  client.Send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  const HttpReply reply = handler_.later.get_future().get();
  EXPECT_FALSE(reply.gone());
  client.Go();
  ASSERT_EQ(handler_.gone.get_future().wait_for(20s), std::future_status::ready);
  EXPECT_TRUE(reply.gone());
}

TEST_F(HttpTlsTest, ALaterAnswerArrives) {
  Start();
  TlsClient client = Connect();
  ASSERT_TRUE(client.connected());
  // While it waits the next request comes.
  client.Send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  const HttpReply reply = handler_.later.get_future().get();
  client.Send("GET /x" + kClose);
  HttpResponse response;
  response.body = "late";
  reply.Send(std::move(response));
  const std::string answer = client.ReadAll();
  EXPECT_THAT(answer, HasSubstr("late"));
  EXPECT_EQ(answer.find("HTTP/1.1 200 OK", 10) != std::string::npos, true);
}

TEST_F(HttpTlsTest, NewConnectionsGetTheNewCertificate) {
  Start();
  TlsClient old = Connect();
  ASSERT_TRUE(old.connected());
  const TestCa next("the next CA");
  disk_.WriteNode(next, "n1");
  store_->Look();
  EXPECT_FALSE(Connect().connected());
  EXPECT_TRUE(TlsClient(server_->port(), next.cert()).connected());
  old.Send("GET /x" + kClose);
  EXPECT_THAT(old.ReadAll(), StartsWith("HTTP/1.1 200 OK\r\n"));
}

}  // namespace
}  // namespace dqueue::transport
