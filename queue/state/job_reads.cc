// Reads: one job, lists of jobs, statistics.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "queue/api/error_fingerprint.h"
#include "queue/api/hash.h"
#include "queue/api/limits.h"
#include "queue/api/page_token.h"
#include "queue/api/proto_time.h"
#include "queue/state/attempts.h"
#include "queue/state/state_machine_impl.h"

namespace dqueue::queue {
namespace {

// Jobs that one call of List or Pick looks at, at most.
constexpr uint32_t kScanMax = 20000;
// Searching this many bytes of an error counts as one more job.
constexpr size_t kErrorBytesPerLook = 256;
// So does computing a fingerprint over this many bytes. Counting a dead job into its group counts
// as this many jobs.
constexpr size_t kFingerprintBytesPerLook = 8;
constexpr size_t kLooksPerDeadJob = 16;
// A page ends before it would grow beyond this: gRPC's default limit on a message is 4 MiB, one job
// has up to 2 MiB and a little.
constexpr size_t kPageBytesMax = 2 << 20;

// The queues that a reader may access. Each is checked once in a call, by its number.
class Visible {
 public:
  Visible(const QueueTable& queues, const QueueAccess* access) : queues_(queues), access_(access) {}
  bool operator()(uint32_t queue) {
    if (access_ == nullptr) return true;
    if (known_.empty()) known_.resize(queues_.end());
    Known& known = known_[queue];
    if (known == Known::kNot) {
      known = access_->Allows(queues_[queue].name) ? Known::kVisible : Known::kHidden;
    }
    return known == Known::kVisible;
  }

