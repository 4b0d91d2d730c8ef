#include "sim/clients/producer.h"

#include <algorithm>
#include <optional>

namespace dqueue::sim {

void Producer::Start() { Think(); }

void Producer::Think() {
  busy_ = false;
  world_->After(1ms + caller_.random().Exponential(load_.think_mean), [this] { Begin(); });
}

void Producer::Begin() {
  if (finishing_) return;
  RandomStream& random = caller_.random();
  request_.Clear();
  const int64_t count = random.Between(1, load_.batch_max);
  for (int64_t i = 0; i < count; ++i) {
    const v1::JobSpec* old = random.Chance(load_.repeat) ? book_->Repeatable(random) : nullptr;
    if (old != nullptr) {
      *request_.add_jobs() = *old;
    } else {
      *request_.add_jobs() = book_->NewJob(random, load_, NodeClock().WallMs(world_->now()));
    }
  }
  request_.set_all_or_nothing(random.Chance(load_.all_or_nothing));
  if (random.Chance(load_.request_ids)) {
    request_.set_request_id("request-" + std::to_string(caller_.number()) + "-" +
                            std::to_string(++calls_));
  }
  busy_ = true;
  Attempt();
}

void Producer::Attempt() {
  caller_.Call<queue::EnqueueCall>(
      request_, caller_.random().Uniform(200ms, 3s),
      [this](std::optional<queue::Outcome<v1::EnqueueJobsResponse>> outcome) {
        Replied(std::move(outcome));
      });
}

bool Producer::Repeatable() const {
  if (!request_.request_id().empty()) return true;
  return std::all_of(request_.jobs().begin(), request_.jobs().end(), [](const v1::JobSpec& job) {
    return !job.id().empty() || !job.idempotency_key().empty();
  });
}

void Producer::Later() {
  world_->After(caller_.random().Uniform(5ms, 200ms), [this] { Attempt(); });
}

void Producer::Replied(std::optional<queue::Outcome<v1::EnqueueJobsResponse>> outcome) {
  RandomStream& random = caller_.random();
  if (outcome && outcome->ok()) {
    for (const auto& result : outcome->value.results()) {
      if (!result.id().empty()) book_->RecordId(result.id());
    }
    Think();
    return;
  }
  const std::string reason = outcome ? outcome->error.reason : "";
  const bool no_effect = outcome && (reason == "UNREACHABLE" || IsDefinite(reason));
  const bool hopeless = reason == "BATCH_REJECTED" || reason == "INVALID_FIELD" ||
                        reason == "PAYLOAD_TOO_LARGE" || reason == "DUPLICATE_JOB" ||
                        reason == "IDEMPOTENCY_MISMATCH" || reason == "QUEUE_DENIED";
  caller_.Redirect(outcome ? &outcome->error : nullptr);
  if (hopeless) {
    Think();
  } else if (no_effect) {
    // The call had no effect, so repeating it is always safe.
    Later();
  } else if (Repeatable() && (finishing_ || random.Chance(load_.retry_unknown))) {
    Later();
  } else {
    Think();
  }
}

}  // namespace dqueue::sim
