#include "storage/testing/log_model.h"

#include <algorithm>

#include "base/check.h"

namespace dqueue::storage {
namespace {

bool SameEntry(const raft::Entry& a, const raft::Entry& b) {
  return a.index == b.index && a.term == b.term && a.kind == b.kind && *a.payload == *b.payload;
}

// The commit index is a hint; Open() clamps it between the snapshot and the last entry.
raft::Index Commit(const ModelState& s) {
  return std::clamp(s.hard_state.commit, s.snapshot.index, s.last);
}

}  // namespace

raft::Entry MakeEntry(uint64_t index, uint64_t term, std::string payload, raft::EntryKind kind) {
  return {raft::Index(index), raft::Term(term), kind,
          std::make_shared<const std::string>(std::move(payload))};
}

bool operator==(const ModelState& a, const ModelState& b) {
  return a.hard_state.term == b.hard_state.term && a.hard_state.vote == b.hard_state.vote &&
         Commit(a) == Commit(b) && a.compacted == b.compacted &&
         a.compacted_term == b.compacted_term && a.snapshot == b.snapshot && a.last == b.last &&
         a.entries.size() == b.entries.size() &&
         std::equal(a.entries.begin(), a.entries.end(), b.entries.begin(),
                    [](const auto& x, const auto& y) { return SameEntry(x.second, y.second); });
}

std::string Describe(const ModelState& s) {
  return "term " + std::to_string(s.hard_state.term.value()) + " vote " +
         std::to_string(s.hard_state.vote.value()) + " commit " +
         std::to_string(Commit(s).value()) + " compacted " + std::to_string(s.compacted.value()) +
         " snapshot " + std::to_string(s.snapshot.index.value()) + " last " +
         std::to_string(s.last.value()) + " entries " + std::to_string(s.entries.size());
}

LogModel::LogModel(const raft::HardState& hard_state, const std::vector<raft::Entry>& entries)
    : states_(1) {
  LogWrite write;
  write.hard_state = hard_state;
  write.entries = entries;
  Add(write);
  // Format() is atomic, so only its final state counts.
  states_.erase(states_.begin(), states_.end() - 1);
}

ModelState& LogModel::Push() {
  states_.push_back(states_.back());
  return states_.back();
}

void LogModel::Add(const LogWrite& write) {
  if (write.hard_state) Push().hard_state = *write.hard_state;
  if (write.snapshot && !write.reset) Push().snapshot = *write.snapshot;
  if (write.reset) {
    ModelState& s = Push();
    s.snapshot = *write.reset;
    s.compacted = s.last = write.reset->index;
    s.compacted_term = write.reset->term;
    s.entries.clear();
  }
  for (const raft::Entry& entry : write.entries) {
    ModelState& s = Push();
    s.entries.erase(s.entries.lower_bound(entry.index), s.entries.end());
    s.entries.emplace(entry.index, entry);
    s.last = entry.index;
  }
  if (write.compact_to && *write.compact_to > now().compacted) {
    ModelState& s = Push();
    s.compacted = *write.compact_to;
    s.compacted_term = s.entries.at(s.compacted).term;
    s.entries.erase(s.entries.begin(), s.entries.upper_bound(s.compacted));
  }
}

ptrdiff_t LogModel::Find(const ModelState& state, size_t acknowledged) const {
  DQ_CHECK(acknowledged < states_.size());
  for (size_t i = states_.size(); i-- > acknowledged;) {
    if (states_[i] == state) return static_cast<ptrdiff_t>(i);
  }
  return -1;
}

ModelState StateOf(const RecoveredLog& recovered, const Log& log) {
  const raft::Recovered& r = recovered.raft;
  ModelState s;
  s.hard_state = r.hard_state;
  s.compacted = r.compacted_index;
  s.compacted_term = r.compacted_term;
  s.snapshot = r.snapshot;
  s.last = r.last_index;
  size_t run = 0;
  size_t config = 0;
  for (raft::Index i = r.compacted_index.Next(); i <= r.last_index;) {
    for (raft::Entry& entry : log.ReadEntries(i, r.last_index, 10000)) {
      DQ_CHECK(entry.index == i);
      while (run + 1 < r.runs.size() && r.runs[run + 1].first <= i) ++run;
      DQ_CHECK_MSG(run < r.runs.size() && r.runs[run].first <= i && r.runs[run].term == entry.term,
                   "runs disagree with the entries");
      if (entry.kind == raft::EntryKind::kConfig) {
        DQ_CHECK(config < r.config_entries.size() && r.config_entries[config].index == i);
        DQ_CHECK(*r.config_entries[config].payload == *entry.payload);
        ++config;
      }
      s.entries.emplace(i, std::move(entry));
      i = i.Next();
    }
  }
  DQ_CHECK(config == r.config_entries.size());
  return s;
}

LogWrite RandomWrites::Next(const ModelState& now) {
  LogWrite write;
  raft::HardState hard_state = now.hard_state;
  const uint64_t kind = Below(100);
  if (kind < 25) {
    hard_state.term = hard_state.term + Below(3);
    if (hard_state.term > now.hard_state.term || hard_state.vote.value() == 0) {
      hard_state.vote = raft::NodeId(Below(4));
    }
    hard_state.commit =
        std::max(hard_state.commit, std::min(now.last, now.snapshot.index + Below(9)));
    write.hard_state = hard_state;
  }
  if (kind >= 92) {
    // A local snapshot, with or without compaction.
    if (!now.entries.empty()) {
      const raft::Index at =
          std::max(now.snapshot.index, now.entries.begin()->first + Below(now.entries.size()));
      if (at > now.snapshot.index) {
        write.snapshot = {at, now.entries.at(at).term, std::string(Below(3000), 'c')};
      }
      const raft::Index newest = write.snapshot ? at : now.snapshot.index;
      if (newest > now.compacted && Below(3) > 0) {
        write.compact_to = now.compacted + 1 + Below(newest.value() - now.compacted.value());
      }
    }
  } else if (kind == 91) {
    write.reset = raft::SnapshotMeta{std::max(now.last, now.snapshot.index) + Below(50) + 1,
                                     hard_state.term, std::string(Below(6000), 'r')};
  }
  if (kind < 91 || Below(2) == 0) {
    raft::Index next = (write.reset ? write.reset->index : now.last).Next();
    const raft::Index fixed = write.snapshot ? write.snapshot->index : now.snapshot.index;
    const raft::Index last = now.last;
    raft::Term floor = write.reset           ? write.reset->term
                       : now.entries.empty() ? now.compacted_term
                                             : now.entries.rbegin()->second.term;
    if (!write.reset && !write.compact_to && Below(8) == 0 && last > fixed) {
      next = fixed.Next() + Below(last.value() - fixed.value());
      const auto before = now.entries.find(next.Prev());
      floor = before != now.entries.end() ? before->second.term : now.compacted_term;
    }
    if (hard_state.term.value() == 0) return write;
    const uint64_t count = Below(4) == 0 ? 1 + Below(20) : Below(3);
    for (uint64_t i = 0; i < count; ++i) {
      const raft::Term term = Below(4) == 0 ? hard_state.term : std::max(floor, raft::Term(1));
      floor = term;
      const size_t size = Below(10) == 0 ? Below(max_payload_ + 1) : Below(200);
      write.entries.push_back(MakeEntry(next.value(), term.value(),
                                        std::string(size, static_cast<char>('a' + Below(26))),
                                        static_cast<raft::EntryKind>(1 + Below(3))));
      next = next.Next();
    }
  }
  return write;
}

}  // namespace dqueue::storage
