#include "client/connection_probe.h"

#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace dqueue::client {
namespace {

constexpr std::chrono::milliseconds kConnectMax{1000};
constexpr std::chrono::milliseconds kAnswerMax{1000};
constexpr std::chrono::milliseconds kProbeAgainAfter{1000};
constexpr int kSliceMs = 50;  // of a wait, so that a stop is soon seen
constexpr size_t kFrameHeaderBytes = 9;
constexpr char kSettingsFrame = 4;
// RFC 9113: the client's preface and an empty SETTINGS frame.
constexpr std::string_view kHello("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

struct Until {
  Clock::time_point end;
  const std::stop_token* stop;
};

// Returns false at the end of the time or if a stop is requested.
bool WaitFor(int fd, short events, const Until& until) {
  while (Clock::now() < until.end && !until.stop->stop_requested()) {
    pollfd waiting{fd, events, 0};
    if (poll(&waiting, 1, kSliceMs) > 0) return true;
  }
  return false;
}

// Splits "host:port" and "[host]:port".
std::pair<std::string, std::string> HostAndPort(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return {address, ""};
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  return {host, address.substr(colon + 1)};
}

bool IsIpAddress(const std::string& host) {
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  const bool numeric = getaddrinfo(host.c_str(), nullptr, &hints, &found) == 0;
  if (found != nullptr) freeaddrinfo(found);
  return numeric;
}

struct Dialled {
  std::unique_ptr<Socket> socket;  // connected; null: `error`
  int error = 0;                   // ETIMEDOUT also for the probe's own limit
};

Dialled Dial(const std::string& dialled, const std::stop_token& stop) {
  const auto [host, port] = HostAndPort(dialled);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  if (getaddrinfo(host.c_str(), port.c_str(), &hints, &list) != 0) return {nullptr, EINVAL};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> found(list, freeaddrinfo);
  auto socket = std::make_unique<Socket>(
      ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket->fd() < 0) return {nullptr, errno};
  if (connect(socket->fd(), found->ai_addr, found->ai_addrlen) == 0) return {std::move(socket), 0};
  if (errno != EINPROGRESS) return {nullptr, errno};
  if (!WaitFor(socket->fd(), POLLOUT, {Clock::now() + kConnectMax, &stop})) {
    return {nullptr, ETIMEDOUT};
  }
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(socket->fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return {nullptr, error};
  return {std::move(socket), 0};
}

enum class Spoken { kHttp2, kHttp1, kTls, kClosed, kNothing, kOther };

Spoken Understand(std::string_view bytes) {
  if (bytes.starts_with("HTTP/1")) return Spoken::kHttp1;
  // A TLS record: alert or handshake, version 3.x.
  if (bytes.size() >= 2 && (bytes[0] == 0x15 || bytes[0] == 0x16) && bytes[1] == 3) {
    return Spoken::kTls;
  }
  if (bytes.size() >= kFrameHeaderBytes && bytes[3] == kSettingsFrame) return Spoken::kHttp2;
  return Spoken::kOther;
}

// Sends the begin of HTTP/2 with `write` and looks at what `read` returns. Both return as the
// functions of sockets, after `wait` was true.
template <class Write, class Read, class Wait>
Spoken AskHttp2(Write write, Read read, Wait wait) {
  if (write(kHello) <= 0) return Spoken::kClosed;
  std::string answer;
  std::array<char, 256> buffer{};
  while (answer.size() < kFrameHeaderBytes) {
    if (!wait()) return answer.empty() ? Spoken::kNothing : Understand(answer);
    const ssize_t n = read(buffer);
    if (n <= 0) return answer.empty() ? Spoken::kClosed : Understand(answer);
    answer.append(buffer.data(), static_cast<size_t>(n));
  }
  return Understand(answer);
}

Spoken AskInPlainText(const Socket& socket, const std::stop_token& stop) {
  const Until until{Clock::now() + kAnswerMax, &stop};
  return AskHttp2(
      [&](std::string_view bytes) {
        return send(socket.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      },
      [&](std::array<char, 256>& buffer) {
        return recv(socket.fd(), buffer.data(), buffer.size(), 0);
      },
      [&] { return WaitFor(socket.fd(), POLLIN, until); });
}

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* thing) const {
    Free(thing);
  }
};
using Context = std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, Freer<SSL_free>>;
using Bio = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;

Bio MemoryOf(const std::string& pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

Context MakeContext(const Access& access) {
  Context context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);  // the result is read afterwards
  const Bio roots = MemoryOf(access.roots_pem);
  while (const Certificate root{PEM_read_bio_X509(roots.get(), nullptr, nullptr, nullptr)}) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), root.get());
  }
  if (!access.cert_pem.empty()) {
    const Bio chain = MemoryOf(access.cert_pem);
    if (const Certificate leaf{PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)}) {
      SSL_CTX_use_certificate(context.get(), leaf.get());
    }
    while (Certificate next{PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)}) {
      SSL_CTX_add1_chain_cert(context.get(), next.get());
    }
    if (const Key key{
            PEM_read_bio_PrivateKey(MemoryOf(access.key_pem).get(), nullptr, nullptr, nullptr)}) {
      SSL_CTX_use_PrivateKey(context.get(), key.get());
    }
  }
  static constexpr unsigned char kAlpn[] = {2, 'h', '2'};
  SSL_CTX_set_alpn_protos(context.get(), kAlpn, sizeof kAlpn);
  ERR_clear_error();
  return context;
}

