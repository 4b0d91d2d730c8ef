// Ends connections that attack gRPC 1.51 through HTTP/2, before gRPC sees the bytes
// (docs/security.md has the measurements): endless headers, which gRPC keeps in memory and parses
// again and again; calls that are reset at once, in large numbers; floods of control frames. The
// limits are far above what clients do.
//
// gRPC reads its sockets itself, so this file replaces recvmsg() for the process: it calls the C
// library's and then inspects the frame headers, nine bytes each. Other sockets are not inspected,
// and neither are connections that do not begin as HTTP/2 does. With TLS, only a client with a
// session gets as far as gRPC.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dqueue::transport {

// The limits of one connection, from its first byte.
class Http2Guard {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr size_t kHeaderBytesMax = 64 << 10;  // HEADERS and its CONTINUATIONs
  static constexpr int kContinuationsMax = 64;
  // Burst, and rate per second after it.
  // Calls past their deadline are reset, too, and a follower forwards calls of many clients.
  static constexpr double kResetsMax = 10'000;
  static constexpr double kResetsPerSecond = 2'000;
  // Before the whole request was sent: rare.
  static constexpr double kHastyResetsMax = 1'000;
  static constexpr double kHastyResetsPerSecond = 100;
  // Requests begun, neither completely sent nor reset. gRPC limits calls only for clients that have
  // acknowledged its settings, and incomplete requests never end.
  static constexpr uint64_t kUnendedMax = 10'000;
  static constexpr double kIdleFramesMax = 1'000;
  static constexpr double kIdleFramesPerSecond = 100;

  // Takes the next bytes from the client. Returns null, or the reason to end the connection (from
  // then on always).
  const char* Look(std::string_view bytes, Time now);

 private:
  // A token bucket.
  struct Bucket {
    double left;
    Time filled{};
    bool Take(double most, double per_second, Time now);
  };

  void TakePreface(std::string_view* bytes);
  const char* OnFrame(Time now);
  bool TakeReset(Time now);

  bool off_ = false;  // not HTTP/2
  size_t preface_ = 0;
  std::array<unsigned char, 9> head_{};
  size_t head_bytes_ = 0;
  size_t payload_left_ = 0;
  size_t header_bytes_ = 0;
  int continuations_ = 0;
  uint64_t unended_ = 0;
  Bucket resets_{kResetsMax};
  Bucket hasty_resets_{kHastyResetsMax};
  Bucket idle_frames_{kIdleFramesMax};
  const char* abuse_ = nullptr;
};

// False in builds with a sanitizer, which replaces recvmsg() itself.
#ifdef DQUEUE_NO_HTTP2_GUARD
inline constexpr bool kConnectionsAreGuarded = false;
#else
inline constexpr bool kConnectionsAreGuarded = true;
#endif

// Starts to guard the connection. Any thread, before gRPC gets the descriptor.
void GuardConnection(int fd);

}  // namespace dqueue::transport
