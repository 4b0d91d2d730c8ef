// What gRPC 1.51 lets one client do to a whole node, found out before gRPC sees it
// (docs/security.md has the measurements): a header without an end, which gRPC keeps in memory and
// looks through again and again; calls that are made only to be reset; floods of frames that mean
// nothing. A connection on which such a thing happens is ended. Bounds are far above what clients
// do.
//
// gRPC reads its sockets itself, so its recvmsg() is this folder's: the C library's, and then a
// look at the heads of the frames that came, nine bytes each. Other sockets are not looked at, nor
// are connections that do not begin as HTTP/2 does: with TLS, nobody without a session gets that
// far.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dqueue::transport {

// One connection, from its first byte.
class Http2Guard {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr size_t kHeaderBytesMax = 64 << 10;  // HEADERS and its CONTINUATIONs
  static constexpr int kContinuationsMax = 64;
  // How many at once, and how many a second after that.
  // Calls that run out of time are reset too, and a follower forwards those of many clients.
  static constexpr double kResetsMax = 10'000;
  static constexpr double kResetsPerSecond = 2'000;
  // Before the request was sent whole: hardly ever.
  static constexpr double kHastyResetsMax = 1'000;
  static constexpr double kHastyResetsPerSecond = 100;
  // Requests that are begun and neither sent whole nor given up. gRPC counts calls only for clients
  // that have acknowledged its settings, and such calls have no end.
  static constexpr uint64_t kUnendedMax = 10'000;
  static constexpr double kIdleFramesMax = 1'000;
  static constexpr double kIdleFramesPerSecond = 100;

  // The next bytes that the client has sent. Null, or what is wrong; then and after that the
  // connection should be ended.
  const char* Look(std::string_view bytes, Time now);

 private:
  // Fills with time, up to a limit.
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

// False in builds with a sanitizer, which has a recvmsg() of its own.
#ifdef DQUEUE_NO_HTTP2_GUARD
inline constexpr bool kConnectionsAreGuarded = false;
#else
inline constexpr bool kConnectionsAreGuarded = true;
#endif

// From any thread, before gRPC gets this connection.
void GuardConnection(int fd);

}  // namespace dqueue::transport
