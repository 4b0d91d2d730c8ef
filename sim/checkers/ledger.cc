#include "sim/checkers/ledger.h"

#include <string>
#include <string_view>

#include "dqueue/v1/command.pb.h"
#include "sim/checkers/violation.h"
#include "sim/sim_node.h"
#include "sim/world.h"

namespace dqueue::sim {
namespace {

constexpr char kRule[] = "R5 state machine safety";

uint64_t HashEntry(const raft::Entry& entry) {
  uint64_t h = 0xcbf29ce484222325ULL ^ static_cast<uint64_t>(entry.kind);
  std::string_view bytes = *entry.payload;
  for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
    uint64_t word;
    __builtin_memcpy(&word, bytes.data(), 8);
    h = (h ^ word) * 0x9fb21c651e98df25ULL;
    h ^= h >> 32;
  }
  for (const char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return h;
}

std::string At(raft::Index index, raft::Term term) {
  return std::to_string(index.value()) + "^" + std::to_string(term.value());
}

}  // namespace

void Ledger::OnBoot(const SimNode& node) {
  applied_.resize(static_cast<size_t>(world_->size() + 1));
  const raft::Index index = node.node().state().applied_index();
  applied_[static_cast<size_t>(node.number())] = index;
  world_->keys().OnBoot(node);
  if (node.damaged()) return;
  if (index > last()) {
    Violate(kRule, node.name() + " starts from a snapshot at " + std::to_string(index.value()) +
                       ", but no node has applied more than " + std::to_string(last().value()));
  }
  if (index > raft::Index() && node.node().state().Digest() != lines_[index.value() - 1].digest) {
    Violate(kRule, node.name() + " starts with another state than the one at index " +
                       std::to_string(index.value()));
  }
}

void Ledger::AfterApply(const SimNode& node, const raft::Entry& entry, uint64_t digest) {
  raft::Index& applied = applied_[static_cast<size_t>(node.number())];
  if (entry.index != applied.Next()) {
    Violate(kRule, node.name() + " applies " + At(entry.index, entry.term) + " after " +
                       std::to_string(applied.value()));
  }
  applied = entry.index;
  const uint64_t hash = HashEntry(entry);
  if (entry.index <= last()) {
    const Line& line = lines_[entry.index.value() - 1];
    if (line.term != entry.term || line.hash != hash) {
      Violate(kRule, node.name() + " applies " + At(entry.index, entry.term) + " where " +
                         At(entry.index, line.term) + " was applied before");
    }
    if (line.digest != digest) {
      Violate("J23 determinism", node.name() + " has another state after " +
                                     At(entry.index, entry.term) +
                                     " than the first that applied it");
    }
    world_->keys().AfterApply(node, entry.index);
    return;
  }
  if (node.wiped()) {
    Violate("R12 incarnation", node.name() + ", which has no vote, is the first to apply " +
                                   At(entry.index, entry.term));
  }
  if (!lines_.empty() && entry.term < lines_.back().term) {
    Violate(kRule, "term goes back at " + At(entry.index, entry.term));
  }
  lines_.push_back({entry.term, hash, digest, world_->now()});
  uint64_t commands = 0;
  log::v1::CommandBatch batch;
  if (entry.kind == raft::EntryKind::kCommand) {
    if (!batch.ParseFromString(*entry.payload)) Violate(kRule, "a committed batch does not parse");
    commands = static_cast<uint64_t>(batch.commands_size());
  }
  world_->Note({.kind = TraceKind::kCommit,
                .node = static_cast<uint8_t>(node.number()),
                .a = entry.index.value(),
                .b = entry.term.value(),
                .c = commands});
  if (entry.kind == raft::EntryKind::kCommand) {
    world_->jobs().Apply(entry.index, batch);
    world_->keys().Apply(entry.index, batch, world_->jobs().time_ms());
    world_->answers().AfterCommit(node, entry, batch);
    world_->keys().AfterApply(node, entry.index);
  }
}

void Ledger::AfterRestore(const SimNode& node, const raft::SnapshotMeta& meta, uint64_t digest) {
  raft::Index& applied = applied_[static_cast<size_t>(node.number())];
  if (meta.index <= applied) {
    Violate("R10 snapshot", node.name() + " goes back from " + std::to_string(applied.value()) +
                                " to a snapshot at " + std::to_string(meta.index.value()));
  }
  applied = meta.index;
  ++restores_;
  if (meta.index > last()) {
    Violate("R10 snapshot",
            node.name() + " installs a snapshot of an index that no node has applied");
  }
  const Line& line = lines_[meta.index.value() - 1];
  if (line.term != meta.term) {
    Violate("R10 snapshot", node.name() + " installs a snapshot labelled " +
                                At(meta.index, meta.term) + ", but the entry is " +
                                At(meta.index, line.term));
  }
  if (line.digest != digest) {
    Violate("R10 snapshot", node.name() + " has another state after the snapshot at " +
                                At(meta.index, meta.term) + " than by the log");
  }
  world_->keys().Compare(node);
}

}  // namespace dqueue::sim