 private:
  enum class Known : uint8_t { kNot, kVisible, kHidden };
  const QueueTable& queues_;
  const QueueAccess* const access_;
  std::vector<Known> known_;
};

constexpr uint64_t kPageSeed = 0x70616765;
constexpr size_t kPageTokenSize = 2 * (4 + 8);
constexpr size_t kTimeDigits = 16;

void FillRetry(const JobSpecView& spec, v1::RetryPolicy* out) {
  out->set_max_retries(static_cast<int32_t>(spec.max_retries));
  out->set_max_expirations(static_cast<int32_t>(spec.max_expirations));
  out->set_backoff(static_cast<v1::RetryPolicy::Backoff>(spec.backoff));
  SetMs(spec.backoff_base_ms, out->mutable_base());
  SetMs(spec.backoff_max_ms, out->mutable_max_delay());
  out->set_jitter(spec.jitter_permille / 1000.0);
}

void FillTotals(const Totals& totals, uint64_t held, v1::QueueStats* out) {
  out->set_scheduled(totals[Total::kScheduled]);
  out->set_ready(totals[Total::kReady] - held);
  out->set_leased(held);
  out->set_succeeded(totals[Total::kSucceeded]);
  out->set_dead(totals[Total::kDead]);
  out->set_cancelled(totals[Total::kCancelled]);
  out->set_enqueued(totals[Total::kEnqueued]);
  out->set_purged(totals[Total::kPurged]);
  out->set_completions(totals[Total::kCompletions]);
  out->set_failures(totals[Total::kFailures]);
  out->set_expirations(totals[Total::kExpirations]);
  out->set_deaths(totals[Total::kDeaths]);
  out->set_cancellations(totals[Total::kCancellations]);
  out->set_retries(totals[Total::kRetries]);
}

void AddPairs(std::string_view stored, google::protobuf::Map<std::string, std::string>* out) {
  ForEachPair(stored, [out](std::string_view key, std::string_view value) {
    (*out)[std::string(key)] = std::string(value);
  });
}

// Of stored attempts.
void AddAttempts(std::string_view stored, v1::Job* out);

// Identifies a listing: its pages belong together.
uint64_t FilterHash(const v1::ListJobsRequest& request, uint64_t arrangement) {
  return HashSequence(kPageSeed)
      .Add(arrangement)
      .Add(request.queue())
      .Add(request.type())
      .Add(static_cast<uint64_t>(request.state()))
      .Finish();
}

uint64_t PageCheck(uint64_t filter_hash, uint32_t slot) {
  return HashSequence(filter_hash).Add(slot).Finish();
}

void AppendHex(uint64_t value, int digits, std::string* out) {
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
    out->push_back("0123456789abcdef"[value >> shift & 15]);
  }
}

// The slot where the next page begins, and a checksum that binds it to its listing.
std::string MakePageToken(uint64_t filter_hash, uint32_t slot) {
  std::string token;
  AppendHex(slot, 8, &token);
  AppendHex(PageCheck(filter_hash, slot), 16, &token);
  return token;
}

// The patterns without those that another one covers, in order. No queue matches two of them, and
// the queues that match them come in the same order.
std::vector<std::string_view> DisjointPatterns(const QueueAccess& access) {
  std::vector<std::string_view> sorted(access.patterns().begin(), access.patterns().end());
  const auto is_prefix = [](std::string_view pattern) { return pattern.ends_with('*'); };
  const auto text_of = [&](std::string_view pattern) {
    return is_prefix(pattern) ? pattern.substr(0, pattern.size() - 1) : pattern;
  };
  // Of a prefix and a name of the same text, the prefix first.
  std::sort(sorted.begin(), sorted.end(), [&](std::string_view a, std::string_view b) {
    return std::pair(text_of(a), !is_prefix(a)) < std::pair(text_of(b), !is_prefix(b));
  });
  std::vector<std::string_view> out;
  for (const std::string_view pattern : sorted) {
    const bool covered =
        !out.empty() &&
        (out.back() == pattern ||
         (is_prefix(out.back()) && text_of(pattern).starts_with(text_of(out.back()))));
    if (!covered) out.push_back(pattern);
  }
  return out;
}

// Calls f(name, number) for the queues behind `last` ("": all) that `access` allows, in order,
// until it returns false. Looks at no other queue.
template <class F>
void ForEachQueueAfter(const QueueTable& queues, const std::string& last, const QueueAccess* access,
                       const F& f) {
  const auto& by_name = queues.by_name();
  if (access == nullptr) {
    for (auto it = by_name.upper_bound(last); it != by_name.end(); ++it) {
      if (!f(it->first, it->second)) return;
    }
    return;
  }
  for (const std::string_view pattern : DisjointPatterns(*access)) {
    if (!pattern.ends_with('*')) {
      const uint32_t number = pattern > last ? queues.Find(pattern) : kNoSlot;
      if (number != kNoSlot && !f(pattern, number)) return;
      continue;
    }
    const std::string_view prefix = pattern.substr(0, pattern.size() - 1);
    auto it = prefix > last ? by_name.lower_bound(prefix) : by_name.upper_bound(last);
    for (; it != by_name.end() && it->first.starts_with(prefix); ++it) {
      if (!f(it->first, it->second)) return;
    }
  }
}

bool ParsePageToken(std::string_view token, uint64_t filter_hash, uint32_t* slot) {
  if (token.size() != kPageTokenSize) return false;
  uint64_t value = 0;
  for (const char c : token.substr(0, 8)) {
    const size_t digit = std::string_view("0123456789abcdef").find(c);
    if (digit == std::string_view::npos) return false;
    value = value << 4 | digit;
  }
  *slot = static_cast<uint32_t>(value);
  return token == MakePageToken(filter_hash, *slot);
}

}  // namespace

void StateMachine::Impl::FillJob(JobRef ref, bool full, v1::Job* out, JobExtras* extras) const {
  const StoredJob& job = Checked(ref);
  const JobSpecView spec = SpecOf(job.spec_view());
  const v1::JobState state = job.job_state();
  const auto text = [](std::string_view s) { return std::string(s); };
  out->set_id(text(spec.id));
  out->set_queue(queues[ready.queue_of(job.lane)].name);
  out->set_type(text(ready.type_of(job.lane)));
  out->set_state(state);
  out->set_priority(job.priority);
  SetMs(job.create_ms, out->mutable_create_time());
  SetMs(job.run_ms, out->mutable_run_time());
  if (job.expire_ms != 0) SetMs(job.expire_ms, out->mutable_expire_time());
  if (IsFinished(state)) SetMs(job.since_ms, out->mutable_finish_time());
  FillRetry(spec, out->mutable_retry());
  out->set_idempotency_key(text(spec.idempotency_key));
  out->set_ordering_key(text(spec.ordering_key));
  v1::JobCounters& counters = *out->mutable_counters();
  counters.set_delivered(static_cast<int32_t>(job.delivered));
  counters.set_failed(static_cast<int32_t>(job.failed));
  counters.set_expired(static_cast<int32_t>(job.expired));
  out->set_last_error(text(job.outcome.error()));
  out->set_dead_reason(static_cast<v1::DeadReason>(job.dead_reason));
  if (spec.retention_ms >= 0 || IsFinished(state)) {
    SetMs(EffectiveRetention(spec.retention_ms, state), out->mutable_retention());
  }
  if (spec.lease_duration_ms > 0) {
    SetMs(spec.lease_duration_ms, out->mutable_lease_duration());
  }
  if (!full) return;
  out->set_payload(spec.payload.data(), spec.payload.size());
  const std::string_view result = job.outcome.result();
  out->set_result(result.data(), result.size());
  if (extras != nullptr) {
    extras->headers = spec.headers;
    extras->labels = spec.labels;
    extras->attempts = job.outcome.attempts();
  } else {
    AddPairs(spec.headers, out->mutable_headers());
    AddPairs(spec.labels, out->mutable_labels());
  }
}