// The last OpenSSL error of this thread as text. Clears the error queue.
std::string OpenSslProblem() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return reason == nullptr ? "the connection was closed" : reason;
}

struct TlsAnswer {
  bool handshake = false;  // it succeeded, whatever the certificate
  long verified = X509_V_OK;
  Spoken spoken = Spoken::kNothing;  // in TLS
  std::string error;                 // of a failed handshake, or of the connection after it
  bool timed_out = false;
};

// Waits until `step` can go on, as SSL_get_error() says. False: it has failed.
bool MayRepeat(SSL* session, int fd, int result, const Until& until, bool* timed_out) {
  const int error = SSL_get_error(session, result);
  if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return false;
  if (WaitFor(fd, error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, until)) return true;
  *timed_out = true;
  return false;
}

TlsAnswer AskInTls(const Socket& socket, const std::string& name, const Access& access,
                   const std::stop_token& stop) {
  const Until until{Clock::now() + kAnswerMax, &stop};
  const Context context = MakeContext(access);
  const Session session(SSL_new(context.get()));
  SSL* const ssl = session.get();
  if (IsIpAddress(name)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str());
  } else {
    SSL_set1_host(ssl, name.c_str());
    SSL_set_tlsext_host_name(ssl, name.c_str());
  }
  SSL_set_fd(ssl, socket.fd());
  TlsAnswer answer;
  int result = 0;
  while ((result = SSL_connect(ssl)) != 1 &&
         MayRepeat(ssl, socket.fd(), result, until, &answer.timed_out)) {
  }
  if (result != 1) {
    answer.error = OpenSslProblem();
    return answer;
  }
  answer.handshake = true;
  answer.verified = SSL_get_verify_result(ssl);
  // In TLS 1.3 the server refuses the client's certificate after the handshake.
  answer.spoken = AskHttp2(
      [&](std::string_view bytes) {
        return SSL_write(ssl, bytes.data(), static_cast<int>(bytes.size()));
      },
      [&](std::array<char, 256>& buffer) {
        int n = 0;
        while ((n = SSL_read(ssl, buffer.data(), static_cast<int>(buffer.size()))) <= 0 &&
               MayRepeat(ssl, socket.fd(), n, until, &answer.timed_out)) {
        }
        return n;
      },
      [] { return true; });
  if (answer.spoken == Spoken::kClosed) answer.error = OpenSslProblem();
  return answer;
}

