// Calls that wait for a turn of the loop, with a fair share for every kind of call and every
// caller.
//
// Kinds are in queue/broker/calls.h: leases, mutations, reads, listings. A caller is Call::caller.
//
// Order. While at most kFairFrom calls wait, with at most 1/16 of InboxLimits::bytes, Take() hands
// all of them out in the order of arrival. Beyond that it hands out the calls with the lowest start
// tags (start-time fair queueing, Goyal et al. 1996): first between the kinds, with the weights 8 :
// 4 : 2 : 1, then between the callers of the kind, with equal weights, and for one caller and kind
// in the order of arrival. The unit is CostOf(), so a caller of large calls gets as much of the
// loop's time as a caller of small ones. So a kind that waits gets at least its weight of the
// loop's time for calls, whatever else waits: listings never starve leases, completions and
// heartbeats.
//
// Refusals, in this order, OVERLOADED with RetryInfo and metadata "cause", "kind", "limit":
//   full          the kind has its limit of waiting calls: of InboxLimits::calls, leases may use
//                 all, mutations 1/2, reads 1/4, listings 1/8. The last eighth is for leases alone
//   bytes         the same for the memory of the waiting calls and InboxLimits::bytes. One call of
//                 each kind always fits
//   caller_share  half of a limit of the kind is used, and this caller uses as much as an equal
//                 share for every waiting caller and one more
//   delay         a call of this caller and kind has waited for kDelayMax: another one would come
//                 too late. Not for leases
// Nothing is refused while at most kFairFrom calls wait (or InboxLimits::calls, if that is less)
// with at most 1/16 of InboxLimits::bytes.
//
// Drops. Take() hands out calls whose deadline has passed, and calls whose caller is gone, apart
// from the others: no work is to be done for them.
//
// Time is that of Take() and SetTime(), the loop's. Costs O(log n) for n callers; O(1) without a
// backlog. Not thread-safe: Inbox has the lock.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "queue/api/error.h"
#include "queue/broker/calls.h"
#include "raft/types.h"

namespace dqueue::node {

// Of all waiting calls together.
struct InboxLimits {
  size_t calls = 200000;             // at least 1
  size_t bytes = size_t{256} << 20;  // of memory, estimated
};

class FairInbox {
 public:
  static constexpr size_t kFairFrom = 256;
  static constexpr std::chrono::milliseconds kDelayMax{1000};
  // Of the limits of all calls, by kind.
  static constexpr std::array<size_t, queue::kCallKinds> kLimitDivisors = {1, 2, 4, 8};

  // nullopt: the call was taken over. Else the error to answer it with; `call` is unchanged.
  // bytes: MemoryOf(call).
  std::optional<queue::Error> Add(queue::AnyCall& call, size_t bytes, const InboxLimits& limits);

  struct Taken {
    std::vector<queue::AnyCall> calls;  // in the order in which to serve them
    std::vector<queue::AnyCall> late;   // to be answered DEADLINE_PASSED
  };
  // The next calls: all, if at most kFairFrom wait; else as many as cost `cost` together, at least
  // one. now: must not decrease.
  Taken Take(Time now, int64_t cost);
  // A turn that takes no calls begins. now: must not decrease.
  void SetTime(Time now);

  size_t size() const { return arrived_.size() + sorted_; }
  bool empty() const { return size() == 0; }
  // Memory of the waiting calls.
  size_t bytes() const { return bytes_; }

 private:
  struct Waiting {
    queue::AnyCall call;
    size_t bytes = 0;
    std::optional<Time> since;  // of the turn before it arrived
  };
  // The calls of one caller and kind. Its tag is that of its first call.
  struct CallerQueue {
    std::string caller;
    std::deque<Waiting> calls;
    size_t bytes = 0;
  };
  // A tag, and a number that makes it unique: of equal tags the caller that came first is first.
  using Tag = std::pair<uint64_t, uint64_t>;
  struct KindQueue {
    uint64_t tag = 0;  // where the kind's next call starts, in virtual time between the kinds
    uint64_t virtual_now = 0;  // the start of its last call, in virtual time between its callers
    std::map<Tag, CallerQueue> waiting;
    std::map<std::string, Tag> tag_of;  // of callers with waiting calls
    // Callers without waiting calls whose last call ends later than virtual_now.
    std::map<std::string, uint64_t> ended;
    size_t ended_max = 0;  // beyond, those that have caught up are forgotten
    size_t size = 0;
    size_t bytes = 0;
  };

  KindQueue& KindOf(const queue::AnyCall& call) {
    return kinds_[static_cast<size_t>(queue::KindOf(call))];
  }
  std::optional<queue::Error> Refuse(const queue::AnyCall& call, size_t bytes,
                                     const InboxLimits& limits) const;
  // Moves the calls that arrived into the queues of their callers.
  void Sort();
  // The next call in fair order. Requires that one is sorted.
  Waiting Next(int64_t* cost);
  void HandOut(Time now, Waiting waiting, Taken* taken);
  // Forgets callers whose last call no other caller has to make up for.
  void ForgetEnded();

  std::vector<Waiting> arrived_;  // in the order of arrival; not counted in kinds_
  std::array<KindQueue, queue::kCallKinds> kinds_;
  size_t sorted_ = 0;         // calls in kinds_
  size_t bytes_ = 0;          // of all calls
  uint64_t virtual_now_ = 0;  // the start of the last call, in virtual time between the kinds
  uint64_t next_number_ = 0;
  std::optional<Time> now_;  // of the last Take() or SetTime()
};

// The estimated time of the call on the loop, in microseconds: at least 1.
int64_t CostOf(const queue::AnyCall& call);

// The estimated memory of the call's request, in bytes. Takes time proportional to its size.
size_t MemoryOf(const queue::AnyCall& call);

}  // namespace dqueue::node
