// A simple model of the log in memory. Tests compare the real log with it.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "raft/types.h"
#include "storage/log/log.h"

namespace dqueue::storage {

struct ModelState {
  raft::HardState hard_state;
  raft::Index compacted;
  raft::Term compacted_term;
  raft::SnapshotMeta snapshot;
  raft::Index last;
  std::map<raft::Index, raft::Entry> entries;  // those after `compacted`

  // Compares as Open() reports a log: commit is clamped between the snapshot and the last entry.
  friend bool operator==(const ModelState& a, const ModelState& b);
};
std::string Describe(const ModelState& state);

// The state after each record of each write, in order. A crash may leave any of them that is not
// older than the last acknowledged one.
class LogModel {
 public:
  LogModel() : states_(1) {}
  // The state that Format() creates.
  LogModel(const raft::HardState& hard_state, const std::vector<raft::Entry>& entries);

  void Add(const LogWrite& write);
  const ModelState& now() const { return states_.back(); }
  size_t position() const { return states_.size() - 1; }
  // The newest position >= `acknowledged` whose state equals `state`; -1 if none.
  ptrdiff_t Find(const ModelState& state, size_t acknowledged) const;
  // Drops the states after `position`.
  void Rewind(size_t position) { states_.resize(position + 1); }

 private:
  ModelState& Push();
  std::vector<ModelState> states_;
};

// The content of an open log: the marks of RecoveredLog, and all entries read back.
ModelState StateOf(const RecoveredLog& recovered, const Log& log);

// Generates random legal writes: small and large appends, overwritten tails, votes, snapshots,
// compactions and resets.
class RandomWrites {
 public:
  RandomWrites(uint64_t seed, size_t max_payload) : rng_(seed), max_payload_(max_payload) {}
  LogWrite Next(const ModelState& now);

 private:
  uint64_t Below(uint64_t n) { return rng_() % n; }
  std::mt19937_64 rng_;
  const size_t max_payload_;
};

raft::Entry MakeEntry(uint64_t index, uint64_t term, std::string payload,
                      raft::EntryKind kind = raft::EntryKind::kCommand);

}  // namespace dqueue::storage
