#include "transport/calls/work_pool.h"

#include <algorithm>
#include <utility>

namespace dqueue::transport {
namespace {

WorkPool::Limits WithDefaults(WorkPool::Limits limits) {
  int& large = limits.threads[static_cast<size_t>(WorkPool::Lane::kLarge)];
  if (large == 0) large = std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / 2);
  return limits;
}

}  // namespace

WorkPool::WorkPool(const Limits& limits) : limits_(WithDefaults(limits)) {}

WorkPool::~WorkPool() { Stop(); }

bool WorkPool::TryPost(Lane lane, size_t bytes, Work work) {
  const std::lock_guard lock(mutex_);
  Queue& queue = QueueOf(lane);
  // A piece alone is taken whatever its size: callers have a limit for one.
  const bool full = queue.pieces >= limits_.pieces_max ||
                    (queue.pieces > 0 && queue.bytes + bytes > limits_.bytes_max);
  if (stopped_ || full) {
    ++refused_;
    return false;
  }
  Add(lane, {bytes, true, std::move(work)});
  return true;
}

void WorkPool::Post(Lane lane, size_t bytes, Work work) {
  {
    const std::lock_guard lock(mutex_);
    if (!stopped_) return Add(lane, {bytes, false, std::move(work)});
  }
  work();
}

void WorkPool::Add(Lane lane, Piece piece) {
  Queue& queue = QueueOf(lane);
  ++queue.pieces;
  queue.bytes += piece.bytes;
  queue.waiting.push_back(std::move(piece));
  const size_t threads_max = static_cast<size_t>(limits_.threads[static_cast<size_t>(lane)]);
  if (queue.idle < queue.waiting.size() && queue.threads.size() < threads_max) {
    queue.threads.emplace_back([this, &queue] { Run(&queue); });
  } else {
    queue.wake.notify_one();
  }
}

void WorkPool::Run(Queue* queue) {
  std::unique_lock lock(mutex_);
  while (true) {
    ++queue->idle;
    queue->wake.wait(lock, [&] { return stopped_ || !queue->waiting.empty(); });
    --queue->idle;
    if (queue->waiting.empty()) return;
    Piece piece = std::move(queue->waiting.front());
    queue->waiting.pop_front();
    lock.unlock();
    piece.work();
    piece.work = nullptr;
    lock.lock();
    --queue->pieces;
    queue->bytes -= piece.bytes;
  }
}

void WorkPool::Stop() {
  std::vector<std::thread> threads;
  std::vector<Piece> dropped;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    for (Queue& queue : queues_) {
      std::deque<Piece> answers;
      for (Piece& piece : queue.waiting) {
        if (!piece.request) {
          answers.push_back(std::move(piece));
          continue;
        }
        --queue.pieces;
        queue.bytes -= piece.bytes;
        dropped.push_back(std::move(piece));
      }
      queue.waiting.swap(answers);
      for (std::thread& thread : queue.threads) threads.push_back(std::move(thread));
      queue.threads.clear();
      queue.wake.notify_all();
    }
  }
  dropped.clear();
  for (std::thread& thread : threads) thread.join();
}

WorkPool::Counts WorkPool::counts() const {
  const std::lock_guard lock(mutex_);
  Counts counts;
  for (size_t i = 0; i < kLanes; ++i) {
    counts.pieces[i] = queues_[i].pieces;
    counts.bytes[i] = queues_[i].bytes;
  }
  counts.refused = refused_;
  return counts;
}

}  // namespace dqueue::transport
