// The one file that includes Boost.Beast and Asio.
#include "transport/http/http_server.h"

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_set>
#include <utility>

#include "transport/http/json_text.h"
#include "transport/listen_socket.h"

namespace dqueue::transport {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using beast::error_code;
using Clock = std::chrono::steady_clock;
using Message = http::response<http::string_body>;

constexpr size_t kReadBufferBytes = 16 << 10;
constexpr std::chrono::seconds kLingerTimeMax{1};
constexpr size_t kLingerBytesMax = 1 << 20;
constexpr std::chrono::milliseconds kAcceptAgainAfter{100};
// Of write_time: for a whole answer.
constexpr int kWriteTimesMax = 10;
constexpr char kContinue[] = "HTTP/1.1 100 Continue\r\n\r\n";

std::string Text(beast::string_view text) { return std::string(text.data(), text.size()); }

// What is wrong with a request that could not be read; nullopt: nobody to tell.
std::optional<HttpResponse> ProblemOfReading(error_code error, const HttpLimits& limits) {
  if (error == http::error::header_limit) {
    return HttpProblem(
        431, "HEADER_TOO_LARGE",
        "the header is larger than " + std::to_string(limits.header_bytes) + " bytes");
  }
  if (error == http::error::bad_version) {
    return HttpProblem(505, "BAD_VERSION", "only HTTP/1.0 and HTTP/1.1 are spoken here");
  }
  if (error == http::error::end_of_stream || error == http::error::partial_message ||
      error == beast::error::timeout ||
      error.category() != error_code(http::error::end_of_stream).category()) {
    return std::nullopt;
  }
  return HttpProblem(400, "BAD_REQUEST", "not an HTTP request: " + error.message());
}

HttpResponse BodyTooLarge(size_t limit) {
  return HttpProblem(413, "REQUEST_TOO_LARGE",
                     "the body is larger than " + std::to_string(limit) + " bytes");
}

// What a parser lets pass and another server on the way might read otherwise.
template <class Fields>
std::optional<HttpResponse> ProblemOfHeader(const Fields& fields, unsigned version,
                                            const HttpLimits& limits) {
  const auto bad = [](const char* message) { return HttpProblem(400, "BAD_REQUEST", message); };
  if (static_cast<size_t>(std::distance(fields.begin(), fields.end())) > limits.header_fields) {
    return HttpProblem(
        431, "HEADER_TOO_LARGE",
        "the header has more than " + std::to_string(limits.header_fields) + " fields");
  }
  const size_t hosts = fields.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && version >= 11)) return bad("there must be one Host field");
  if (fields.count(http::field::content_length) > 1) return bad("Content-Length comes twice");
  const std::string length = Text(fields[http::field::content_length]);
  if (length.find_first_not_of("0123456789") != std::string::npos) {
    return bad("Content-Length must be a number");
  }
  const size_t encodings = fields.count(http::field::transfer_encoding);
  if (encodings > 1 ||
      (encodings == 1 && !beast::iequals(fields[http::field::transfer_encoding], "chunked"))) {
    return bad("Transfer-Encoding must be chunked");
  }
  if (encodings == 1 && version < 11) return bad("HTTP/1.0 has no Transfer-Encoding");
  const auto expect = fields[http::field::expect];
  if (!expect.empty() && !beast::iequals(expect, "100-continue")) {
    return HttpProblem(417, "EXPECTATION_FAILED", "Expect can only be 100-continue");
  }
  return std::nullopt;
}

Message ToMessage(HttpResponse response, unsigned version, bool keep_alive) {
  Message message;
  message.version(version);
  message.result(static_cast<unsigned>(response.status));
  message.set(http::field::server, "dqueue");
  message.set(http::field::cache_control, "no-store");
  message.set("X-Content-Type-Options", "nosniff");
  for (const auto& [name, value] : response.headers) message.set(name, value);
  if (!response.content_type.empty()) {
    message.set(http::field::content_type, response.content_type);
  }
  message.body() = std::move(response.body);
  message.keep_alive(keep_alive);
  // 204 has no length, not even 0.
  if (message.result() != http::status::no_content) message.prepare_payload();
  return message;
}

