// Beast and Asio are in this file, http_wire.h and session_stream.h, and nowhere else.
#include "transport/http/server/http_server.h"

#include <spdlog/spdlog.h>
#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "transport/http/message/error_response.h"
#include "transport/http/server/http_wire.h"
#include "transport/http/server/session_stream.h"
#include "transport/listeners/listen_socket.h"
#include "transport/logging/escape.h"
#include "transport/logging/log_sample.h"

namespace dqueue::transport {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using beast::error_code;
using Clock = std::chrono::steady_clock;

constexpr size_t kReadBufferBytes = 16 << 10;
constexpr std::chrono::seconds kLingerTimeMax{1};
constexpr size_t kLingerBytesMax = 1 << 20;
constexpr std::chrono::milliseconds kAcceptAgainAfter{100};
// The time for a whole answer, in multiples of write_time.
constexpr int kWriteTimesMax = 10;
// The kernel's send buffer of a stream. A larger one would hide a slow client.
constexpr int kStreamSendBufferBytes = 64 << 10;
// With TLS: the interval of checks for a client that has gone, while its request is handled.
constexpr std::chrono::milliseconds kLookWhetherGone{200};
constexpr char kHsts[] = "max-age=31536000";
constexpr char kTlsHello = 0x16;
constexpr char kContinue[] = "HTTP/1.1 100 Continue\r\n\r\n";

// Posts functions to the server's thread, in the order of the calls, while the server lives. (With
// Asio alone, posts of other threads can overtake posts of its own thread.)
class Gate : public std::enable_shared_from_this<Gate> {
 public:
  Gate(asio::io_context* io, size_t answer_bytes_max)
      : answer_bytes_max_(answer_bytes_max), io_(io) {}
  // Bytes of answers that wait for their clients.
  void AddAnswer(size_t bytes) { answer_bytes_ += bytes; }
  void RemoveAnswer(size_t bytes) { answer_bytes_ -= bytes; }
  bool full() const { return answer_bytes_ > answer_bytes_max_; }

  void Post(std::function<void()> function) {
    const std::lock_guard lock(mutex_);
    if (io_ == nullptr) return;
    waiting_.push_back(std::move(function));
    if (waiting_.size() == 1) asio::post(*io_, [self = shared_from_this()] { self->Run(); });
  }
  void Close() {
    std::vector<std::function<void()>> let_go;
    const std::lock_guard lock(mutex_);
    io_ = nullptr;
    let_go.swap(waiting_);
  }

 private:
  void Run() {
    std::vector<std::function<void()>> now;
    {
      const std::lock_guard lock(mutex_);
      now.swap(waiting_);
    }
    for (const std::function<void()>& function : now) function();
  }

  const size_t answer_bytes_max_;
  std::atomic<size_t> answer_bytes_{0};
  std::mutex mutex_;
  asio::io_context* io_;
  std::vector<std::function<void()>> waiting_;
};

class HttpServerImpl;

// One connection: reads a request, answers, and repeats while the client keeps it open. All on the
// server's thread.
class Session : public std::enable_shared_from_this<Session> {
 public:
  // Without a context: plain text.
  Session(HttpServerImpl* server, tcp::socket socket, std::shared_ptr<asio::ssl::context> context)
      : server_(server),
        stream_(std::move(socket), std::move(context)),
        look_again_(stream_.get_executor()),
        buffer_(kReadBufferBytes) {}

  void Begin();
  void ReadHeader();
  void End();
  // The start of the wait for the next request; nullopt: it has arrived.
  std::optional<Clock::time_point> waiting_since() const { return waiting_since_; }
  // Answers request `number`.
  void OnAnswer(uint64_t number, HttpResponse response);
  // For the stream that answers request `number`.
  void OnStream(uint64_t number, HttpResponse head);
  void OnChunk(uint64_t number, HttpChunk chunk);
  void OnStreamEnd(uint64_t number);

 private:
  class ExchangeImpl;
  using Parser = http::request_parser<http::buffer_body>;

