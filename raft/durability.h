// What this node's own disk holds for certain: which log prefix, which hard state. Writes are
// asynchronous; each Output with something to write or to wait for is one token, and tokens
// complete in order.
#pragma once

#include <deque>
#include <optional>

#include "raft/types.h"

namespace dqueue::raft {

class Durability {
 public:
  // Everything that was recovered is durable.
  Durability(const HardState& hard_state, Index last_index);

  // A new token: when it completes, the log is durable up to `log_end` and the hard state is
  // `hard_state`, if one is written.
  Token Submit(Index log_end, const std::optional<HardState>& hard_state, Time now);
  // The log after `keep` was replaced by other entries: tokens that are still under way speak of
  // the old ones there, and count only up to `keep` (R2: an index may be acknowledged and mean an
  // entry that is gone; etcd calls this the ABA problem of asynchronous appends).
  void Clamp(Index keep);
  // Tokens up to `token` are complete. Repeated and late reports have no effect.
  void Complete(Token token);

  // Everything up to here in the present log is durable.
  Index index() const { return index_; }
  const HardState& hard_state() const { return hard_state_; }
  Token last_token() const { return last_token_; }
  // When the oldest incomplete token was submitted.
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