ConnectionProblem NotGrpc(const std::string& address) {
  return {"NOT_GRPC", address + ": something else than a dqueue node's gRPC listens there"};
}
ConnectionProblem NoGrpcButHttp(const std::string& address) {
  return {"NOT_GRPC",
          address + ": the server speaks HTTP/1.1, not gRPC; is this the port of --http-addr?"};
}
ConnectionProblem Silent(const std::string& address) {
  return {"SERVER_SILENT", address + ": the server accepts connections and does not answer"};
}

ConnectionProblem JudgePlainText(const std::string& address, const std::string& dialled,
                                 const Socket& socket, const Access& access,
                                 const std::stop_token& stop) {
  const Spoken spoken = AskInPlainText(socket, stop);
  switch (spoken) {
    case Spoken::kHttp2:
      return {};
    case Spoken::kHttp1:
      return NoGrpcButHttp(address);
    case Spoken::kNothing:
      return Silent(address);
    case Spoken::kTls:
    case Spoken::kClosed:
    case Spoken::kOther:
      break;
  }
  bool tls = spoken == Spoken::kTls;
  if (!tls) {
    const Dialled again = Dial(dialled, stop);
    tls = again.socket != nullptr &&
          AskInTls(*again.socket, HostAndPort(address).first, access, stop).handshake;
  }
  if (tls) {
    return {"TLS_REQUIRED", address +
                                ": this client speaks plain text, and the server TLS: does the "
                                "server want TLS?"};
  }
  if (spoken == Spoken::kOther) return NotGrpc(address);
  return {"CONNECTION_CLOSED", address + ": the server closes the connection"};
}

ConnectionProblem JudgeTls(const std::string& address, const std::string& dialled,
                           const Socket& socket, const Access& access,
                           const std::stop_token& stop) {
  const std::string name =
      access.server_name.empty() ? HostAndPort(address).first : access.server_name;
  const TlsAnswer answer = AskInTls(socket, name, access, stop);
  if (!answer.handshake) {
    const Dialled again = Dial(dialled, stop);
    const Spoken plain =
        again.socket == nullptr ? Spoken::kClosed : AskInPlainText(*again.socket, stop);
    if (plain == Spoken::kHttp2 || plain == Spoken::kHttp1) {
      return {"TLS_NOT_SPOKEN", address + ": the server speaks plain text, and this client TLS"};
    }
    if (answer.timed_out) return Silent(address);
    return {"TLS_FAILED", address + ": the TLS handshake fails: " + answer.error};
  }
  const auto certificate = [&](const std::string& why) {
    return ConnectionProblem{"TLS_CERTIFICATE", address + ": the server's certificate " + why};
  };
  switch (answer.verified) {
    case X509_V_OK:
      break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return certificate("does not have the name that was dialled, \"" + name + "\"");
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return certificate("has expired");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return certificate("is not valid yet; is this machine's clock right?");
    default:
      return certificate(std::string("does not come from a CA that this client trusts: ") +
                         X509_verify_cert_error_string(answer.verified));
  }
  switch (answer.spoken) {
    case Spoken::kHttp2:
      return {};
    case Spoken::kHttp1:
      return NoGrpcButHttp(address);
    case Spoken::kClosed:
      return {"TLS_CLIENT_CERTIFICATE",
              address + ": the server ends the connection after the TLS handshake (" +
                  answer.error + "): does it want a client certificate of its own CA?"};
    case Spoken::kNothing:
      return Silent(address);
    case Spoken::kTls:
    case Spoken::kOther:
      break;
  }
  return NotGrpc(address);
}

}  // namespace

ConnectionProblem ProbeConnection(const std::string& address, const std::string& dialled,
                                  const Access& access, const std::stop_token& stop) {
  const Dialled connection = Dial(dialled, stop);
  const std::string at = dialled == address ? address : address + " (" + dialled + ")";
  if (connection.socket == nullptr) {
    if (connection.error == ECONNREFUSED) {
      return {"CONNECTION_REFUSED", at + ": connection refused: no program listens there", true};
    }
    if (connection.error == ETIMEDOUT) {
      return {"CONNECTION_TIMEOUT", at + ": no answer to the connection; is there a firewall?"};
    }
    return {"CONNECTION_FAILED", at + ": " + std::strerror(connection.error)};
  }
  return access.tls ? JudgeTls(address, dialled, *connection.socket, access, stop)
                    : JudgePlainText(address, dialled, *connection.socket, access, stop);
}

