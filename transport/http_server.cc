// The one file that includes Boost.Beast: HTTP/1.1 on one thread.
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "transport/listen_socket.h"
#include "transport/server.h"

namespace dqueue::transport {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using Response = http::response<http::string_body>;

constexpr size_t kHeaderBytesMax = 8 << 10;
constexpr size_t kConnectionsMax = 256;
constexpr std::chrono::seconds kRequestTimeMax{10};
constexpr std::chrono::seconds kLingerTimeMax{1};
constexpr size_t kLingerBytesMax = 1 << 20;
constexpr std::chrono::milliseconds kAcceptAgainAfter{100};

std::string JsonString(const std::string& text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char raw : text) {
    const auto c = static_cast<unsigned char>(raw);
    if (c < 0x20 || c > 0x7e || c == '"' || c == '\\') {
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    } else {
      out += raw;
    }
  }
  return out + '"';
}

Response Text(unsigned version, const std::string& body) {
  Response response(http::status::ok, version);
  response.set(http::field::content_type, "text/plain; charset=utf-8");
  response.body() = body;
  return response;
}

Response Problem(unsigned version, http::status status, const std::string& reason,
                 const std::string& message) {
  Response response(status, version);
  response.set(http::field::content_type, "application/json");
  response.body() = "{\"error\":" + JsonString(message) + ",\"reason\":" + JsonString(reason) +
                    ",\"details\":{}}\n";
  return response;
}

// What is wrong with a request that could not be read; nullopt: nobody to tell.
std::optional<Response> ProblemOfReading(beast::error_code error) {
  constexpr unsigned kVersion = 11;
  if (error == http::error::header_limit) {
    return Problem(kVersion, http::status::request_header_fields_too_large, "HEADER_TOO_LARGE",
                   "the header is larger than 8192 bytes");
  }
  if (error == http::error::body_limit) {
    return Problem(kVersion, http::status::payload_too_large, "BODY_NOT_ALLOWED",
                   "this request takes no body");
  }
  if (error == http::error::bad_version) {
    return Problem(kVersion, http::status::http_version_not_supported, "BAD_VERSION",
                   "only HTTP/1.0 and HTTP/1.1 are spoken here");
  }
  if (error == http::error::end_of_stream || error == http::error::partial_message ||
      error == beast::error::timeout ||
      error.category() != beast::error_code(http::error::end_of_stream).category()) {
    return std::nullopt;
  }
  return Problem(kVersion, http::status::bad_request, "BAD_REQUEST",
                 "not an HTTP request: " + error.message());
}

class HttpServerImpl;

// One connection: reads a request, answers, and again while the caller keeps it open.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(HttpServerImpl* server, tcp::socket socket)
      : server_(server), stream_(std::move(socket)), buffer_(kHeaderBytesMax) {}
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void Read();

 private:
  void OnRead(beast::error_code error);
  void Write(Response response, bool keep_alive, bool head);
  void Close();
  // Reads what still comes: closing with unread bytes would reset the connection before the caller
  // has its answer.
  void Linger(size_t bytes_left);

  HttpServerImpl* const server_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  std::array<char, 4096> discarded_;
  std::optional<http::request_parser<http::empty_body>> parser_;
  std::optional<Response> response_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
};

class HttpServerImpl final : public HttpServer {
 public:
  explicit HttpServerImpl(std::function<std::string()> not_ready_reason)
      : not_ready_reason_(std::move(not_ready_reason)), acceptor_(io_), again_(io_) {}

