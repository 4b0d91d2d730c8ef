#include "raft/durability.h"

#include <algorithm>

#include "base/check.h"

namespace dqueue::raft {

Durability::Durability(const HardState& hard_state, Index last_index)
    : index_(last_index), hard_state_(hard_state) {}

Token Durability::Submit(Index log_end, const std::optional<HardState>& hard_state, Time now) {
  // Holds because Clamp() lowers index_ and log_end when the log becomes shorter.
  DQ_CHECK(log_end >= index_);
  DQ_CHECK(pending_.empty() || log_end >= pending_.back().log_end);
  last_token_ = last_token_.Next();
  pending_.push_back(
      {.token = last_token_, .log_end = log_end, .hard_state = hard_state, .submitted = now});
  return last_token_;
}

void Durability::Clamp(Index keep) {
  index_ = std::min(index_, keep);
  for (Pending& pending : pending_) pending.log_end = std::min(pending.log_end, keep);
}

void Durability::Complete(Token token) {
  DQ_CHECK_MSG(token <= last_token_, "persisted a token that was never handed out");
  while (!pending_.empty() && pending_.front().token <= token) {
    const Pending& done = pending_.front();
    DQ_CHECK(done.log_end >= index_);
    index_ = done.log_end;
    if (done.hard_state) {
      DQ_CHECK(done.hard_state->term >= hard_state_.term);
      hard_state_ = *done.hard_state;
    }
    pending_.pop_front();
  }
}

std::optional<Time> Durability::oldest() const {
  if (pending_.empty()) return std::nullopt;
  return pending_.front().submitted;
}

}  // namespace dqueue::raft
