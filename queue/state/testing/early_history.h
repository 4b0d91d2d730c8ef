// A history as programs from before levels wrote it, with every kind of command and of record.
#pragma once

#include "queue/state/testing/command_builder.h"

namespace dqueue::queue {

inline void ApplyEarlyHistory(StateMachine& machine) {
  const auto keyed = [](std::string_view id, std::string_view queue, std::string_view key) {
    log::v1::Enqueue::Job job = MakeJob(id, queue);
    job.set_idempotency_key(std::string(key));
    job.set_idempotency_window_ms(3'600'000);
    job.set_retention_ms(0);
    return job;
  };
  log::v1::Enqueue::Job delayed = MakeJob("delayed", "mail", "send");
  delayed.set_run_time_ms(60'000);
  delayed.set_expire_time_ms(900'000);
  delayed.set_payload("{\"to\":\"ann\"}");
  ApplyNext(machine, BatchBuilder(1000)
                         .Enqueue(MakeJob("a", "mail"))
                         .Enqueue(delayed)
                         .Enqueue(keyed("once", "reply-1", "k1"))
                         .EnqueueAll({MakeJob("x", "bulk"), keyed("y", "bulk", "k2")})
                         .Pause("held", true)
                         .CreateKey(MakeKey("client_a")));
  ApplyNext(machine, BatchBuilder(2000)
                         .Fail("a", {1, 1}, "no route")
                         .Expire("a", {1, 2})
                         .Complete("once", {1, 3}, "done")
                         .Cancel("x")
                         .Retry("x"));
  ApplyNext(machine, BatchBuilder(70'000).Delete("y").Resume("held").RevokeKey("client_a"));
}

}  // namespace dqueue::queue