// To the server's thread, for as long as there is a server.
class Gate {
 public:
  explicit Gate(asio::io_context* io) : io_(io) {}
  template <class Function>
  void Post(Function function) {
    const std::lock_guard lock(mutex_);
    if (io_ != nullptr) asio::post(*io_, std::move(function));
  }
  void Close() {
    const std::lock_guard lock(mutex_);
    io_ = nullptr;
  }

 private:
  std::mutex mutex_;
  asio::io_context* io_;
};

class HttpServerImpl;

// One connection: reads a request, answers, and again while the caller keeps it open. All on the
// server's thread.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(HttpServerImpl* server, tcp::socket socket)
      : server_(server), stream_(std::move(socket)), buffer_(kReadBufferBytes) {}

  void ReadHeader();
  // `number`: of the request that this answers.
  void OnAnswer(uint64_t number, HttpResponse response);

 private:
  class ExchangeImpl;
  using Parser = http::request_parser<http::buffer_body>;

  const HttpLimits& limits() const;
  void WaitForRequest();
  void OnHeader(error_code error);
  HttpRequest TakeHead();
  void BeginBody();
  void ReadBody();
  void OnBody(error_code error);
  void Dispatch();
  // Looks whether the client goes while its request is handled.
  void Watch();
  void OnReadable();
  void Refuse(HttpResponse response);
  void RefuseOrEnd(error_code error);
  void Write(HttpResponse response);
  void WriteSome();
  void OnWritten(error_code error);
  void Close();
  // Whether closing now throws away what the client has not taken yet.
  void DropWhenClosed(bool drop);
  // Reads what still comes: closing with unread bytes would reset the connection before the caller
  // has its answer.
  void Linger(size_t bytes_left);
  void End();

  // A completion handler that keeps this session.
  template <class Function>
  auto Then(Function function) {
    return [self = shared_from_this(), function](error_code error, size_t = 0) {
      function(*self, error);
    };
  }

  HttpServerImpl* const server_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  std::array<char, 4096> chunk_;
  std::optional<Parser> parser_;
  HttpRequest request_;
  size_t body_max_ = 0;
  bool body_wanted_ = false;
  unsigned version_ = 11;
  bool keep_alive_ = false;
  bool head_ = false;  // the method is HEAD

  uint64_t number_ = 0;  // of the request
  std::weak_ptr<ExchangeImpl> exchange_;
  bool handling_ = false;

  std::function<void()> undelivered_;  // of the answer that is being written
  std::optional<Message> response_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
  Clock::time_point write_until_;
  bool drops_ = false;
};

class Session::ExchangeImpl final : public HttpReply::Exchange {
 public:
  ExchangeImpl(std::shared_ptr<Gate> gate, std::weak_ptr<Session> session, uint64_t number,
               Credentials credentials)
      : gate_(std::move(gate)),
        session_(std::move(session)),
        number_(number),
        credentials_(std::move(credentials)) {}
  ~ExchangeImpl() override {
    if (!answered_) Post(HttpProblem(500, "INTERNAL", "this request got no answer"));
  }

