// The command log carries commands from the parts that propose them to raft, and their results
// back.
//
// A command is encoded once, into a chunk. The node takes chunks as batches, one for each log
// entry, and reports what became of each batch. Expiries of leases are added when a batch is taken;
// a tick is a batch without commands, taken when the state machine has something due. While more
// finished jobs or ids are kept than BrokerOptions::keep says, commands that trim them are added.
//
// Owns the chunks, the batches in flight and, for each command, the WorkPart of its call. A command
// is decided exactly once: first its guards (the ACKING lease, the deletion) are settled, then its
// WorkPart. The guards of an earlier leadership do not exist any more. Used on the loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "dqueue/v1/command.pb.h"
#include "google/protobuf/message_lite.h"
#include "queue/broker/command.h"
#include "queue/broker/decided_parts.h"
#include "queue/broker/leases/deletions.h"
#include "queue/broker/leases/grants.h"
#include "queue/broker/log_clock.h"
#include "queue/broker/options.h"
#include "queue/state/state_machine.h"
#include "raft/raft.h"
#include "raft/types.h"

namespace dqueue::queue {

// Commands that go into one log entry.
struct Batch {
  uint64_t id = 0;        // the proposal's id
  raft::Payload payload;  // an encoded CommandBatch
};

class CommandLog {
 public:
  CommandLog(const BrokerOptions& options, const StateMachine& state, Pace& pace,
             DecidedParts& decided, LogClock& clock, Grants& grants, Deletions& deletions,
             uint64_t first_batch);

  // A leadership begins.
  void Begin();
  // The leadership is over: commands not taken yet fail (DecidedParts). Those in flight are still
  // decided by OnProposal and ContinueApplied.
  void End(Work::Failure failure);
  // Decides the commands in flight as unknown: nothing more will be reported.
  void AbandonInFlight();

  // Adds a command: `message` is the field of log.v1.Command with this number.
  void Append(int field, const google::protobuf::MessageLite& message, CommandRef&& ref);
  // The same for a message of `size` bytes that is encoded already: write(p) writes it to p and
  // returns the end.
  template <class Write>
  void AppendEncoded(int field, size_t size, CommandRef&& ref, const Write& write);
  // A command that is encoded in parts: the result of BeginBatch(), to which the field's `size`
  // bytes were appended. A large one is a batch of its own.
  static std::string BeginBatch(int field, size_t size);
  void AppendBatch(std::string batch, CommandRef&& ref);
  // The commands of the next log entry; nullopt if there are none. Adds expiries and ticks that
  // are due.
  std::optional<Batch> TakeBatch(Time now, int64_t wall_ms);
  void OnProposal(const raft::ProposalOutcome& outcome);
  // Batches raise the state to this level, until it is there.
  void SetLevel(uint32_t level) { level_ = level; }
  // After the events of the entry were consumed: decides its commands by their results, until the
  // budget is exhausted. True: all are decided. `results` must live until then.
  void BeginApplied(uint64_t batch_id, const std::vector<CommandResult>& results);
  bool ContinueApplied(Time now);

  // Answers the calls whose deadline passed before any command of them was proposed. Looks at
  // chunks until the budget is exhausted.
  void DropOverdue(Time now);
  // When TakeBatch or DropOverdue has something to do without any event.
  Time Due(Time now, int64_t wall_ms) const;

  size_t pending_commands() const { return pending_commands_; }
  size_t pending_bytes() const { return pending_bytes_; }
  // Since this object was made.
  uint64_t trimmed_finished() const { return trimmed_finished_; }
  uint64_t trimmed_dead() const { return trimmed_dead_; }
  uint64_t trimmed_ids() const { return trimmed_ids_; }

 private:
  // Commands that will be one log entry, encoded already.
  struct Chunk {
    Chunk();
    std::string bytes;  // room for the time, then the commands
    std::vector<CommandRef> commands;
    // Of the calls none of whose commands is proposed yet.
    Time first_deadline = Time::max();
  };
  // A batch that raft has.
  struct InFlight {
    int64_t time_ms = 0;
    uint64_t epoch = 0;
    bool committed = false;
    std::vector<CommandRef> commands;
    TrimPlan trim;  // of all its trims
  };

  // The chunk that a command of this size goes into.
  Chunk& ChunkFor(size_t size);
  void Added(Chunk* chunk, uint32_t bytes, CommandRef&& ref);
  // Makes room for a command whose field has `size` bytes at the end of *bytes and writes what is
  // before the field. Returns where the field goes; *total is the size of the command.
  static void AppendPrefix(int field, size_t size, std::string* bytes);
  static uint8_t* BeginCommand(int field, size_t size, std::string* bytes, size_t* total);
  // The next chunk that has commands left, out of the waiting ones; else an empty one.
  Chunk TakeChunk(Time now);
  void DropOverdue(Time now, Chunk* chunk);
  void AddExpiries(Time now, Chunk* chunk);
  // What was added.
  TrimPlan AddTrims(Time now, Chunk* chunk);
  // Whether every member knows the command.
  bool MayTrim() const;
  bool WantsOwnTrim() const;
  bool TickIsDue(int64_t log_time_ms) const;
  bool LevelIsDue() const;
  Time NextTick(Time now, int64_t wall_ms) const;
  InFlight TakeInFlight(uint64_t id);
  void Settle(const CommandRef& ref, uint64_t epoch, bool applied);
  // With a deliberate bug only.
  void AnswerUncommitted(Time now, InFlight* batch);

  const BrokerOptions& options_;
  const StateMachine& state_;
  Pace& pace_;
  DecidedParts& decided_;
  LogClock& clock_;
  Grants& grants_;
  Deletions& deletions_;

  std::deque<Chunk> chunks_;
  size_t pending_commands_ = 0;  // in chunks_
  size_t pending_bytes_ = 0;
  std::map<uint64_t, InFlight> in_flight_;
  TrimPlan trimming_;  // by the batches in flight
  uint64_t trimmed_finished_ = 0;
  uint64_t trimmed_dead_ = 0;
  uint64_t trimmed_ids_ = 0;
  // The batch whose results are being told.
  struct Applied {
    InFlight batch;
    const std::vector<CommandResult>* results = nullptr;  // null: none
    size_t next = 0;
  };
  Applied applied_;
  uint64_t next_batch_;
  uint32_t level_ = 0;
  uint64_t epoch_ = 0;  // counts beginnings and ends of leaderships
  // After an expiry or tick was refused, the next one waits: raft is handing leadership over, or is
  // full.
  bool own_batch_refused_ = false;
  Time own_batches_after_ = Time::min();
  log::v1::Trim trim_;
  log::v1::Expire expire_;  // reused, so that its strings keep their memory
};

template <class Write>
void CommandLog::AppendEncoded(int field, size_t size, CommandRef&& ref, const Write& write) {
  Chunk& chunk = ChunkFor(size);
  size_t total = 0;
  uint8_t* const begin = BeginCommand(field, size, &chunk.bytes, &total);
  uint8_t* const end = write(begin);
  DQ_CHECK(end == begin + size);
  Added(&chunk, static_cast<uint32_t>(total), std::move(ref));
}

}  // namespace dqueue::queue
