// The stream of one connection: plain, or TLS. For http_server.cc only.
#pragma once

#include <openssl/ssl.h>
#include <poll.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"
#include "transport/listeners/tls.h"

namespace dqueue::transport {

// The OpenSSL context for a store's current certificate, renewed with it. One thread.
class TlsContexts {
 public:
  explicit TlsContexts(std::shared_ptr<TlsStore> store) : store_(std::move(store)) {}

  // Null: no store. A connection keeps its first context.
  std::shared_ptr<boost::asio::ssl::context> Current() {
    if (store_ == nullptr) return nullptr;
    auto material = store_->current();
    if (material != made_of_) {
      context_ = Make(*material);
      made_of_ = std::move(material);
    }
    return context_;
  }
  bool on() const { return store_ != nullptr; }

 private:
  // Cannot fail: the store has checked the set.
  static std::shared_ptr<boost::asio::ssl::context> Make(const TlsMaterial& material) {
    namespace ssl = boost::asio::ssl;
    auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
    SSL_CTX* native = context->native_handle();
    SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(native, "ECDHE+AESGCM:ECDHE+CHACHA20");
    SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(native, ChooseProtocol, nullptr);
    boost::system::error_code error;
    context->use_certificate_chain(boost::asio::buffer(material.cert), error);
    DQ_CHECK_MSG(!error, error.message());
    context->use_private_key(boost::asio::buffer(material.key), ssl::context::pem, error);
    DQ_CHECK_MSG(!error, error.message());
    return context;
  }
  static int ChooseProtocol(SSL*, const unsigned char** out, unsigned char* out_size,
                            const unsigned char* in, unsigned int in_size, void*) {
    static constexpr unsigned char kHttp[] = "\x08http/1.1";
    unsigned char* chosen = nullptr;
    if (SSL_select_next_proto(&chosen, out_size, kHttp, sizeof(kHttp) - 1, in, in_size) !=
        OPENSSL_NPN_NEGOTIATED) {
      return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
  }

  const std::shared_ptr<TlsStore> store_;
  std::shared_ptr<const TlsMaterial> made_of_;
  std::shared_ptr<boost::asio::ssl::context> context_;
};

// An AsyncStream with the timeouts of beast::tcp_stream.
class SessionStream {
 public:
  using executor_type = boost::beast::tcp_stream::executor_type;
  using Socket = boost::asio::ip::tcp::socket;

  SessionStream(Socket socket, std::shared_ptr<boost::asio::ssl::context> context)
      : tcp_(std::move(socket)), context_(std::move(context)) {
    if (context_ != nullptr) tls_.emplace(tcp_, *context_);
  }

  bool tls() const { return tls_.has_value(); }
  executor_type get_executor() { return tcp_.get_executor(); }
  Socket& socket() { return tcp_.socket(); }
  template <class Time>
  void expires_after(Time time) {
    tcp_.expires_after(time);
  }
  template <class Time>
  void expires_at(Time time) {
    tcp_.expires_at(time);
  }
  void expires_never() { tcp_.expires_never(); }
  void close() { tcp_.close(); }
  // Below TLS.
  boost::beast::tcp_stream& tcp() { return tcp_; }

  template <class Buffers, class Handler>
  void async_read_some(const Buffers& buffers, Handler&& handler) {
    if (tls_) {
      tls_->async_read_some(buffers, std::forward<Handler>(handler));
    } else {
      tcp_.async_read_some(buffers, std::forward<Handler>(handler));
    }
  }
  template <class Buffers, class Handler>
  void async_write_some(const Buffers& buffers, Handler&& handler) {
    if (tls_) {
      tls_->async_write_some(buffers, std::forward<Handler>(handler));
    } else {
      tcp_.async_write_some(buffers, std::forward<Handler>(handler));
    }
  }
  // Only with TLS.
  template <class Handler>
  void AsyncHandshake(Handler&& handler) {
    tls_->async_handshake(boost::asio::ssl::stream_base::server, std::forward<Handler>(handler));
  }
  // Sends close_notify and waits for the peer's.
  template <class Handler>
  void AsyncGoodbye(Handler&& handler) {
    tls_->async_shutdown(std::forward<Handler>(handler));
  }
  // The other side has closed its half, although bytes of it are still unread.
  bool PeerHasEnded() {
    pollfd fd{tcp_.socket().native_handle(), POLLRDHUP, 0};
    return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLRDHUP | POLLERR | POLLHUP)) != 0;
  }

 private:
  boost::beast::tcp_stream tcp_;
  const std::shared_ptr<boost::asio::ssl::context> context_;
  std::optional<boost::asio::ssl::stream<boost::beast::tcp_stream&>> tls_;
};

}  // namespace dqueue::transport