  const HttpLimits& limits() const;
  void WaitForRequest();
  void OnHeader(error_code error);
  HttpRequest TakeHead();
  void BeginBody();
  // Reserves room for `bytes` more of a body. False: no room.
  bool ReserveBody(size_t bytes);
  void ReleaseBody();
  void ReadBody();
  void OnBody(error_code error);
  void Dispatch();
  // Checks for a client that disconnects while its request is handled.
  void Watch();
  void OnReadable();
  void Refuse(HttpResponse response);
  void RefuseOrEnd(error_code error);
  void Write(HttpResponse response);
  void ReleaseAnswer();
  void WriteSome();
  void OnWritten(error_code error);
  void WriteChunk();
  void OnChunkWritten(error_code error);
  // The request is answered, or its client is gone: reads the next one.
  void Next();
  // Ends an exchange whose client is gone or too slow.
  void Lose();
  void Close();
  void CloseSending();
  // Closing now would discard bytes that the client has not received.
  void DropWhenClosed(bool drop);
  // Reads and drops the remaining input. Closing with unread input would reset the connection
  // before the client has its answer.
  void Linger(size_t bytes_left);

  // A completion handler that keeps this session.
  template <class Function>
  auto Then(Function function) {
    return [self = shared_from_this(), function](error_code error, size_t = 0) {
      function(*self, error);
    };
  }

  HttpServerImpl* const server_;
  SessionStream stream_;
  asio::steady_timer look_again_;
  beast::flat_buffer buffer_;
  std::array<char, 4096> chunk_;
  std::optional<Parser> parser_;
  HttpRequest request_;
  size_t body_max_ = 0;
  bool body_wanted_ = false;
  size_t body_reserved_ = 0;
  unsigned version_ = 11;
  bool keep_alive_ = false;
  bool head_ = false;  // the method is HEAD

  std::optional<Clock::time_point> waiting_since_ = Clock::now();
  uint64_t number_ = 0;  // of the request
  std::weak_ptr<ExchangeImpl> exchange_;
  bool handling_ = false;

  std::function<void()> undelivered_;  // of the answer under way
  size_t answer_bytes_ = 0;            // of it
  std::optional<BeastResponse> response_;
  std::optional<BeastSerializer> serializer_;
  Clock::time_point write_until_;
  bool drops_ = false;

