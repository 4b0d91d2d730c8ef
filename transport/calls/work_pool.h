// Threads for work whose time grows with what callers send or get: parsing requests, decoding and
// encoding answers. The node's loop and the HTTP server's thread hand such work over, so that
// neither is late for other callers.
//
// The pool has three lanes. Each lane has threads of its own, so no lane waits for another:
//   kWatch  metrics and events, for operators
//   kSmall  pieces of up to kSmallWorkBytes
//   kLarge  larger pieces
// A lane is first in, first out. A connection of the HTTP server has at most one piece in the pool,
// so a connection waits for one piece of each other connection, not for all their requests.
//
// A lane is bounded in pieces and bytes. Requests beyond a bound are refused; the caller answers
// OVERLOADED. Answers are always taken, because their calls have had their effect. They count, so
// requests are refused until the answers are written.
//
// Thread-safe. A lane starts its threads when it has work for them.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace dqueue::transport {

// A larger piece is for the lane kLarge. Parsing this much JSON takes about a millisecond.
inline constexpr size_t kSmallWorkBytes = 64 << 10;

class WorkPool {
 public:
  enum class Lane { kWatch, kSmall, kLarge };
  static constexpr size_t kLanes = 3;

  struct Limits {
    // Threads of a lane, in the order of Lane. The default of kLarge is half the processors.
    std::array<int, kLanes> threads = {1, 2, 0};
    // Pieces and bytes of one lane that wait or run; answers may exceed both.
    size_t pieces_max = 1024;
    size_t bytes_max = 64 << 20;
  };
  struct Counts {
    std::array<uint64_t, kLanes> pieces{};  // that wait or run
    std::array<uint64_t, kLanes> bytes{};   // of them
    uint64_t refused = 0;                   // requests, since the start
  };

  using Work = std::function<void()>;

  WorkPool() : WorkPool(Limits()) {}
  explicit WorkPool(const Limits& limits);
  ~WorkPool();  // Stop()
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  static Lane LaneOf(size_t bytes) {
    return bytes <= kSmallWorkBytes ? Lane::kSmall : Lane::kLarge;
  }

  // The work of a request. False: the lane is full, or the pool has stopped; `work` is not called.
  bool TryPost(Lane lane, size_t bytes, Work work);
  // The work of an answer. After Stop() it runs in this thread.
  void Post(Lane lane, size_t bytes, Work work);
  // Drops requests that wait, runs answers that wait, and ends the threads.
  void Stop();

  Counts counts() const;

 private:
  struct Piece {
    size_t bytes = 0;
    bool request = false;
    Work work;
  };
  struct Queue {
    std::deque<Piece> waiting;
    std::vector<std::thread> threads;
    size_t idle = 0;  // threads that wait for work
    size_t pieces = 0;
    size_t bytes = 0;
    std::condition_variable wake;
  };

  Queue& QueueOf(Lane lane) { return queues_[static_cast<size_t>(lane)]; }
  // Requires mutex_.
  void Add(Lane lane, Piece piece);
  void Run(Queue* queue);

  const Limits limits_;
  mutable std::mutex mutex_;
  bool stopped_ = false;
  uint64_t refused_ = 0;
  std::array<Queue, kLanes> queues_;
};

}  // namespace dqueue::transport
