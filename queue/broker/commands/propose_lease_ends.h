// CompleteJobs and FailJobs calls: commands that end a lease.
//
// The leader checks the token before it proposes, so that an invalid one costs no log entry; the
// log decides about the others. While a command is in flight its lease is ACKING, and the job is
// not leased again. Used on the loop's thread.
#pragma once

#include <cstdint>
#include <random>

#include "dqueue/v1/command.pb.h"
#include "queue/broker/admission.h"
#include "queue/broker/calls.h"
#include "queue/broker/commands/command_log.h"
#include "queue/broker/item_calls.h"
#include "queue/broker/leases/grants.h"
#include "queue/broker/log_clock.h"
#include "queue/state/lease_rules.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

class LeaseEndProposer {
 public:
  // seed: of the jitter of retry delays.
  LeaseEndProposer(const Admission& admission, const LogClock& clock, Grants& grants,
                   CommandLog& commands, WorkerRegistry& workers, ItemCalls& items, uint64_t seed);

  void Begin(raft::Term term);
  void Submit(Time now, CompleteCall call);
  void Submit(Time now, FailCall call);

 private:
  // Each appends the command of item i and returns true, or decides the item and returns false.
  bool Complete(Time now, ItemWork<CompleteCall>& work, const WorkPart& part, int i);
  bool Fail(Time now, ItemWork<FailCall>& work, const WorkPart& part, int i);
  // Unix ms; 0: at once.
  int64_t NextRunTimeMs(const v1::FailJobsRequest::Item& item, const JobView& view, int64_t now_ms);

  const Admission& admission_;
  const LogClock& clock_;
  Grants& grants_;
  CommandLog& commands_;
  WorkerRegistry& workers_;
  ItemCalls& items_;
  const uint64_t seed_;
  std::mt19937_64 random_;
  // Reused, so that their strings keep their memory.
  log::v1::Complete complete_;
  log::v1::Fail fail_;
};

}  // namespace dqueue::queue