void StateMachine::FillJob(JobRef ref, bool full, v1::Job* out) const {
  impl_->FillJob(ref, full, out, nullptr);
}

void StateMachine::FillJobWithout(JobRef ref, v1::Job* out, JobExtras* extras) const {
  impl_->FillJob(ref, /*full=*/true, out, extras);
}

void AddExtras(const JobExtras& extras, v1::Job* out) {
  AddPairs(extras.headers, out->mutable_headers());
  AddPairs(extras.labels, out->mutable_labels());
  AddAttempts(extras.attempts, out);
}

void StateMachine::FillAttempts(JobRef ref, v1::Job* out) const {
  AddAttempts(impl_->Checked(ref).outcome.attempts(), out);
}

namespace {

void AddAttempts(std::string_view stored, v1::Job* out) {
  std::vector<AttemptView> attempts;
  DQ_CHECK(ParseAttempts(stored, &attempts));
  for (const AttemptView& attempt : attempts) {
    v1::Attempt& shown = *out->add_attempts();
    shown.set_number(static_cast<int32_t>(attempt.number));
    shown.set_end(attempt.end);
    shown.set_worker_id(std::string(attempt.worker_id));
    SetMs(attempt.end_ms, shown.mutable_end_time());
    if (attempt.held_ms >= 0) SetMs(attempt.held_ms, shown.mutable_held());
    shown.set_error(std::string(attempt.error));
  }
}

}  // namespace

bool StateMachine::Impl::Matches(const JobFilter& filter, uint32_t queue,
                                 const StoredJob& job) const {
  if (job.state == 0) return false;
  if (!filter.queue.empty() && ready.queue_of(job.lane) != queue) return false;
  if (!filter.type.empty() && ready.type_of(job.lane) != filter.type) return false;
  const v1::JobState state = job.held() ? v1::JOB_STATE_LEASED : job.job_state();
  if (filter.states != 0 && (filter.states & JobStateBit(state)) == 0) return false;
  const std::string_view error = job.outcome.error();
  if (filter.error_fingerprint && ErrorFingerprint(error) != *filter.error_fingerprint) {
    return false;
  }
  return filter.error_contains.empty() ||
         error.find(filter.error_contains) != std::string_view::npos;
}

uint32_t StateMachine::pick_end() const { return impl_->jobs.end(); }

void StateMachine::Pick(const JobFilter& filter, size_t max, uint32_t end, uint32_t* position,
                        std::vector<JobRef>* out) const {
  const Impl& impl = *impl_;
  DQ_CHECK(end <= impl.jobs.end());
  const uint32_t queue = impl.queues.Find(filter.queue);
  if (!filter.queue.empty() && queue == kNoSlot) *position = end;
  Visible visible(impl.queues, filter.access);
  size_t found = 0;
  for (size_t looks = 0; *position < end && looks < kScanMax && found < max; ++looks) {
    const uint32_t slot = (*position)++;
    const StoredJob& job = impl.jobs[slot];
    if (!filter.error_contains.empty()) looks += job.outcome.error().size() / kErrorBytesPerLook;
    if (filter.error_fingerprint && job.job_state() == v1::JOB_STATE_DEAD) {
      looks += job.outcome.error().size() / kFingerprintBytesPerLook;
    }
    if (!impl.Matches(filter, queue, job) || !visible(impl.ready.queue_of(job.lane))) continue;
    out->push_back(JobRef{slot});
    ++found;
  }
}