  void Send(HttpResponse response) override {
    std::function<void()> let_go;
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(answered_, true)) return;
      let_go.swap(on_gone_);
    }
    Post(std::move(response));
  }
  void OnGone(std::function<void()> gone) override {
    {
      const std::lock_guard lock(mutex_);
      if (answered_) return;
      if (!gone_) {
        on_gone_ = std::move(gone);
        return;
      }
    }
    gone();
  }
  bool gone() const override {
    const std::lock_guard lock(mutex_);
    return gone_;
  }
  const Credentials& credentials() const override { return credentials_; }
  void TellGone() {
    std::function<void()> on_gone;
    {
      const std::lock_guard lock(mutex_);
      gone_ = true;
      on_gone.swap(on_gone_);
    }
    if (on_gone) on_gone();
  }

 private:
  void Post(HttpResponse response) {
    gate_->Post([session = session_, number = number_, response = std::move(response)]() mutable {
      if (const auto self = session.lock()) {
        self->OnAnswer(number, std::move(response));
      } else if (response.undelivered) {
        response.undelivered();
      }
    });
  }

  const std::shared_ptr<Gate> gate_;
  const std::weak_ptr<Session> session_;
  const uint64_t number_;
  const Credentials credentials_;
  mutable std::mutex mutex_;
  bool answered_ = false;
  bool gone_ = false;
  std::function<void()> on_gone_;
};

class HttpServerImpl final : public HttpServer {
 public:
  HttpServerImpl(HttpHandler* handler, const HttpLimits& limits)
      : handler_(handler), limits_(limits), acceptor_(io_), again_(io_) {}

  ~HttpServerImpl() override {
    gate_->Close();
    io_.stop();
    if (thread_.joinable()) thread_.join();
    sessions_.clear();
  }

  absl::Status Listen(const std::string& listen) {
    absl::StatusOr<ListenSocket> socket = OpenListenSocket(listen);
    if (!socket.ok()) return socket.status();
    port_ = socket->port;
    error_code error;
    // The family only matters to calls that are not made here.
    acceptor_.assign(tcp::v6(), socket->fd.get(), error);
    if (error) return absl::UnavailableError("http listener: " + error.message());
    socket->fd.Release();
    Accept();
    thread_ = std::thread([this] { io_.run(); });
    return absl::OkStatus();
  }

  int port() const override { return port_; }
  HttpHandler& handler() { return *handler_; }
  const HttpLimits& limits() const { return limits_; }
  const std::shared_ptr<Gate>& gate() const { return gate_; }
  void Forget(const std::shared_ptr<Session>& session) { sessions_.erase(session); }

 private:
  void Accept() {
    acceptor_.async_accept([this](error_code error, tcp::socket socket) {
      if (error) {
        // Out of descriptors, most likely: the caller stays in the backlog for a moment.
        again_.expires_after(kAcceptAgainAfter);
        again_.async_wait([this](error_code stopped) {
          if (!stopped) Accept();
        });
        return;
      }
      if (sessions_.size() < limits_.connections) {
        error_code ignored;
        socket.set_option(tcp::no_delay(true), ignored);
        (*sessions_.insert(std::make_shared<Session>(this, std::move(socket))).first)->ReadHeader();
      }
      Accept();
    });
  }

  HttpHandler* const handler_;
  const HttpLimits limits_;
  int port_ = 0;
  asio::io_context io_{1};
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>(&io_);
  tcp::acceptor acceptor_;
  asio::steady_timer again_;
  std::unordered_set<std::shared_ptr<Session>> sessions_;  // on the thread of io_
  std::thread thread_;
};

const HttpLimits& Session::limits() const { return server_->limits(); }

void Session::WaitForRequest() {
  if (buffer_.size() > 0) return ReadHeader();
  stream_.expires_after(limits().idle_time);
  stream_.async_read_some(buffer_.prepare(chunk_.size()),
                          [self = shared_from_this()](error_code error, size_t n) {
                            if (error) return self->End();
                            self->buffer_.commit(n);
                            self->ReadHeader();
                          });
}

void Session::ReadHeader() {
  ++number_;
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(limits().header_bytes));
  parser_->body_limit(boost::none);  // by BeginBody() and OnBody()
  version_ = 11;
  head_ = false;
  stream_.expires_after(limits().header_time);
  http::async_read_header(stream_, buffer_, *parser_,
                          Then([](Session& self, error_code error) { self.OnHeader(error); }));
}