  // A piece of a stream: a chunk with its length line, or raw bytes.
  struct Piece {
    std::string before;
    HttpChunk chunk;
    size_t bytes = 0;  // that count
  };
  void Append(Piece piece);
  std::deque<Piece> pieces_;  // the first is being written
  size_t backlog_bytes_ = 0;  // of the others
  bool streams_ = false;
  bool began_ = false;  // the stream has sent its first chunk
  bool stream_ends_ = false;
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
    EndStream();
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
  bool BeginStream(HttpResponse head) override {
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(answered_, true)) return false;
      streams_ = true;
    }
    PostTo([number = number_, head = std::move(head)](Session& session) mutable {
      session.OnStream(number, std::move(head));
    });
    return true;
  }
  void Write(HttpChunk chunk) override {
    {
      const std::lock_guard lock(mutex_);
      if (!streams_ || gone_ || chunk->empty()) return;
    }
    PostTo([number = number_, chunk = std::move(chunk)](Session& session) {
      session.OnChunk(number, chunk);
    });
  }
  void EndStream() override {
    std::function<void()> let_go;
    {
      const std::lock_guard lock(mutex_);
      if (!std::exchange(streams_, false)) return;
      let_go.swap(on_gone_);
    }
    PostTo([number = number_](Session& session) { session.OnStreamEnd(number); });
  }
  void OnGone(std::function<void()> gone) override {
    {
      const std::lock_guard lock(mutex_);
      if (answered_ && !streams_) return;
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
  bool server_full() const override { return gate_->full(); }
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
  template <class Function>
  void PostTo(Function function) {
    gate_->Post([session = session_, function = std::move(function)]() mutable {
      if (const auto self = session.lock()) function(*self);
    });
  }
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
  bool streams_ = false;  // and has not ended
  bool gone_ = false;
  std::function<void()> on_gone_;
};

class HttpServerImpl final : public HttpServer {
 public:
  HttpServerImpl(HttpHandler* handler, const HttpLimits& limits, std::shared_ptr<TlsStore> tls)
      : handler_(handler),
        limits_(limits),
        contexts_(std::move(tls)),
        acceptor_(io_),
        again_(io_) {}

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
    // The address family is not used here.
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
  // False: too many. On the thread of io_, as the following.
  bool TakeStream() {
    if (streams_ >= limits_.streams) return false;
    ++streams_;
    return true;
  }
  void ReturnStream() { --streams_; }
  bool tls() const { return contexts_.on(); }
  // Of a connection that did not speak what this port does.
  void LogStranger(const std::string& problem) {
    if (const uint64_t count = strangers_.Count()) {
      spdlog::warn("HTTP: closed a connection: {} ({} such since the start)", EscapeText(problem),
                   count);
    }
  }
  // Of the bodies that are held now. On the thread of io_.
  size_t& body_bytes() { return body_bytes_; }

 private:
  void Accept() {
    acceptor_.async_accept([this](error_code error, tcp::socket socket) {
      if (error) {
        // Out of descriptors, most likely: the caller waits in the backlog.
        again_.expires_after(kAcceptAgainAfter);
        again_.async_wait([this](error_code stopped) {
          if (!stopped) Accept();
        });
        return;
      }
      if (sessions_.size() >= limits_.connections) MakeRoom();
      if (sessions_.size() < limits_.connections) {
        error_code ignored;
        socket.set_option(tcp::no_delay(true), ignored);
        auto session = std::make_shared<Session>(this, std::move(socket), contexts_.Current());
        (*sessions_.insert(std::move(session)).first)->Begin();
      }
      Accept();
    });
  }

  // So that silent clients cannot keep others out for long.
  void MakeRoom() {
    const auto longest =
        std::min_element(sessions_.begin(), sessions_.end(), [](const auto& a, const auto& b) {
          return a->waiting_since().value_or(Clock::time_point::max()) <
                 b->waiting_since().value_or(Clock::time_point::max());
        });
    if (longest == sessions_.end() || !(*longest)->waiting_since()) return;
    if (Clock::now() - *(*longest)->waiting_since() < limits_.give_way_time) return;
    const std::shared_ptr<Session> session = *longest;
    session->End();
  }

  HttpHandler* const handler_;
  const HttpLimits limits_;
  TlsContexts contexts_;  // on the thread of io_
  LogSample strangers_;
  int port_ = 0;
  asio::io_context io_{1};
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>(&io_, limits_.all_answer_bytes);
  tcp::acceptor acceptor_;
  asio::steady_timer again_;
  size_t body_bytes_ = 0;
  std::unordered_set<std::shared_ptr<Session>> sessions_;  // on the thread of io_
  size_t streams_ = 0;                                     // of them
  std::thread thread_;
};

const HttpLimits& Session::limits() const { return server_->limits(); }

void Session::Begin() {
  if (!stream_.tls()) return ReadHeader();
  stream_.expires_after(limits().header_time);
  stream_.AsyncHandshake(Then([](Session& self, error_code error) {
    if (!error) return self.ReadHeader();
    if (error.category() == asio::error::get_ssl_category()) {
      self.server_->LogStranger("no TLS: " + error.message());
    }
    self.End();
  }));
}

void Session::WaitForRequest() {
  waiting_since_ = Clock::now();
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
  request.method = BeastText(parser_->get().method_string());
  for (const auto& field : parser_->get()) {
    request.headers.emplace_back(BeastText(field.name_string()), BeastText(field.value()));
  }
  // With several, a proxy may have read another one.
  if (parser_->get().count(http::field::authorization) == 1) {
    request.credentials.authorization = BeastText(parser_->get()[http::field::authorization]);
  }
  error_code gone;
  const tcp::endpoint remote = stream_.socket().remote_endpoint(gone);
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
  absl::StatusOr<HttpTarget> target = ParseTarget(BeastText(head.target()));
  if (!target.ok()) {
    return Refuse(HttpProblem(400, "BAD_TARGET", std::string(target.status().message())));
  }
  request_ = TakeHead();
  request_.target = *std::move(target);
  keep_alive_ = parser_->keep_alive();
  if (limits().hosts) {
    if (auto problem = limits().hosts->Problem(request_)) return Refuse(*std::move(problem));
  }
  BeginBody();
}

bool Session::ReserveBody(size_t bytes) {
  size_t& all = server_->body_bytes();
  if (bytes > limits().all_body_bytes - all) return false;
  all += bytes;
  body_reserved_ += bytes;
  return true;
}

void Session::ReleaseBody() { server_->body_bytes() -= std::exchange(body_reserved_, 0); }

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
    // The client waits for 100 Continue. It gets the answer instead, and the body is not read.
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
    if (!ReserveBody(bytes)) return Refuse(BodiesTooLarge(limits().all_body_bytes));
    request_.body.append(chunk_.data(), bytes);
  } else {
    // body_max_ is the rest of the limit.
    body_max_ -= bytes;
  }
  if (parser_->is_done()) return Dispatch();
  ReadBody();
}

