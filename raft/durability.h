// Tracks what this node's disk holds: how much of the log, and which hard state. Writes are
// asynchronous. Each Output with writes or with messages that wait for them has one token; tokens
// complete in order.
#pragma once

#include <deque>
#include <optional>

#include "raft/types.h"

namespace dqueue::raft {

class Durability {
 public:
  // The recovered hard state and log are durable.
  Durability(const HardState& hard_state, Index last_index);

  // Returns a new token. When it completes, the log is durable up to `log_end`, and `hard_state`,
  // if set, is durable.
  Token Submit(Index log_end, const std::optional<HardState>& hard_state, Time now);
  // The entries after `keep` were replaced. Pending tokens cover the old entries, so they count
  // only up to `keep` (R2). Otherwise an index could be reported durable for an entry that is gone;
  // etcd calls this the ABA problem of asynchronous appends.
  void Clamp(Index keep);
  // All tokens up to `token` are complete. Repeated and late reports have no effect.
  void Complete(Token token);

  // The present log is durable up to this index.
  Index index() const { return index_; }
  const HardState& hard_state() const { return hard_state_; }
  Token last_token() const { return last_token_; }
  // The time at which the oldest incomplete token was submitted.
  std::optional<Time> oldest() const;

 private:
  struct Pending {
    Token token;
    Index log_end;
    std::optional<HardState> hard_state;
    Time submitted;
  };
  Index index_;
  HardState hard_state_;
  Token last_token_;
  std::deque<Pending> pending_;
};

}  // namespace dqueue::raft
