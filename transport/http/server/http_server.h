// HTTP/1.1 and 1.0 on one thread: connections, limits, times. What the requests mean is the
// handler's; it must not wait, and may answer later, from any thread.
//
// A connection's requests are handled one after the other, so pipelined ones are answered in order.
// Whatever cannot be read as one request, without doubt about where it ends, gets a 4xx and the
// connection ends.
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
  // More are closed as they come, unless there is one whose whole request has not come for
  // give_way_time: it is closed instead.
  size_t connections = 1024;
  std::chrono::milliseconds give_way_time{1'000};
  // Of them, that an HttpStream holds; more get 503 TOO_MANY_STREAMS, so that requests have the
  // rest.
  size_t streams = 512;
  // What may wait for one stream's client beside a first chunk; one that is further behind is
  // closed.
  size_t stream_backlog_bytes = 64 << 10;
  size_t header_bytes = 8 << 10;
  size_t header_fields = 100;
  size_t target_bytes = 4 << 10;
  // Of one body; what a route takes may be less. One that nobody wants is read and thrown away.
  size_t body_bytes = 20 << 20;
  // Of all bodies together, from their first byte until their requests are answered. Beyond: 503.
  size_t all_body_bytes = 64 << 20;
  // From the first byte, or from the connection; before it, as long for the handshake of TLS.
  std::chrono::milliseconds header_time{10'000};
  std::chrono::milliseconds body_time{30'000};
  std::chrono::milliseconds idle_time{60'000};  // between an answer and the next request
  // A client that takes nothing for so long, or not all in ten times this, is closed.
  std::chrono::milliseconds write_time{30'000};
  // As whom this server may be addressed (host_check.h); nullopt: as anybody.
  std::optional<HostCheck> hosts{};
};

// Bytes that many clients get: there is one copy.
using HttpChunk = std::shared_ptr<const std::string>;

// Where one request is answered, once: the first Send() or Stream() counts. Copies are the same
// reply. If the last one goes without an answer, the client is told 500. Everything may be called
// from any thread, also after the server is gone (then without effect).
class HttpReply {
 public:
  // Of the server.
  class Exchange {
   public:
    virtual ~Exchange() = default;
    virtual void Send(HttpResponse response) = 0;
    // False: it is answered already.
    virtual bool BeginStream(HttpResponse head) = 0;
    virtual void Write(HttpChunk chunk) = 0;
    virtual void EndStream() = 0;
    virtual void OnGone(std::function<void()> gone) = 0;
    virtual bool gone() const = 0;
    virtual const Credentials& credentials() const = 0;
  };
  explicit HttpReply(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}

  void Send(HttpResponse response) const { exchange_->Send(std::move(response)); }
  // Answers with `head`, whose body must be empty, and with what is written to the stream.
  class HttpStream Stream(HttpResponse head) const;
  // `gone` (the last one given) is called at most once, if the client goes before it is answered:
  // on the server's thread, or at once if it is known already. A client that ends its half of the
  // connection is taken for gone, as nothing else tells that it went. While its next request is
  // there already it is not watched.
  void OnGone(std::function<void()> gone) const { exchange_->OnGone(std::move(gone)); }
  bool gone() const { return exchange_->gone(); }
  // Of who asks.
  const Credentials& credentials() const { return exchange_->credentials(); }

 private:
  std::shared_ptr<Exchange> exchange_;
};

// An answer that goes on, to a client that may be slow: what it has not taken waits, up to
// HttpLimits::stream_backlog_bytes beside the chunk that is being sent; then the client is closed
// and gone(). From any thread. Copies are the same stream; without the last one it ends.
class HttpStream {
 public:
  // An empty chunk is nothing.
  void Write(HttpChunk chunk) const { exchange_->Write(std::move(chunk)); }
  // After what waits. What is written later is thrown away.
  void End() const { exchange_->EndStream(); }
  // As HttpReply has them, until the end.
  void OnGone(std::function<void()> gone) const { exchange_->OnGone(std::move(gone)); }
  bool gone() const { return exchange_->gone(); }

 private:
  friend class HttpReply;
  explicit HttpStream(std::shared_ptr<HttpReply::Exchange> exchange)
      : exchange_(std::move(exchange)) {}

  std::shared_ptr<HttpReply::Exchange> exchange_;
};

// Both are called on the server's thread.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // By method, target and headers: the longest body that Handle() wants; 0: none.
  virtual size_t BodyBytesMax(const HttpRequest& head) = 0;
  virtual void Handle(HttpRequest request, HttpReply reply) = 0;
};

class HttpServer {
 public:
  // INVALID_ARGUMENT: the address; UNAVAILABLE: it cannot be bound. The handler must outlive the
  // server. With `tls` every connection is TLS 1.2 or later, with its current set.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& listen,
                                                           HttpHandler* handler,
                                                           const HttpLimits& limits = {},
                                                           std::shared_ptr<TlsStore> tls = nullptr);
  // Closes every connection; afterwards the handler is not called any more.
  virtual ~HttpServer() = default;
  virtual int port() const = 0;
};

}  // namespace dqueue::transport