HttpRequest Session::TakeHead() {
  HttpRequest request;
  request.method = Text(parser_->get().method_string());
  for (const auto& field : parser_->get()) {
    request.headers.emplace_back(Text(field.name_string()), Text(field.value()));
  }
  // Of several, another program on the way might have read the other one.
  if (parser_->get().count(http::field::authorization) == 1) {
    request.credentials.authorization = Text(parser_->get()[http::field::authorization]);
  }
  error_code gone;
  const tcp::endpoint remote = beast::get_lowest_layer(stream_).socket().remote_endpoint(gone);
  if (!gone) request.credentials.source = remote.address().to_string();
  return request;
}

void Session::OnHeader(error_code error) {
  if (error) return RefuseOrEnd(error);
  const auto& head = parser_->get();
  version_ = head.version();
  head_ = head.method() == http::verb::head;
  if (auto problem = ProblemOfHeader(head, version_, limits())) return Refuse(*std::move(problem));
  if (head.target().size() > limits().target_bytes) {
    return Refuse(HttpProblem(
        414, "TARGET_TOO_LONG",
        "the target is longer than " + std::to_string(limits().target_bytes) + " bytes"));
  }
  absl::StatusOr<HttpTarget> target = ParseTarget(Text(head.target()));
  if (!target.ok()) {
    return Refuse(HttpProblem(400, "BAD_TARGET", std::string(target.status().message())));
  }
  request_ = TakeHead();
  request_.target = *std::move(target);
  keep_alive_ = parser_->keep_alive();
  BeginBody();
}

void Session::BeginBody() {
  const size_t wanted = server_->handler().BodyBytesMax(request_);
  body_wanted_ = wanted > 0;
  body_max_ = body_wanted_ ? std::min(wanted, limits().body_bytes) : limits().body_bytes;
  if (parser_->is_done()) return Dispatch();
  if (parser_->content_length() && *parser_->content_length() > body_max_) {
    return Refuse(BodyTooLarge(body_max_));
  }
  stream_.expires_after(limits().body_time);
  if (version_ < 11 || request_.Header("Expect").empty()) return ReadBody();
  if (!body_wanted_) {
    // It waits for a word to go on, and there is none: the answer comes instead of the body.
    keep_alive_ = false;
    return Dispatch();
  }
  asio::async_write(stream_, asio::buffer(kContinue, sizeof(kContinue) - 1),
                    Then([](Session& self, error_code error) {
                      if (error) return self.End();
                      self.ReadBody();
                    }));
}

void Session::ReadBody() {
  auto& body = parser_->get().body();
  body.data = chunk_.data();
  body.size = chunk_.size();
  http::async_read(stream_, buffer_, *parser_,
                   Then([](Session& self, error_code error) { self.OnBody(error); }));
}

void Session::OnBody(error_code error) {
  if (error && error != http::error::need_buffer) return RefuseOrEnd(error);
  const size_t bytes = chunk_.size() - parser_->get().body().size;
  if (bytes > body_max_) return Refuse(BodyTooLarge(body_max_));
  if (body_wanted_) {
    if (request_.body.size() + bytes > body_max_) return Refuse(BodyTooLarge(body_max_));
    request_.body.append(chunk_.data(), bytes);
  } else {
    // body_max_ is what is left of it.
    body_max_ -= bytes;
  }
  if (parser_->is_done()) return Dispatch();
  ReadBody();
}

void Session::Dispatch() {
  stream_.expires_never();
  handling_ = true;
  auto exchange = std::make_shared<ExchangeImpl>(server_->gate(), weak_from_this(), number_,
                                                 request_.credentials);
  exchange_ = exchange;
  server_->handler().Handle(std::move(request_), HttpReply(std::move(exchange)));
  request_ = {};
  // After an answer that is there already: its client may have ended its half by now.
  asio::post(stream_.get_executor(), [self = shared_from_this(), number = number_] {
    if (self->handling_ && number == self->number_) self->Watch();
  });
}

