// A command on its way through the log, as the broker remembers it until it is decided.
#pragma once

#include <cstdint>

#include "queue/broker/reports/job_times.h"
#include "queue/broker/work.h"
#include "queue/state/command_reader.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

// The lease that a command ends, if it ends one.
struct LeaseEnding {
  JobRef job = {};
  LeaseToken token = {};
  uint64_t lease = 0;  // LeaseInfo::number; 0: no lease is marked ACKING for the command
  // The log had seen the token when the command was made.
  bool ended_before = false;
  // How the end is counted if the command is applied. Of several commands about one lease, only the
  // first counts.
  AttemptEnd counts_as = AttemptEnd::kNone;
};

struct CommandRef {
  WorkPart part = {};  // of the call that waits for it; none for an expiry
  uint32_t item = 0;   // of that call
  uint32_t bytes = 0;  // in the batch; set by CommandLog
  CommandKind kind = CommandKind::kEnqueue;
  LeaseEnding ends = {};
  uint64_t deletes = 0;  // the sequence of the job that it deletes; 0: none
};

}  // namespace dqueue::queue
