// Restores the state machine when a node starts: from the snapshot that the log refers to or, if
// its files are damaged, from an older one that the log still continues. Used by Node::Open only,
// on its thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "queue/state/state_machine.h"
#include "raft/raft.h"
#include "storage/snapshots/snapshot_store.h"

namespace dqueue::node {

struct RecoveredState {
  std::unique_ptr<queue::StateMachine> state;  // never null; empty if there is no snapshot
  uint64_t snapshot_bytes = 0;                 // size of the restored snapshot
  std::vector<std::string> warnings;           // for the operator
};

// Restores the state. If it is from an older snapshot, sets recovered->snapshot to that one, so
// that the entries after it are applied again, and removes the damaged one from the store. Damage
// that is not needed, such as an unreadable manifest of another snapshot, becomes a warning.
// DATA_LOSS: no usable snapshot; the message names the damaged file and what to do.
absl::StatusOr<RecoveredState> RecoverState(storage::SnapshotStore* store,
                                            raft::Recovered* recovered);

// Builds a state machine from a snapshot's files. DATA_LOSS: the files are damaged.
absl::StatusOr<std::unique_ptr<queue::StateMachine>> RestoreSnapshot(
    storage::SnapshotStore* store, const storage::Manifest& manifest);

}  // namespace dqueue::node