void Session::Watch() {
  // The next request is there already: the client has not gone, and reading on would need room.
  if (buffer_.size() > 0) return;
  stream_.socket().async_wait(tcp::socket::wait_read,
                              [self = shared_from_this(), number = number_](error_code error) {
                                if (error || !self->handling_ || number != self->number_) return;
                                self->OnReadable();
                              });
}

void Session::OnReadable() {
  error_code error;
  if (stream_.socket().available(error) > 0 && !error) return;
  handling_ = false;
  if (const auto exchange = exchange_.lock()) exchange->TellGone();
  End();
}

void Session::OnAnswer(uint64_t number, HttpResponse response) {
  if (!handling_ || number != number_) {
    if (response.undelivered) response.undelivered();
    return;
  }
  handling_ = false;
  error_code ignored;
  stream_.socket().cancel(ignored);
  Write(std::move(response));
}

void Session::Refuse(HttpResponse response) {
  keep_alive_ = false;
  Write(std::move(response));
}

void Session::RefuseOrEnd(error_code error) {
  std::optional<HttpResponse> problem = ProblemOfReading(error, limits());
  if (!problem) return Close();
  Refuse(*std::move(problem));
}

void Session::Write(HttpResponse response) {
  undelivered_ = std::move(response.undelivered);
  response_.emplace(ToMessage(std::move(response), version_, keep_alive_));
  serializer_.emplace(*response_);
  // HEAD: the same header, length included, and no body.
  serializer_->split(head_);
  write_until_ = Clock::now() + kWriteTimesMax * limits().write_time;
  WriteSome();
}

void Session::WriteSome() {
  stream_.expires_at(std::min(write_until_, Clock::now() + limits().write_time));
  http::async_write_some(stream_, *serializer_,
                         Then([](Session& self, error_code error) { self.OnWritten(error); }));
}

void Session::OnWritten(error_code error) {
  if (error) {
    if (undelivered_) undelivered_();
    return End();
  }
  if (!(head_ ? serializer_->is_header_done() : serializer_->is_done())) {
    // If it is too slow, the kernel must not keep its megabytes either.
    DropWhenClosed(true);
    return WriteSome();
  }
  DropWhenClosed(false);
  undelivered_ = nullptr;
  serializer_.reset();
  response_.reset();
  if (!keep_alive_) return Close();
  WaitForRequest();
}

void Session::DropWhenClosed(bool drop) {
  if (drop == std::exchange(drops_, drop)) return;
  error_code ignored;
  stream_.socket().set_option(asio::socket_base::linger(drop, 0), ignored);
}

void Session::Close() {
  error_code ignored;
  stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  stream_.expires_after(kLingerTimeMax);
  Linger(kLingerBytesMax);
}

void Session::Linger(size_t bytes_left) {
  stream_.async_read_some(asio::buffer(chunk_),
                          [self = shared_from_this(), bytes_left](error_code error, size_t n) {
                            if (error || n >= bytes_left) return self->End();
                            self->Linger(bytes_left - n);
                          });
}

void Session::End() {
  stream_.close();
  server_->Forget(shared_from_this());
}

}  // namespace

HttpResponse HttpProblem(int status, const std::string& reason, const std::string& message) {
  HttpResponse response;
  response.status = status;
  response.content_type = "application/json";
  response.body =
      JsonObject().Text("error", message).Text("reason", reason).Raw("details", "{}").Finish() +
      "\n";
  return response;
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& listen,
                                                              HttpHandler* handler,
                                                              const HttpLimits& limits) {
  auto server = std::make_unique<HttpServerImpl>(handler, limits);
  const absl::Status status = server->Listen(listen);
  if (!status.ok()) return status;
  return server;
}

}  // namespace dqueue::transport