void StateMachine::VisitDead(const JobFilter& filter, uint32_t end, uint32_t* position,
                             const std::function<void(const DeadJob&)>& visit) const {
  const Impl& impl = *impl_;
  DQ_CHECK(end <= impl.jobs.end());
  const uint32_t queue = impl.queues.Find(filter.queue);
  if (!filter.queue.empty() && queue == kNoSlot) *position = end;
  for (size_t looks = 0; *position < end && looks < kScanMax; ++looks) {
    const StoredJob& job = impl.jobs[(*position)++];
    if (job.job_state() != v1::JOB_STATE_DEAD || !impl.Matches(filter, queue, job)) continue;
    const std::string& name = impl.queues[impl.ready.queue_of(job.lane)].name;
    if (filter.access != nullptr && !filter.access->Allows(name)) continue;
    const std::string_view error = job.outcome.error();
    looks += kLooksPerDeadJob + error.size() / kFingerprintBytesPerLook;
    visit({.id = IdOf(job.spec_view()),
           .queue = name,
           .type = impl.ready.type_of(job.lane),
           .reason = static_cast<v1::DeadReason>(job.dead_reason),
           .error = error,
           .time_ms = job.since_ms});
  }
}

absl::Status StateMachine::List(const v1::ListJobsRequest& request, v1::ListJobsResponse* out,
                                const QueueAccess* access, std::vector<JobExtras>* extras) const {
  const Impl& impl = *impl_;
  const uint64_t filter_hash = FilterHash(request, impl.arrangement);
  uint32_t slot = 0;
  if (!request.page_token().empty() && !ParsePageToken(request.page_token(), filter_hash, &slot)) {
    return absl::InvalidArgumentError(
        "page_token is not from the last page of this listing: send the same queue, type and "
        "state, and begin again without a token if this node was restored in between");
  }
  if (request.page_size() < 0) {
    return absl::InvalidArgumentError("page_size must not be negative");
  }
  const int page_size =
      request.page_size() == 0 ? kPageSizeDefault : std::min(request.page_size(), kPageSizeMax);
  const uint32_t queue = request.queue().empty() ? kNoSlot : impl.queues.Find(request.queue());
  if (!request.queue().empty() && queue == kNoSlot) return absl::OkStatus();
  JobFilter filter{.queue = request.queue(), .type = request.type()};
  if (request.state() != v1::JOB_STATE_UNSPECIFIED) filter.states = JobStateBit(request.state());
  const uint32_t end = impl.jobs.end();
  const uint32_t scan_end = slot < end ? slot + std::min(end - slot, kScanMax) : end;
  Visible visible(impl.queues, access);
  size_t bytes = 0;
  while (slot < scan_end && out->jobs_size() < page_size) {
    const StoredJob& job = impl.jobs[slot];
    if (impl.Matches(filter, queue, job) && visible(impl.ready.queue_of(job.lane))) {
      const size_t size = job.spec_size + job.outcome.allocated();
      if (request.full() && bytes > 0 && bytes + size > kPageBytesMax) break;
      bytes += size;
      v1::Job* const shown = out->add_jobs();
      if (extras != nullptr) extras->emplace_back();
      if (!request.full()) {
        FillJob(JobRef{slot}, false, shown);
      } else if (extras != nullptr) {
        FillJobWithout(JobRef{slot}, shown, &extras->back());
      } else {
        FillJob(JobRef{slot}, true, shown);
        FillAttempts(JobRef{slot}, shown);
      }
    }
    ++slot;
  }
  if (slot < end) out->set_next_page_token(MakePageToken(filter_hash, slot));
  return absl::OkStatus();
}

absl::Status StateMachine::Stats(std::string_view queue, v1::GetStatsResponse* out,
                                 const QueueAccess* access, int64_t now_ms) const {
  v1::GetStatsRequest request;
  request.set_queue(std::string(queue));
  return Stats(request, out, access, now_ms);
}