  ~HttpServerImpl() override {
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen(const std::string& listen) {
    absl::StatusOr<ListenSocket> socket = OpenListenSocket(listen);
    if (!socket.ok()) return socket.status();
    port_ = socket->port;
    beast::error_code error;
    // The family only matters to calls that are not made here.
    acceptor_.assign(tcp::v6(), socket->fd.get(), error);
    if (error) return absl::UnavailableError("http listener: " + error.message());
    socket->fd.Release();
    Accept();
    thread_ = std::thread([this] { io_.run(); });
    return absl::OkStatus();
  }

  int port() const override { return port_; }

  Response Handle(const http::request<http::empty_body>& request) const {
    const std::string target(request.target().substr(0, request.target().find('?')));
    const unsigned version = request.version();
    if (target != "/health" && target != "/ready") {
      return Problem(version, http::status::not_found, "NOT_FOUND",
                     "nothing is here; there are /health and /ready");
    }
    if (request.method() != http::verb::get && request.method() != http::verb::head) {
      Response response = Problem(version, http::status::method_not_allowed, "METHOD_NOT_ALLOWED",
                                  target + " takes GET and HEAD");
      response.set(http::field::allow, "GET, HEAD");
      return response;
    }
    if (target == "/health") return Text(version, "OK\n");
    const std::string reason = not_ready_reason_();
    if (reason.empty()) return Text(version, "OK\n");
    return Problem(version, http::status::service_unavailable, "NOT_READY", reason);
  }

  void OnSessionEnd() { --sessions_; }

 private:
  void Accept() {
    acceptor_.async_accept([this](beast::error_code error, tcp::socket socket) {
      if (error) {
        // Out of descriptors, most likely: the caller stays in the backlog for a moment.
        again_.expires_after(kAcceptAgainAfter);
        again_.async_wait([this](beast::error_code stopped) {
          if (!stopped) Accept();
        });
        return;
      }
      if (sessions_ < kConnectionsMax) {
        ++sessions_;
        std::make_shared<Session>(this, std::move(socket))->Read();
      }
      Accept();
    });
  }

  const std::function<std::string()> not_ready_reason_;
  size_t sessions_ = 0;  // on the thread of io_
  int port_ = 0;
  asio::io_context io_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer again_;
  std::thread thread_;
};

Session::~Session() { server_->OnSessionEnd(); }

void Session::Read() {
  parser_.emplace();
  parser_->header_limit(kHeaderBytesMax);
  parser_->body_limit(0);
  stream_.expires_after(kRequestTimeMax);
  http::async_read(
      stream_, buffer_, *parser_,
      [self = shared_from_this()](beast::error_code error, size_t) { self->OnRead(error); });
}

void Session::OnRead(beast::error_code error) {
  if (error) {
    std::optional<Response> problem = ProblemOfReading(error);
    if (problem) {
      Write(*std::move(problem), false, false);
    } else {
      Close();
    }
    return;
  }
  const http::request<http::empty_body> request = parser_->release();
  Write(server_->Handle(request), request.keep_alive(), request.method() == http::verb::head);
}

void Session::Write(Response response, bool keep_alive, bool head) {
  response.set(http::field::server, "dqueue");
  response.set(http::field::cache_control, "no-store");
  response.set("X-Content-Type-Options", "nosniff");
  response.keep_alive(keep_alive);
  response.prepare_payload();
  response_.emplace(std::move(response));
  serializer_.emplace(*response_);
  // HEAD: the same header, length included, and no body.
  serializer_->split(head);
  const auto done = [self = shared_from_this(), keep_alive](beast::error_code error, size_t) {
    if (error || !keep_alive) {
      self->Close();
    } else {
      self->Read();
    }
  };
  stream_.expires_after(kRequestTimeMax);
  if (head) {
    http::async_write_header(stream_, *serializer_, done);
  } else {
    http::async_write(stream_, *serializer_, done);
  }
}

void Session::Close() {
  beast::error_code ignored;
  stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  stream_.expires_after(kLingerTimeMax);
  Linger(kLingerBytesMax);
}

void Session::Linger(size_t bytes_left) {
  stream_.async_read_some(asio::buffer(discarded_), [self = shared_from_this(), bytes_left](
                                                        beast::error_code error, size_t n) {
    if (!error && n < bytes_left) self->Linger(bytes_left - n);
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    const std::string& listen, std::function<std::string()> not_ready_reason) {
  auto server = std::make_unique<HttpServerImpl>(std::move(not_ready_reason));
  const absl::Status status = server->Listen(listen);
  if (!status.ok()) return status;
  return server;
}

}  // namespace dqueue::transport
