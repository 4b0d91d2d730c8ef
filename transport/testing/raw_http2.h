// For tests: raw HTTP/2, which can break every rule. A thread reads and counts the frames from the
// server.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "transport/testing/raw_http1.h"

namespace dqueue::transport {

enum class Frame : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRstStream = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};
constexpr uint8_t kEndStream = 1;  // also: Ack
constexpr uint8_t kEndHeaders = 4;
constexpr char kHttp2Preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline std::string FrameOf(Frame type, uint8_t flags, uint32_t stream, const std::string& payload) {
  std::string out;
  const auto byte = [&out](uint32_t value) { out += static_cast<char>(value & 255); };
  for (const int shift : {16, 8, 0}) byte(static_cast<uint32_t>(payload.size()) >> shift);
  byte(static_cast<uint32_t>(type));
  byte(flags);
  for (const int shift : {24, 16, 8, 0}) byte(stream >> shift);
  return out + payload;
}

// The length of an uncompressed HPACK string, RFC 7541 section 5.1.
inline std::string HpackLength(uint64_t value) {
  std::string out;
  if (value < 127) return std::string(1, static_cast<char>(value));
  out += static_cast<char>(127);
  for (value -= 127; value >= 128; value /= 128) out += static_cast<char>(value % 128 + 128);
  out += static_cast<char>(value);
  return out;
}
// A header field; `indexed`: it is put into the table.
inline std::string HpackField(const std::string& name, const std::string& value,
                              bool indexed = false) {
  return (indexed ? "\x40" : std::string(1, '\0')) + HpackLength(name.size()) + name +
         HpackLength(value.size()) + value;
}

using Fields = std::vector<std::pair<std::string, std::string>>;

// The header of a gRPC call, and `more`.
inline std::string CallHeader(const std::string& path, const Fields& more = {}) {
  std::string block;
  for (const auto& [name, value] : Fields{{":method", "POST"},
                                          {":scheme", "http"},
                                          {":path", path},
                                          {":authority", "localhost"},
                                          {"content-type", "application/grpc"}}) {
    block += HpackField(name, value);
  }
  const bool te =
      std::any_of(more.begin(), more.end(), [](const auto& f) { return f.first == "te"; });
  if (!te) block += HpackField("te", "trailers");
  for (const auto& [name, value] : more) block += HpackField(name, value);
  return block;
}

class RawHttp2 {
 public:
  // `preface` false: the test sends the preface itself.
  explicit RawHttp2(int port, bool preface = true) : client_(port) {
    reader_ = std::thread([this] { Read(); });
    if (preface) Send(kHttp2Preface + FrameOf(Frame::kSettings, 0, 0, ""));
  }
  ~RawHttp2() {
    shutdown(client_.fd(), SHUT_RDWR);
    reader_.join();
  }

  void Send(const std::string& bytes) { client_.Send(bytes); }
  void EndSending() { client_.EndSending(); }
  // Ends the connection and every waiting Send().
  void Abort() { shutdown(client_.fd(), SHUT_RDWR); }
  // Stops reading, so that the server must keep its frames.
  void StopReading() {
    const std::lock_guard lock(mutex_);
    paused_ = true;
  }
  // A complete call with an empty request.
  void SendCall(uint32_t stream, const std::string& path, const Fields& more = {}) {
    Send(FrameOf(Frame::kHeaders, kEndHeaders, stream, CallHeader(path, more)) +
         FrameOf(Frame::kData, kEndStream, stream, std::string(5, '\0')));
  }

  size_t count(Frame type) {
    const std::lock_guard lock(mutex_);
    return count_[static_cast<size_t>(type)];
  }
  // The content of GOAWAY, with its code; "": none came.
  std::string goaway() {
    const std::lock_guard lock(mutex_);
    return goaway_;
  }
  bool ended() {
    const std::lock_guard lock(mutex_);
    return ended_;
  }
  template <class Predicate>
  bool WaitFor(Predicate done, std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!done()) {
      if (std::chrono::steady_clock::now() >= end) return false;
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, std::chrono::milliseconds(10));
    }
    return true;
  }
  // Waits until a stream has ended, with any result.
  bool WaitForEnd(uint32_t stream) {
    return WaitFor([&] {
      const std::lock_guard lock(mutex_);
      return ended_ || answered_.contains(stream);
    });
  }
  bool answered(uint32_t stream) {
    const std::lock_guard lock(mutex_);
    return answered_.contains(stream);
  }

 private:
  void Read() {
    std::string bytes;
    std::array<char, 65536> buffer;
    while (true) {
      {
        std::unique_lock lock(mutex_);
        if (paused_) return;
      }
      const ssize_t n = recv(client_.fd(), buffer.data(), buffer.size(), 0);
      if (n <= 0) break;
      bytes.append(buffer.data(), static_cast<size_t>(n));
      size_t at = 0;
      const std::lock_guard lock(mutex_);
      while (bytes.size() >= at + 9) {
        const auto u = [&](size_t i) { return static_cast<uint8_t>(bytes[at + i]); };
        const size_t length = size_t{u(0)} << 16 | size_t{u(1)} << 8 | u(2);
        if (bytes.size() < at + 9 + length) break;
        const uint32_t stream = uint32_t{u(5)} << 24 | u(6) << 16 | u(7) << 8 | u(8);
        if (u(3) < count_.size()) ++count_[u(3)];
        const Frame type = static_cast<Frame>(u(3));
        if (type == Frame::kGoAway) goaway_ += bytes.substr(at + 9, length);
        if (type == Frame::kRstStream || (type == Frame::kHeaders && (u(4) & kEndStream) != 0)) {
          answered_[stream] = true;
        }
        at += 9 + length;
      }
      bytes.erase(0, at);
      changed_.notify_all();
    }
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

  RawClient client_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::array<size_t, 10> count_{};
  std::map<uint32_t, bool> answered_;
  std::string goaway_;
  bool paused_ = false;
  bool ended_ = false;
  std::thread reader_;
};

}  // namespace dqueue::transport
