#include "sim/clients/caller.h"

#include <string_view>

namespace dqueue::sim {
namespace {

// Returns a string literal for the reason, as TraceEvent::text requires.
const char* ReasonText(std::string_view reason) {
  constexpr const char* kReasons[] = {"NOT_LEADER",      "NO_LEADER",
                                      "OVERLOADED",      "DISK_LOW",
                                      "MEMORY_LOW",      "INVALID_FIELD",
                                      "LEASE_STALE",     "INVALID_STATE",
                                      "JOB_NOT_FOUND",   "DUPLICATE_JOB",
                                      "SHUTTING_DOWN",   "BATCH_REJECTED",
                                      "DEADLINE_PASSED", "IDEMPOTENCY_MISMATCH",
                                      "COMMIT_UNKNOWN",  "QUEUE_PAUSED",
                                      "QUEUE_NOT_FOUND", "QUEUE_DENIED",
                                      "KEY_NOT_FOUND",   "KEY_EXISTS"};
  for (const char* known : kReasons) {
    if (reason == known) return known;
  }
  return reason.empty() ? "" : "another error";
}

}  // namespace

void Caller::Redirect(const queue::Error* error) {
  if (error != nullptr) {
    const auto hint = error->metadata.find("leader_id");
    if (hint != error->metadata.end()) {
      if (const int number = world_->NumberOf(hint->second); number != 0) {
        target_ = number;
        return;
      }
    }
  }
  target_ = static_cast<int>(random_.Between(1, world_->size()));
}

uint64_t Caller::NumberOfJob(const std::string& id) const {
  const ModelJob* job = world_->jobs().Find(id);
  return job == nullptr ? UINT64_MAX : job->number;
}

void Caller::NoteCall(const ServerCall& call, size_t kind, uint64_t job,
                      const v1::LeaseToken& token) {
  world_->Note({.kind = TraceKind::kCall,
                .node = static_cast<uint8_t>(call.node),
                .sub = static_cast<uint8_t>(kind),
                .a = call.id,
                .b = static_cast<uint64_t>(call.client),
                .c = job,
                .d = token.term() << 32 | (token.sequence() & 0xffffffff)});
}

void Caller::NoteAnswer(const ServerCall& call, size_t kind, uint64_t good, uint64_t bad,
                        const std::string& reason) {
  world_->Note({.kind = TraceKind::kAnswer,
                .node = static_cast<uint8_t>(call.node),
                .sub = static_cast<uint8_t>(kind),
                .a = call.id,
                .b = static_cast<uint64_t>(call.client),
                .c = good,
                .d = bad,
                .text = ReasonText(reason)});
}

}  // namespace dqueue::sim