std::string DialledAddress(const std::string& grpc_message) {
  for (const char* scheme : {"ipv4:", "ipv6:"}) {
    const size_t at = grpc_message.find(scheme);
    if (at == std::string::npos) continue;
    const size_t begin = at + std::strlen(scheme);
    std::string address = grpc_message.substr(begin, grpc_message.find(": ", begin) - begin);
    // The address is a URI's: "%5B::1%5D:9090".
    for (const auto& [code, text] : {std::pair{"%5B", "["}, std::pair{"%5D", "]"}}) {
      const size_t found = address.find(code);
      if (found != std::string::npos) address.replace(found, 3, text);
    }
    return address;
  }
  return "";
}

ConnectionProbes::~ConnectionProbes() = default;  // the jthread is stopped and joined first

void ConnectionProbes::Found(Record& record, ConnectionProblem problem) {
  record.probing = false;
  record.probed_at = Clock::now();
  if (!problem.unreachable) {
    record.unreachable_since.reset();
  } else if (!record.unreachable_since) {
    record.unreachable_since = record.probed_at;
  }
  record.problem = std::move(problem);
}

void ConnectionProbes::OnFailure(const std::string& address, const std::string& grpc_message) {
  const std::lock_guard lock(mutex_);
  Record& record = records_[address];
  if (grpc_message.starts_with("DNS resolution failed")) {
    // "… name=node9 is_balancer=0: Domain name not found"
    const size_t why = grpc_message.rfind(": ");
    Found(record, {"NAME_NOT_RESOLVED",
                   address + ": the name cannot be resolved" + grpc_message.substr(why), true});
    wake_.notify_all();
    return;
  }
  std::string dialled = DialledAddress(grpc_message);
  if (dialled.empty() && IsIpAddress(HostAndPort(address).first)) dialled = address;
  if (dialled.empty() || record.probing) return;
  if (record.problem && Clock::now() - record.probed_at < kProbeAgainAfter) return;
  record.probing = true;
  queue_.emplace_back(address, std::move(dialled));
  if (!thread_.joinable()) {
    thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
  }
  wake_.notify_all();
}

void ConnectionProbes::OnSuccess(const std::string& address) {
  const std::lock_guard lock(mutex_);
  const auto it = records_.find(address);
  if (it == records_.end()) return;
  it->second.problem.reset();
  it->second.unreachable_since.reset();
  ++it->second.successes;
}

std::optional<ConnectionProblem> ConnectionProbes::Problem(const std::string& address,
                                                           Duration limit) {
  std::unique_lock lock(mutex_);
  const auto it = records_.find(address);
  if (it == records_.end()) return std::nullopt;
  wake_.wait_for(lock, limit, [&] { return !it->second.probing; });
  return it->second.problem;
}

std::optional<Clock::time_point> ConnectionProbes::UnreachableSince(const std::string& address) {
  const std::lock_guard lock(mutex_);
  const auto it = records_.find(address);
  return it == records_.end() ? std::nullopt : it->second.unreachable_since;
}

void ConnectionProbes::Run(const std::stop_token& stop) {
  // OpenSSL's writes can raise SIGPIPE, and the program's signals are for its own threads.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  std::unique_lock lock(mutex_);
  while (wake_.wait(lock, stop, [this] { return !queue_.empty(); })) {
    const auto [address, dialled] = std::move(queue_.front());
    queue_.pop_front();
    const uint64_t successes = records_[address].successes;
    lock.unlock();
    ConnectionProblem problem = ProbeConnection(address, dialled, *access_, stop);
    lock.lock();
    Record& record = records_[address];
    if (record.successes == successes) {
      Found(record, std::move(problem));
    } else {
      record.probing = false;
    }
    wake_.notify_all();
  }
}

}  // namespace dqueue::client
