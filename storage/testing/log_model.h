// What a log should hold: the naive version, in memory, for tests to compare with.
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

  // As the contract says an Open() reports it.
  friend bool operator==(const ModelState& a, const ModelState& b);
};
std::string Describe(const ModelState& state);

// The state after each record of each write, in order: a crash may leave any of them that is not
// older than what was acknowledged.
class LogModel {
 public:
  LogModel() : states_(1) {}
  // Before anything is written: what Format() makes.
  LogModel(const raft::HardState& hard_state, const std::vector<raft::Entry>& entries);

  void Add(const LogWrite& write);
  const ModelState& now() const { return states_.back(); }
  size_t position() const { return states_.size() - 1; }
  // The newest position not before `acknowledged` at which the state is `state`; -1 if none.
  ptrdiff_t Find(const ModelState& state, size_t acknowledged) const;
  // Goes back to that position: the rest was lost.
  void Rewind(size_t position) { states_.resize(position + 1); }

 private:
  ModelState& Push();
  std::vector<ModelState> states_;
};

// What an opened log holds: RecoveredLog's marks, and the entries read back one by one.
ModelState StateOf(const RecoveredLog& recovered, const Log& log);

// Legal writes, at random: appends small and large, overwritten tails, votes, snapshots,
// compactions, resets.
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