void Session::Dispatch() {
  waiting_since_.reset();
  stream_.expires_never();
  handling_ = true;
  auto exchange = std::make_shared<ExchangeImpl>(server_->gate(), weak_from_this(), number_,
                                                 request_.credentials);
  exchange_ = exchange;
  server_->handler().Handle(std::move(request_), HttpReply(std::move(exchange)));
  request_ = {};
  // After the answer, because the client may have closed its half by now.
  asio::post(stream_.get_executor(), [self = shared_from_this(), number = number_] {
    if (self->handling_ && number == self->number_) self->Watch();
  });
}

void Session::Watch() {
  // The next request has arrived: the client is present, and reading on would need room.
  if (buffer_.size() > 0) return;
  stream_.socket().async_wait(tcp::socket::wait_read,
                              [self = shared_from_this(), number = number_](error_code error) {
                                if (error || !self->handling_ || number != self->number_) return;
                                self->OnReadable();
                              });
}

void Session::OnReadable() {
  error_code error;
  const bool more = stream_.socket().available(error) > 0 && !error;
  if (more && !stream_.tls()) return;
  if (more && !stream_.PeerHasEnded()) {
    // The next request, or close_notify of TLS: only TLS can tell.
    look_again_.expires_after(kLookWhetherGone);
    look_again_.async_wait([self = shared_from_this(), number = number_](error_code stopped) {
      if (!stopped && self->handling_ && number == self->number_) self->OnReadable();
    });
    return;
  }
  Lose();
}

void Session::Lose() {
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
  look_again_.cancel();
  Write(std::move(response));
}

void Session::OnStream(uint64_t number, HttpResponse head) {
  if (!handling_ || number != number_) return;
  if (!server_->TakeStream()) {
    if (const auto exchange = exchange_.lock()) exchange->TellGone();
    return OnAnswer(number, HttpProblem(503, "TOO_MANY_STREAMS",
                                        "this node already serves " +
                                            std::to_string(limits().streams) + " streams"));
  }
  streams_ = true;
  began_ = false;
  stream_ends_ = head_;
  if (head_) {
    if (const auto exchange = exchange_.lock()) exchange->TellGone();
  }
  if (version_ < 11) keep_alive_ = false;
  error_code ignored;
  stream_.socket().set_option(asio::socket_base::send_buffer_size(kStreamSendBufferBytes), ignored);
  DropWhenClosed(true);
  Append({StreamHead(std::move(head), version_, keep_alive_), nullptr, 0});
}

void Session::OnChunk(uint64_t number, HttpChunk chunk) {
  if (!streams_ || number != number_ || stream_ends_) return;
  // The first chunk may be large and does not count.
  const size_t bytes = std::exchange(began_, true) ? chunk->size() : 0;
  if (backlog_bytes_ > 0 && backlog_bytes_ + bytes > limits().stream_backlog_bytes) return Lose();
  std::string before = version_ >= 11 ? ChunkLength(chunk->size()) : std::string();
  Append({std::move(before), std::move(chunk), bytes});
}

void Session::OnStreamEnd(uint64_t number) {
  if (!streams_ || number != number_ || std::exchange(stream_ends_, true)) return;
  if (version_ >= 11) return Append({"0\r\n\r\n", nullptr, 0});
  if (pieces_.empty()) Next();
}

void Session::Append(Piece piece) {
  if (!pieces_.empty()) backlog_bytes_ += piece.bytes;
  pieces_.push_back(std::move(piece));
  if (pieces_.size() == 1) WriteChunk();
}

