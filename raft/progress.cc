#include "raft/progress.h"

#include <algorithm>

#include "base/check.h"

namespace dqueue::raft {

void Window::Add(Index last, uint64_t entries, uint64_t bytes) {
  DQ_CHECK(entries > 0);
  DQ_CHECK(sent_.empty() || last > sent_.back().last);
  sent_.push_back({last, entries, bytes});
  entries_ += entries;
  bytes_ += bytes;
}

void Window::FreeTo(Index match) {
  while (!sent_.empty() && sent_.front().last <= match) {
    entries_ -= sent_.front().entries;
    bytes_ -= sent_.front().bytes;
    sent_.pop_front();
  }
  DQ_CHECK(!sent_.empty() || (entries_ == 0 && bytes_ == 0));
}

void Window::Clear() {
  sent_.clear();
  entries_ = 0;
  bytes_ = 0;
}

Progress::Progress(NodeId id, bool is_voter, Index next, Time now)
    : voter(is_voter), last_contact(now), id_(id), next_(next), last_progress_(now) {
  DQ_CHECK(id != NodeId());
  DQ_CHECK(next > Index());
}

Progress::Allowance Progress::Room(const Options& options) const {
  switch (state_) {
    case State::kProbe:
      if (probe_sent_ || probe_resent_) return {};
      return {options.max_append_entries, options.max_append_bytes};
    case State::kReplicate: {
      if (in_flight_.entries() >= options.window_entries) return {};
      if (in_flight_.bytes() >= options.window_bytes) return {};
      return {std::min(options.max_append_entries, options.window_entries - in_flight_.entries()),
              std::min(options.max_append_bytes, options.window_bytes - in_flight_.bytes())};
    }
    case State::kSnapshot:
      return {};
  }
  return {};
}

bool Progress::WantsAppend(Index last_index, const Options& options) const {
  if (state_ == State::kProbe) return !probe_sent_;
  return next_ <= last_index && Room(options).entries > 0;
}

void Progress::AppendSent(uint64_t entries, uint64_t bytes, Time now) {
  DQ_CHECK(state_ != State::kSnapshot);
  if (state_ == State::kProbe) {
    DQ_CHECK(!probe_sent_);
    probe_sent_ = true;
    return;
  }
  DQ_CHECK(entries > 0);
  if (in_flight_.empty()) last_progress_ = now;
  next_ = next_ + entries;
  in_flight_.Add(next_.Prev(), entries, bytes);
}

bool Progress::Acknowledged(Index match, Time now) {
  const bool advanced = match > match_;
  if (advanced) {
    match_ = match;
    last_progress_ = now;
  }
  next_ = std::max(next_, match_.Next());
  switch (state_) {
    case State::kProbe:
      // A response to an older append acknowledges less than the probe asked for.
      if (match_.Next() >= next_) BecomeReplicate();
      break;
    case State::kReplicate:
      in_flight_.FreeTo(match_);
      break;
    case State::kSnapshot:
      // Appends that were in flight arrived, so the snapshot is not needed.
      if (match_ >= snapshot.meta.index) SnapshotDone(match_);
      break;
  }
  DQ_CHECK(match_ < next_);
  return advanced;
}

bool Progress::Rejected(Index rejected_prev, Index hint) {
  // Matched entries cannot be rejected. Either the response is late (etcd 16ba77767), or the member
  // lost acknowledged entries. Sending another append at once would loop.
  if (rejected_prev <= match_) return false;
  switch (state_) {
    case State::kReplicate:
      BecomeProbe(match_.Next());
      return true;
    case State::kProbe:
      if (rejected_prev != next_.Prev()) return false;
      // A hint below match is from a duplicate; match never decreases.
      BecomeProbe(std::max(std::min(rejected_prev, hint.Next()), match_.Next()));
      return true;
    case State::kSnapshot:
      return false;
  }
  return false;
}

void Progress::OnHeartbeatResponse(Time now, Duration patience) {
  if (state_ == State::kProbe) {
    // The resent probe is empty: the first one may only be waiting for a slow disk.
    probe_resent_ |= probe_sent_;
    probe_sent_ = false;
  } else if (state_ == State::kReplicate && !in_flight_.empty() &&
             now - last_progress_ > patience) {
    // The appends are lost, or a slow disk holds them. Probe at the end of what was sent: success
    // continues from there, and a rejection gives the place to resend from. A slow disk thus never
    // gets entries twice.
    BecomeProbe(next_);
  }
}

void Progress::Unreachable() {
  if (state_ == State::kReplicate) BecomeProbe(match_.Next());
}

void Progress::BecomeSnapshot(const SnapshotMeta& meta) {
  DQ_CHECK(meta.index > match_);
  in_flight_.Clear();
  state_ = State::kSnapshot;
  snapshot = {.meta = meta, .cursor = {}, .due = true, .sent = {}, .wanted = {}, .resends = 0};
}

void Progress::SnapshotDone(Index index) {
  DQ_CHECK(state_ == State::kSnapshot);
  match_ = std::max(match_, index);
  snapshot = {};
  BecomeProbe(match_.Next());
}

void Progress::BecomeProbe(Index next) {
  DQ_CHECK(next > match_);
  state_ = State::kProbe;
  next_ = next;
  probe_sent_ = false;
  probe_resent_ = false;
  in_flight_.Clear();
}

void Progress::BecomeReplicate() {
  state_ = State::kReplicate;
  next_ = match_.Next();
  in_flight_.Clear();
}

const char* ProgressStateName(Progress::State state) {
  switch (state) {
    case Progress::State::kProbe:
      return "probe";
    case Progress::State::kReplicate:
      return "replicate";
    case Progress::State::kSnapshot:
      return "snapshot";
  }
  return "?";
}

}  // namespace dqueue::raft
