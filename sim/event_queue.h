// Virtual time and a heap of scheduled events. Events are ordered by time; events of the same time
// are ordered by scheduling.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

#include "base/check.h"
#include "raft/types.h"

namespace dqueue::sim {

class EventQueue {
 public:
  enum class Kind : uint8_t { kActor, kPacket, kClosure };
  struct Event {
    Time at;
    uint64_t seq = 0;
    Kind kind = Kind::kClosure;
    uint32_t actor = 0;  // kActor: number of the actor
    uint64_t id = 0;     // kActor: generation; kPacket, kClosure: slot
  };

  Time now() const { return now_; }
  bool empty() const { return heap_.empty(); }
  Time next_time() const { return heap_.top().at; }

  void Add(Time at, Kind kind, uint32_t actor, uint64_t id) {
    DQ_CHECK(at >= now_);
    heap_.push({at, ++seq_, kind, actor, id});
  }
  void AddClosure(Time at, std::function<void()> closure) {
    uint64_t slot = closures_.size();
    if (free_.empty()) {
      closures_.push_back(std::move(closure));
    } else {
      slot = free_.back();
      free_.pop_back();
      closures_[slot] = std::move(closure);
    }
    Add(at, Kind::kClosure, 0, slot);
  }
  // Removes the first event and advances the time to it.
  Event Pop() {
    Event event = heap_.top();
    heap_.pop();
    DQ_CHECK(event.at >= now_);
    now_ = event.at;
    return event;
  }
  std::function<void()> TakeClosure(uint64_t slot) {
    free_.push_back(slot);
    return std::exchange(closures_[slot], nullptr);
  }
  // Requires that no event is scheduled before `at`.
  void AdvanceTo(Time at) {
    DQ_CHECK(at >= now_ && (heap_.empty() || heap_.top().at >= at));
    now_ = at;
  }

 private:
  struct Later {
    bool operator()(const Event& a, const Event& b) const {
      return a.at != b.at ? a.at > b.at : a.seq > b.seq;
    }
  };
  Time now_{};
  uint64_t seq_ = 0;
  std::priority_queue<Event, std::vector<Event>, Later> heap_;
  std::vector<std::function<void()>> closures_;
  std::vector<uint64_t> free_;
};

}  // namespace dqueue::sim