void Session::WriteChunk() {
  const Piece& piece = pieces_.front();
  constexpr size_t kLineEndBytes = 2;
  std::array<asio::const_buffer, 3> buffers;
  buffers[0] = asio::buffer(piece.before);
  if (piece.chunk != nullptr) {
    buffers[1] = asio::buffer(*piece.chunk);
    if (version_ >= 11) buffers[2] = asio::const_buffer("\r\n", kLineEndBytes);
  }
  stream_.expires_after(limits().write_time);
  asio::async_write(stream_, buffers,
                    Then([](Session& self, error_code error) { self.OnChunkWritten(error); }));
}

void Session::OnChunkWritten(error_code error) {
  // The connection broke during the write.
  if (!streams_) return;
  if (error) return Lose();
  pieces_.pop_front();
  if (!pieces_.empty()) {
    backlog_bytes_ -= pieces_.front().bytes;
    return WriteChunk();
  }
  stream_.expires_never();
  if (stream_ends_) Next();
}

void Session::Next() {
  if (std::exchange(streams_, false)) {
    server_->ReturnStream();
    handling_ = false;
    error_code ignored;
    stream_.socket().cancel(ignored);
  }
  DropWhenClosed(false);
  if (!keep_alive_) return Close();
  WaitForRequest();
}

void Session::Refuse(HttpResponse response) {
  keep_alive_ = false;
  Write(std::move(response));
}

void Session::RefuseOrEnd(error_code error) {
  if (!stream_.tls() && buffer_.size() > 0 &&
      *static_cast<const char*>(buffer_.data().data()) == kTlsHello) {
    server_->LogStranger("it speaks TLS, and this port does not");
  }
  std::optional<HttpResponse> problem = ProblemOfReading(error, limits());
  if (!problem) return Close();
  Refuse(*std::move(problem));
}

void Session::Write(HttpResponse response) {
  request_ = {};
  ReleaseBody();
  answer_bytes_ = response.body.size();
  server_->gate()->AddAnswer(answer_bytes_);
  undelivered_ = std::move(response.undelivered);
  response_.emplace(ToBeast(std::move(response), version_, keep_alive_));
  if (server_->tls()) response_->set(http::field::strict_transport_security, kHsts);
  serializer_.emplace(*response_);
  // HEAD: the same header, length included, and no body.
  serializer_->split(head_);
  write_until_ = Clock::now() + kWriteTimesMax * limits().write_time;
  WriteSome();
}

void Session::ReleaseAnswer() { server_->gate()->RemoveAnswer(std::exchange(answer_bytes_, 0)); }

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
    // The kernel must drop the megabytes of a slow client, too.
    DropWhenClosed(true);
    return WriteSome();
  }
  undelivered_ = nullptr;
  serializer_.reset();
  response_.reset();
  ReleaseAnswer();
  Next();
}

void Session::DropWhenClosed(bool drop) {
  if (drop == std::exchange(drops_, drop)) return;
  error_code ignored;
  stream_.socket().set_option(asio::socket_base::linger(drop, 0), ignored);
}

void Session::Close() {
  stream_.expires_after(kLingerTimeMax);
  if (!stream_.tls()) return CloseSending();
  // So that the client knows that the body is complete.
  stream_.AsyncGoodbye(Then([](Session& self, error_code) { self.CloseSending(); }));
}

void Session::CloseSending() {
  error_code ignored;
  stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  Linger(kLingerBytesMax);
}

void Session::Linger(size_t bytes_left) {
  stream_.tcp().async_read_some(
      asio::buffer(chunk_), [self = shared_from_this(), bytes_left](error_code error, size_t n) {
        if (error || n >= bytes_left) return self->End();
        self->Linger(bytes_left - n);
      });
}

void Session::End() {
  if (std::exchange(streams_, false)) server_->ReturnStream();
  ReleaseBody();
  ReleaseAnswer();
  stream_.close();
  server_->Forget(shared_from_this());
}

}  // namespace

HttpStream HttpReply::Stream(HttpResponse head) const {
  exchange_->BeginStream(std::move(head));
  return HttpStream(exchange_);
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& listen,
                                                              HttpHandler* handler,
                                                              const HttpLimits& limits,
                                                              std::shared_ptr<TlsStore> tls) {
  auto server = std::make_unique<HttpServerImpl>(handler, limits, std::move(tls));
  const absl::Status status = server->Listen(listen);
  if (!status.ok()) return status;
  return server;
}

}  // namespace dqueue::transport
