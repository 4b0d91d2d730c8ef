// Looking up a job on behalf of a caller that may be restricted to some queues.
#pragma once

#include <string_view>

#include "queue/api/key.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

// Slot UINT32_MAX: there is no such job, or the caller may not access its queue.
inline JobRef FindVisible(const StateMachine& state, std::string_view id,
                          const QueueAccessPtr& access) {
  const JobRef job = state.Find(id);
  if (access == nullptr || job == JobRef{}) return job;
  return access->Allows(state.View(job).queue) ? job : JobRef{};
}

}  // namespace dqueue::queue
