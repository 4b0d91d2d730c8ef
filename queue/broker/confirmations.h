// Confirmation rounds, and what waits for them. A round proves that this node still leads: leases
// are granted, reads answered, and calls refused from the leader's own knowledge only after a round
// that began after the request arrived.
//
// Waiting calls are collected until the next round begins. Lease calls and reads are kept by
// number, because their deadline may end them before the round ends. WorkParts are owned here.
// End() returns each waiting call of a round once. Used on the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "queue/broker/decided_parts.h"
#include "queue/broker/work.h"

namespace dqueue::queue {

class Confirmations {
 public:
  struct Round {
    std::vector<uint64_t> lease_calls;
    std::vector<uint64_t> reads;
    std::vector<WorkPart> parts;
    bool empty() const { return lease_calls.empty() && reads.empty() && parts.empty(); }
  };

  explicit Confirmations(uint64_t first_round) : next_round_(first_round) {}

  void AddLeaseCall(uint64_t number) { gathered_.lease_calls.push_back(number); }
  void AddRead(uint64_t number) { gathered_.reads.push_back(number); }
  void AddPart(WorkPart part);

  // True if something waits that no running round can confirm.
  bool Wanted() const { return !gathered_.empty(); }
  // Begins a round for all that is gathered; its id.
  uint64_t Begin();
  // Ends the round; nullopt if it was one of an earlier leadership.
  std::optional<Round> End(uint64_t id);
  // Ends all rounds because the leadership is over: their parts fail, the calls are forgotten.
  void FailAll(Work::Failure failure, DecidedParts* decided);

  // Takes the gathered lease calls out, unconfirmed. For a deliberate bug only.
  std::vector<uint64_t> TakeLeaseCalls() { return std::exchange(gathered_.lease_calls, {}); }

  size_t waiting_parts() const { return waiting_parts_; }
  bool idle() const { return gathered_.empty() && rounds_.empty(); }

 private:
  Round gathered_;
  std::map<uint64_t, Round> rounds_;
  uint64_t next_round_;
  size_t waiting_parts_ = 0;
};

}  // namespace dqueue::queue
