#include "transport/listeners/http2_guard.h"

#include <dlfcn.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <mutex>

#include "base/check.h"

namespace dqueue::transport {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// RFC 9113, section 6.
enum FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kRstStream = 3,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};
constexpr uint8_t kEndStreamOrAck = 1;
constexpr uint8_t kEndHeaders = 4;

}  // namespace

bool Http2Guard::Bucket::Take(double most, double per_second, Time now) {
  if (filled != Time()) {
    left = std::min(most, left + std::chrono::duration<double>(now - filled).count() * per_second);
  }
  filled = now;
  if (left < 1) return false;
  left -= 1;
  return true;
}

void Http2Guard::TakePreface(std::string_view* bytes) {
  const size_t n = std::min(bytes->size(), kPreface.size() - preface_);
  off_ = bytes->substr(0, n) != kPreface.substr(preface_, n);
  preface_ += n;
  bytes->remove_prefix(n);
}

const char* Http2Guard::Look(std::string_view bytes, Time now) {
  if (preface_ < kPreface.size() && !off_) TakePreface(&bytes);
  while (!off_ && abuse_ == nullptr && !bytes.empty()) {
    if (payload_left_ > 0) {
      const size_t n = std::min(payload_left_, bytes.size());
      payload_left_ -= n;
      bytes.remove_prefix(n);
      continue;
    }
    const size_t n = std::min(head_.size() - head_bytes_, bytes.size());
    std::copy_n(bytes.begin(), n, head_.begin() + head_bytes_);
    head_bytes_ += n;
    bytes.remove_prefix(n);
    if (head_bytes_ < head_.size()) break;
    head_bytes_ = 0;
    payload_left_ = size_t{head_[0]} << 16 | size_t{head_[1]} << 8 | head_[2];
    abuse_ = OnFrame(now);
  }
  return abuse_;
}

// Streams are not told apart: the sums are enough.
bool Http2Guard::TakeReset(Time now) {
  if (unended_ == 0) return resets_.Take(kResetsMax, kResetsPerSecond, now);
  --unended_;
  return hasty_resets_.Take(kHastyResetsMax, kHastyResetsPerSecond, now);
}

const char* Http2Guard::OnFrame(Time now) {
  const uint8_t flags = head_[4];
  switch (head_[3]) {
    case kHeaders:
      header_bytes_ = payload_left_;
      continuations_ = 0;
      if ((flags & kEndStreamOrAck) == 0) ++unended_;
      return unended_ <= kUnendedMax ? nullptr : "too many requests that are not sent whole";
    case kContinuation:
      header_bytes_ += payload_left_;
      if (header_bytes_ > kHeaderBytesMax || ++continuations_ > kContinuationsMax) {
        return "a header without an end";
      }
      return nullptr;
    case kRstStream:
      return TakeReset(now) ? nullptr : "too many calls made and reset";
    case kData:
      if ((flags & kEndStreamOrAck) != 0) {
        if (unended_ > 0) --unended_;
        return nullptr;
      }
      if (payload_left_ > 0) return nullptr;
      break;
    case kPing:
      // gRPC itself limits pings that want an answer.
      if ((flags & kEndStreamOrAck) == 0) return nullptr;
      break;
    case kGoAway:
    case kWindowUpdate:
      return nullptr;
    default:
      break;
  }
  return idle_frames_.Take(kIdleFramesMax, kIdleFramesPerSecond, now)
             ? nullptr
             : "too many frames that mean nothing";
}

#ifdef DQUEUE_NO_HTTP2_GUARD

void GuardConnection(int) {}

#else

namespace {

// Guards by descriptor. A slot outlives its connection, and its descriptor may be reused; the
// kernel's cookie of the socket tells sockets apart.
struct Slot {
  std::mutex mutex;
  bool active = false;
  uint64_t cookie = 0;
  Http2Guard guard;
};

constexpr int kDescriptorsMax = 1 << 17;
std::array<std::atomic<Slot*>, kDescriptorsMax> slots;
constexpr uint64_t kLogEvery = 1000;
std::atomic<uint64_t> ended{0};

uint64_t CookieOf(int fd) {
  uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

// Inspects the bytes of a recvmsg(). True: end the connection.
bool IsAbuse(int fd, const msghdr& message, size_t bytes) {
  if (fd < 0 || fd >= kDescriptorsMax) return false;
  Slot* const slot = slots[fd].load(std::memory_order_acquire);
  if (slot == nullptr) return false;
  const std::lock_guard lock(slot->mutex);
  if (!slot->active) return false;
  const auto now = std::chrono::steady_clock::now();
  const char* abuse = nullptr;
  for (size_t i = 0; i < message.msg_iovlen && bytes > 0 && abuse == nullptr; ++i) {
    const size_t n = std::min(bytes, message.msg_iov[i].iov_len);
    abuse = slot->guard.Look({static_cast<const char*>(message.msg_iov[i].iov_base), n}, now);
    bytes -= n;
  }
  if (abuse == nullptr) return false;
  slot->active = false;
  if (CookieOf(fd) != slot->cookie) return false;  // another socket by now
  const uint64_t count = ended.fetch_add(1) + 1;
  if (count % kLogEvery == 1) {
    spdlog::warn("ended a connection of a client: {} ({} such so far)", abuse, count);
  }
  return true;
}

}  // namespace

void GuardConnection(int fd) {
  if (fd < 0 || fd >= kDescriptorsMax) return;
  Slot* slot = slots[fd].load(std::memory_order_acquire);
  if (slot == nullptr) {
    // Never freed: another thread may be using it.
    auto* const fresh = new Slot;
    if (slots[fd].compare_exchange_strong(slot, fresh)) {
      slot = fresh;
    } else {
      delete fresh;
    }
  }
  const std::lock_guard lock(slot->mutex);
  slot->cookie = CookieOf(fd);
  slot->guard = Http2Guard();
  slot->active = slot->cookie != 0;
}

#endif

}  // namespace dqueue::transport

#ifndef DQUEUE_NO_HTTP2_GUARD

// Replaces the C library's recvmsg(), for every library of this process.
extern "C" ssize_t recvmsg(int fd, msghdr* message, int flags) {
  static const auto next =
      reinterpret_cast<ssize_t (*)(int, msghdr*, int)>(dlsym(RTLD_NEXT, "recvmsg"));
  DQ_CHECK(next != nullptr);
  const ssize_t n = next(fd, message, flags);
  if (n <= 0 || (flags & (MSG_PEEK | MSG_ERRQUEUE)) != 0) return n;
  if (!dqueue::transport::IsAbuse(fd, *message, static_cast<size_t>(n))) return n;
  shutdown(fd, SHUT_RDWR);
  errno = ECONNRESET;
  return -1;
}

#endif
