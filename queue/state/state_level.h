// The level of the replicated rules. Replicas must apply an entry by the same rules, whatever
// program each of them runs. So a rule that changes the state's evolution gets a level, and holds
// from the log entry on that sets the level (CommandBatch.level). Before that entry, state, digest
// and snapshot images are those of the level before, bit for bit.
//
// The leader sets the level when every member of the configuration has told it that its program
// knows the level (Message.state_level of peer.proto). A program that does not know the level stops
// at that entry, and refuses snapshots from after it, with the advice to upgrade. The level never
// falls: from then on a member cannot go back to an older program.
//
//  0  the rules before levels existed
//  1  A queue without jobs and with default settings is idle. It is forgotten kQueueIdleMs after it
//     became idle, or earlier if a new queue needs its place; its totals stay in the sum. Jobs of a
//     request with a request_id are remembered after they are gone (tables/request_table.h).
//  2  The leader may propose Trim, a command that programs of before do not know.
#pragma once

#include <cstdint>

namespace dqueue::queue {

inline constexpr uint32_t kStateLevelMax = 2;
// The first level at which Trim is proposed.
inline constexpr uint32_t kTrimLevel = 2;

}  // namespace dqueue::queue
