// An HTTP/1.1 and 1.0 server on one thread: connections, limits, timeouts. A handler interprets the
// requests; it must not block or work for long, and may answer later, from any thread.
//
// Requests of a connection are handled one after the other, so pipelined requests are answered in
// order. Input that is not exactly one request with a clear end gets a 4xx, and the connection
// ends.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "transport/http/message/http_message.h"
#include "transport/http/server/host_check.h"
#include "transport/listeners/tls.h"

namespace dqueue::transport {

struct HttpLimits {
  // Further connections are closed at once, unless some connection has waited for a whole request
  // for give_way_time: that one is closed instead.
  size_t connections = 1024;
  std::chrono::milliseconds give_way_time{1'000};
  // Connections with an HttpStream; more get 503 TOO_MANY_STREAMS, so that the rest is free for
  // requests.
  size_t streams = 512;
  // Bytes that may wait for the client of a stream, beside a first chunk. A client that is further
  // behind is closed.
  size_t stream_backlog_bytes = 64 << 10;
  size_t header_bytes = 8 << 10;
  size_t header_fields = 100;
  size_t target_bytes = 4 << 10;
  // Limit of one body; a route may take less. An unwanted body is read and discarded.
  size_t body_bytes = 20 << 20;
  // Limit of all bodies together, from the first byte until the answer. Beyond it: 503.
  size_t all_body_bytes = 64 << 20;
  // Beyond this many bytes of answers that wait for their clients, HttpReply::server_full().
  size_t all_answer_bytes = 64 << 20;
  // From the first byte, or from the connection. The TLS handshake has the same time before that.
  std::chrono::milliseconds header_time{10'000};
  std::chrono::milliseconds body_time{30'000};
  std::chrono::milliseconds idle_time{60'000};  // between an answer and the next request
  // A client that reads nothing for this time, or not all in ten times this, is closed.
  std::chrono::milliseconds write_time{30'000};
  // The allowed hosts (host_check.h); nullopt: any.
  std::optional<HostCheck> hosts{};
};

// Bytes for many clients, shared.
using HttpChunk = std::shared_ptr<const std::string>;

// Answers one request, once: the first Send() or Stream() counts. Copies share the reply; if the
// last one is destroyed without an answer, the client gets 500. Any thread; no effect after the
// server is gone.
class HttpReply {
 public:
  // The server's side of a reply.
  class Exchange {
   public:
    virtual ~Exchange() = default;
    virtual void Send(HttpResponse response) = 0;
    // False: already answered.
    virtual bool BeginStream(HttpResponse head) = 0;
    virtual void Write(HttpChunk chunk) = 0;
    virtual void EndStream() = 0;
    virtual void OnGone(std::function<void()> gone) = 0;
    virtual bool gone() const = 0;
    virtual const Credentials& credentials() const = 0;
    virtual bool server_full() const { return false; }
  };
  explicit HttpReply(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}

  void Send(HttpResponse response) const { exchange_->Send(std::move(response)); }
  // Answers with `head`, whose body must be empty, followed by the chunks written to the stream.
  class HttpStream Stream(HttpResponse head) const;
  // `gone` (the last one given) is called at most once, if the client disconnects before the
  // answer: on the server's thread, or at once if that is known already. A client that closes its
  // half of the connection counts as gone, because no other sign exists. A client whose next
  // request has already arrived is not watched.
  void OnGone(std::function<void()> gone) const { exchange_->OnGone(std::move(gone)); }
  bool gone() const { return exchange_->gone(); }
  // The caller's credentials.
  const Credentials& credentials() const { return exchange_->credentials(); }
  // The answers that wait for slow clients exceed HttpLimits::all_answer_bytes: a handler must not
  // begin work with a large answer.
  bool server_full() const { return exchange_->server_full(); }

 private:
  std::shared_ptr<Exchange> exchange_;
};

// An answer in chunks, to a client that may be slow. Up to HttpLimits::stream_backlog_bytes wait,
// beside the chunk that is being sent; beyond that the client is closed and gone(). Any thread.
// Copies share the stream; it ends with the last one.
class HttpStream {
 public:
  // An empty chunk has no effect.
  void Write(HttpChunk chunk) const { exchange_->Write(std::move(chunk)); }
  // Ends the stream after the waiting chunks. Later chunks are dropped.
  void End() const { exchange_->EndStream(); }
  // As in HttpReply, until the end of the stream.
  void OnGone(std::function<void()> gone) const { exchange_->OnGone(std::move(gone)); }
  bool gone() const { return exchange_->gone(); }

 private:
  friend class HttpReply;
  explicit HttpStream(std::shared_ptr<HttpReply::Exchange> exchange)
      : exchange_(std::move(exchange)) {}

  std::shared_ptr<HttpReply::Exchange> exchange_;
};

// Interprets requests. Both functions run on the server's thread.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // The limit of the body for a request with this method, target and headers; 0: no body.
  virtual size_t BodyBytesMax(const HttpRequest& head) = 0;
  virtual void Handle(HttpRequest request, HttpReply reply) = 0;
};

class HttpServer {
 public:
  // INVALID_ARGUMENT: the address; UNAVAILABLE: it cannot be bound. The handler must outlive the
  // server. With `tls` every connection is TLS 1.2 or later, with the current certificate.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& listen,
                                                           HttpHandler* handler,
                                                           const HttpLimits& limits = {},
                                                           std::shared_ptr<TlsStore> tls = nullptr);
  // Closes every connection. Afterwards the handler is not called.
  virtual ~HttpServer() = default;
  virtual int port() const = 0;
};

}  // namespace dqueue::transport
