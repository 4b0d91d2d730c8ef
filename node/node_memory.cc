// Counts the memory of this node, and frees the old state before a new one is restored.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "node/node_impl.h"
#include "queue/broker/refusals.h"

namespace dqueue::node {

NodeImpl::StateFigures NodeImpl::Figures() {
  return {.applied_index = state_->applied_index().value(),
          .digest = state_->Digest(),
          .jobs = state_->job_count(),
          .level = state_->level(),
          .queues = named_queues_.Page(*state_, clock_.NowMs(now_)),
          .forgotten_queues = state_->forgotten_queues(),
          .used_request_ids = state_->used_request_ids()};
}

void NodeImpl::MaybeReplaceState() {
  if (!replace_state_ || !to_apply_.empty()) return;
  replace_state_ = false;
  if (!before_restore_) before_restore_ = Figures();
  broker_.reset();  // it refers to the state machine
  std::unique_ptr<queue::StateMachine> old =
      std::exchange(state_, std::make_unique<queue::StateMachine>());
  MakeBroker(++broker_salt_);
  actor_->Restore(*restoring_, std::move(old));
}

MemoryUse NodeImpl::MemoryInUse() const {
  MemoryUse use;
  use.state = state_->memory();
  use.log = raft_->cached_bytes();
  use.calls = inbox_.call_bytes() + broker_->gauges().pending_bytes;
  use.resident = resident_bytes_;
  use.limit = options_.memory_limit;
  return use;
}

void NodeImpl::CheckMemory(Time now) {
  // While the state is restored, what it will need is not known.
  if (options_.memory_limit != 0 && !restoring_) {
    const bool was_low = memory_.low();
    const uint64_t counted = MemoryInUse().counted();
    const bool low = memory_.Update(counted, resident_bytes_);
    if (low != was_low) {
      LogLine(
          low ? "memory is low: " + std::to_string(counted) + " bytes are counted, " +
                    std::to_string(resident_bytes_) + " bytes are resident, --memory-limit is " +
                    std::to_string(options_.memory_limit) + "; new jobs are refused, workers go on"
              : "memory is no longer low: " + std::to_string(counted) + " bytes are counted");
      Step(now, raft::Capacity{.low_space = low_space_, .low_memory = low});
    }
  }
  UpdateLowMemory();
}

void NodeImpl::UpdateLowMemory() {
  const bool low = serving_ ? !raft_->HasMemory() : memory_.low();
  if (!low) return broker_->SetLowMemory(std::nullopt);
  queue::MemoryShortage shortage{.limit_bytes = options_.memory_limit};
  if (memory_.low()) shortage.used_bytes = std::max(MemoryInUse().counted(), resident_bytes_);
  broker_->SetLowMemory(shortage);
}

}  // namespace dqueue::node