absl::Status StateMachine::Stats(const v1::GetStatsRequest& request, v1::GetStatsResponse* out,
                                 const QueueAccess* access, int64_t now_ms) const {
  const Impl& impl = *impl_;
  out->set_applied_index(impl.applied.value());
  now_ms = std::max(now_ms, impl.time_ms);
  const auto set_age = [now_ms](int64_t oldest_ms, v1::QueueStats* stats) {
    SetMs(oldest_ms == INT64_MAX ? 0 : now_ms - oldest_ms, stats->mutable_oldest_ready_age());
  };
  const auto add = [&](uint32_t number) {
    const QueueRecord& record = impl.queues[number];
    v1::QueueStats& stats = *out->add_queues();
    stats.set_queue(record.name);
    FillTotals(record.totals, record.held, &stats);
    stats.set_paused(record.settings.paused);
    stats.set_refuses_enqueues(record.settings.refuses_enqueues);
    set_age(impl.ready.OldestSince(number), &stats);
  };
  if (!request.queue().empty()) {
    const uint32_t number = impl.queues.Find(request.queue());
    if (number == kNoSlot) return absl::NotFoundError("no such queue");
    add(number);
    out->set_total_size(1);
    *out->mutable_total() = out->queues(0);
    out->mutable_total()->clear_queue();
    out->mutable_total()->clear_paused();
    out->mutable_total()->clear_refuses_enqueues();
    return absl::OkStatus();
  }
  std::string last;
  if (!request.page_token().empty() && !ParseNamePageToken(request.page_token(), &last)) {
    return absl::InvalidArgumentError("page_token is not from an earlier page");
  }
  const int page_size = request.page_size() <= 0 ? kStatsPageSizeMax
                                                 : std::min(request.page_size(), kStatsPageSizeMax);
  Totals sum;
  uint64_t held = 0;
  int64_t oldest_ms = INT64_MAX;
  ForEachQueueAfter(impl.queues, last, access, [&](std::string_view, uint32_t number) {
    if (out->queues_size() == page_size) {
      out->set_next_page_token(MakeNamePageToken(out->queues(page_size - 1).queue()));
      return false;
    }
    add(number);
    if (access != nullptr) {
      sum.Add(impl.queues[number].totals);
      held += impl.queues[number].held;
      oldest_ms = std::min(oldest_ms, impl.ready.OldestSince(number));
    }
    return true;
  });
  if (access == nullptr) {
    sum = impl.queues.sum();
    held = impl.held.size();
    oldest_ms = impl.ready.OldestSince();
    out->set_total_size(static_cast<int32_t>(impl.queues.size()));
  }
  FillTotals(sum, held, out->mutable_total());
  set_age(oldest_ms, out->mutable_total());
  return absl::OkStatus();
}

KeyTablePtr StateMachine::api_keys() const { return impl_->api_keys.table(); }

absl::Status StateMachine::ListKeys(const ListKeysOrder& order, v1::ListKeysResponse* out) const {
  std::string last;
  if (!order.page_token.empty() && !ParseNamePageToken(order.page_token, &last)) {
    return absl::InvalidArgumentError("page_token is not from an earlier page");
  }
  const std::string_view owner_id = order.owner_id;
  std::vector<ApiKeyRegistry::RecordPtr> keys = impl_->api_keys.All();  // by id
  std::erase_if(keys, [&](const ApiKeyRegistry::RecordPtr& key) {
    return (!owner_id.empty() && key->owner_id != owner_id) || (key->revoked() && !order.revoked);
  });
  std::stable_sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) {
    return a->create_time_ms < b->create_time_ms;
  });
  // With leading zeros, times are in the order of numbers.
  const auto place_of = [](const KeyRecord& key) {
    std::string time = std::to_string(key.create_time_ms);
    time.insert(0, kTimeDigits - std::min(kTimeDigits, time.size()), '0');
    return time + key.id;
  };
  const int page_size =
      order.page_size <= 0 ? kStatsPageSizeMax : std::min(order.page_size, kStatsPageSizeMax);
  const KeyRecord* shown = nullptr;
  for (const ApiKeyRegistry::RecordPtr& key : keys) {
    if (place_of(*key) <= last) continue;
    if (out->keys_size() == page_size) {
      out->set_next_page_token(MakeNamePageToken(place_of(*shown)));
      break;
    }
    *out->add_keys() = ToProto(*key);
    shown = key.get();
  }
  return absl::OkStatus();
}

}  // namespace dqueue::queue
