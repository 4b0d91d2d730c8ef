// Writes an image while commands are applied, and restores a state machine from one.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/check.h"
#include "base/string_seam.h"
#include "queue/api/hash.h"
#include "queue/api/limits.h"
#include "queue/state/attempts.h"
#include "queue/state/mutants.h"
#include "queue/state/state_level.h"
#include "queue/state/state_machine_impl.h"

namespace dqueue::queue {
namespace {

// Bytes that a skipped slot counts as, against max_bytes: walking over a mostly empty slab takes
// time too.
constexpr size_t kPassedSlotBytes = 8;
// An image is given up when the copies of changed records exceed this part of the jobs, or the
// minimum if that is more. Their buffer may be twice as large.
constexpr size_t kImageCopiesShare = 32;
constexpr size_t kImageCopiesMin = 4 << 20;
// A side buffer that grew beyond this is freed when it has been drained.
constexpr size_t kSideBufferKeptBytes = 1 << 20;

constexpr uint64_t kArrangementSeed = 0x6f72646572;

// Moves up to max_bytes from the side buffer to *out; the number moved. Frames may be cut: nothing
// else may be written before the buffer is drained.
size_t Drain(std::string* ahead, size_t* drained, size_t max_bytes, std::string* out) {
  const size_t n = std::min(max_bytes, ahead->size() - *drained);
  out->append(*ahead, *drained, n);
  *drained += n;
  if (*drained == ahead->size()) {
    ahead->clear();
    if (ahead->capacity() > kSideBufferKeptBytes) ahead->shrink_to_fit();
    *drained = 0;
  }
  return n;
}

}  // namespace

// ---- copy on write ----

void StateMachine::Impl::SaveForImage(uint32_t slot) {
  if (slot < walk.job_next || slot >= walk.job_end) return;
  StoredJob& job = jobs[slot];
  if (job.image == walk.number || job.sequence >= walk.header.next_sequence) return;
  AppendJob(job, ready.queue_of(job.lane), ready.type_of(job.lane), &walk.ahead);
  ++walk.written.jobs;
  job.image = walk.number;
  MaybeAbandonImage();
}

void StateMachine::Impl::SaveQueueForImage(uint32_t queue) {
  if (queue < walk.queue_next || queue >= walk.queue_end) return;
  QueueRecord& record = queues[queue];
  if (record.image == walk.number) return;
  AppendQueue(queue, record, walk.header.version(), &walk.queues_ahead);
  ++walk.written.queues;
  record.image = walk.number;
  MaybeAbandonImage();
}

void StateMachine::Impl::AppendKeyToImage(const IdempotencyTable::Entry& entry, std::string* out) {
  uint32_t number = kNoSlot;
  if (walk.header.level == 0) {
    // The queue may have been forgotten since the walk began, if the level has risen.
    const auto it = walk.forgotten_queues.find(AbslView(entry.queue()));
    number = it != walk.forgotten_queues.end() ? it->second : queues.Find(entry.queue());
    DQ_CHECK(number != kNoSlot);
  }
  AppendKey(entry, number, walk.header.version(), out);
  ++walk.written.keys;
}

void StateMachine::Impl::SaveFirstRequestForImage() {
  // Entries leave from the front, where the walk stands or has been.
  if (walk.requests_left == 0 || requests.First() != walk.request_next) return;
  AppendNextRequest(&walk.ahead);
  MaybeAbandonImage();
}

void StateMachine::Impl::AppendNextRequest(std::string* out) {
  const RequestTable::Entry& entry = requests[walk.request_next];
  AppendRequest(entry, out);
  ++walk.written.requests;
  walk.request_next = entry.next;
  --walk.requests_left;
}

void StateMachine::Impl::SaveIdempotencyKeyForImage(uint32_t slot) {
  if (slot < walk.key_next || slot >= walk.key_end) return;
  const IdempotencyTable::Entry& entry = idempotency[slot];
  if (entry.image == walk.number || entry.sequence >= walk.header.next_sequence) return;
  AppendKeyToImage(entry, &walk.ahead);
  idempotency.MarkImage(slot, walk.number);
  MaybeAbandonImage();
}

void StateMachine::Impl::AbandonImage() {
  const ImageHeader header = walk.header;
  const uint32_t number = walk.number;
  // Assigning an empty string would keep the memory.
  std::string().swap(walk.ahead);
  std::string().swap(walk.queues_ahead);
  walk = ImageWalk{};
  walk.header = header;
  walk.number = number;
}

// Here, not when the next piece is written: one entry may change every record.
void StateMachine::Impl::MaybeAbandonImage() {
  const size_t jobs_bytes = live_block_bytes + finished_block_bytes + dead_block_bytes;
  const size_t copies_max = std::max(kImageCopiesMin, jobs_bytes / kImageCopiesShare);
  if (walk.ahead.size() + walk.queues_ahead.size() > copies_max) AbandonImage();
}

// ---- taking an image ----

void StateMachine::BeginSnapshot() {
  Impl& state = *impl_;
  ImageWalk& walk = state.walk;
  DQ_CHECK_MSG(walk.phase == ImageWalk::Phase::kIdle, "one image at a time");
  DQ_CHECK_MSG(!applying(), "an entry is applied in part");
  const uint32_t number = walk.number + 1;
  walk = ImageWalk{};
  walk.number = number;
  walk.phase = ImageWalk::Phase::kHeader;
  walk.queue_end = state.queues.end();
  walk.job_end = state.jobs.end();
  walk.key_end = DQ_MUTANT(mutants::kSnapshotWithoutIdempotency) ? 0 : state.idempotency.end();
  walk.header.applied = state.applied.value();
  walk.header.time_ms = state.time_ms;
  walk.header.next_sequence = state.next_sequence;
  walk.api_keys = state.api_keys.All();
  walk.header.counts = {state.queues.size(), state.jobs.used(), state.idempotency.size(),
                        state.api_keys.size(), state.requests.size()};
  walk.header.level = state.level;
  walk.header.forgotten_queues = state.queues.forgotten_count();
  walk.header.forgotten = state.queues.forgotten();
  walk.request_next = state.requests.First();
  walk.requests_left = state.requests.size();
  walk.header.digest = Digest();
  if (DQ_MUTANT(mutants::kSnapshotWithoutIdempotency)) {
    walk.header.counts.keys = 0;
    HashSums sums = state.Sums();
    sums.keys = 0;
    walk.header.digest = state.DigestOf(sums);
  }
  if (DQ_MUTANT(mutants::kSnapshotWithoutApiKeys)) {
    walk.api_keys.clear();
    walk.header.counts.api_keys = 0;
    HashSums sums = state.Sums();
    sums.api_keys = 0;
    walk.header.digest = state.DigestOf(sums);
  }
}

bool StateMachine::ContinueSnapshot(size_t max_bytes, std::string* out) {
  Impl& state = *impl_;
  ImageWalk& walk = state.walk;
  DQ_CHECK_MSG(walk.phase != ImageWalk::Phase::kIdle, "no image was begun");
  const size_t start = out->size();
  size_t passed = 0;
  const auto room = [&] {
    const size_t used = out->size() - start + passed * kPassedSlotBytes;
    return used < std::max<size_t>(max_bytes, 1) ? std::max<size_t>(max_bytes, 1) - used : 0;
  };
  while (room() > 0) {
    switch (walk.phase) {
      case ImageWalk::Phase::kHeader:
        AppendHeader(walk.header, out);
        walk.phase = ImageWalk::Phase::kQueues;
        break;
      case ImageWalk::Phase::kQueues:
        if (!walk.queues_ahead.empty()) {
          Drain(&walk.queues_ahead, &walk.drained, room(), out);
        } else if (walk.queue_next == walk.queue_end) {
          walk.phase = ImageWalk::Phase::kJobs;
        } else {
          const uint32_t queue = walk.queue_next++;
          if (!state.queues.used(queue) || state.queues[queue].image == walk.number) {
            ++passed;
          } else {
            AppendQueue(queue, state.queues[queue], walk.header.version(), out);
            ++walk.written.queues;
          }
        }
        break;
      case ImageWalk::Phase::kJobs:
        if (!walk.ahead.empty()) {
          Drain(&walk.ahead, &walk.drained, room(), out);
        } else if (walk.job_next == walk.job_end) {
          walk.phase = ImageWalk::Phase::kIdempotency;
        } else {
          const StoredJob& job = state.jobs[walk.job_next++];
          if (job.state == 0 || job.image == walk.number ||
              job.sequence >= walk.header.next_sequence) {
            ++passed;
          } else {
            AppendJob(job, state.ready.queue_of(job.lane), state.ready.type_of(job.lane), out);
            ++walk.written.jobs;
          }
        }
        break;
      case ImageWalk::Phase::kIdempotency:
        if (!walk.ahead.empty()) {
          Drain(&walk.ahead, &walk.drained, room(), out);
        } else if (walk.key_next == walk.key_end) {
          walk.phase = ImageWalk::Phase::kRequests;
        } else {
          const IdempotencyTable::Entry& entry = state.idempotency[walk.key_next++];
          if (!entry.used() || entry.image == walk.number ||
              entry.sequence >= walk.header.next_sequence) {
            ++passed;
          } else {
            state.AppendKeyToImage(entry, out);
          }
        }
        break;
      case ImageWalk::Phase::kRequests:
        if (!walk.ahead.empty()) {
          Drain(&walk.ahead, &walk.drained, room(), out);
        } else if (walk.requests_left == 0) {
          walk.phase = ImageWalk::Phase::kApiKeys;
        } else {
          state.AppendNextRequest(out);
        }
        break;
      case ImageWalk::Phase::kApiKeys:
        if (walk.api_key_next == walk.api_keys.size()) {
          walk.phase = ImageWalk::Phase::kEnd;
        } else {
          AppendApiKey(*std::exchange(walk.api_keys[walk.api_key_next++], nullptr), out);
          ++walk.written.api_keys;
        }
        break;
      case ImageWalk::Phase::kEnd:
        DQ_CHECK(walk.ahead.empty() && walk.queues_ahead.empty());
        DQ_CHECK(walk.written == walk.header.counts);
        AppendEnd(walk.written, walk.header.version(), out);
        walk.phase = ImageWalk::Phase::kIdle;
        return true;
      case ImageWalk::Phase::kIdle:
        DQ_CHECK(false);
    }
  }
  return false;
}

void StateMachine::AbandonSnapshot() { impl_->AbandonImage(); }
bool StateMachine::snapshot_running() const { return impl_->walk.phase != ImageWalk::Phase::kIdle; }
raft::Index StateMachine::snapshot_index() const { return raft::Index(impl_->walk.header.applied); }
uint64_t StateMachine::snapshot_digest() const { return impl_->walk.header.digest; }

// ---- restoring ----

struct StateMachine::Restorer::Impl {
  explicit Impl(StateMachine* machine) : target(machine) {}

  StateMachine* target;
  absl::Status status;  // the first error, for good
  std::string pending;  // the beginning of a frame
  bool magic_seen = false;
  bool header_seen = false;
  bool end_seen = false;
  uint32_t version = 0;
  ImageHeader header;
  ImageCounts read;
  // By the image's number of the queue: its number here.
  absl::flat_hash_map<uint32_t, uint32_t> queues;
  // By the number here: its jobs by state, to compare with its totals.
  std::vector<Totals> counted;
  uint32_t last_job = kNoSlot;  // whose attempts may come next
  HashSequence arrangement{kArrangementSeed};

  absl::Status Damaged(const std::string& what) const {
    return absl::DataLossError("snapshot image: " + what + " (after " + std::to_string(read.jobs) +
                               " of " + std::to_string(header.counts.jobs) + " jobs)");
  }

  // Jobs that were read but not looked up yet, so that cache misses of several overlap. Views into
  // what is being fed.
  struct Waiting {
    ImageJob job;
    JobSpecView spec;
    uint64_t id_hash = 0;
  };
  static constexpr size_t kWaitingMax = 16;
  std::vector<Waiting> waiting;

  absl::Status Take(std::string_view bytes, size_t* used);
  absl::Status Frame(FrameKind kind, std::string_view body);
  absl::Status Header(std::string_view body);
  absl::Status Queue(std::string_view body);
  absl::Status Job(std::string_view body);
  absl::Status AddWaiting();
  absl::Status Add(const Waiting& next);
  absl::Status Attempts(std::string_view body);
  absl::Status Key(std::string_view body);
  absl::Status Request(std::string_view body);
  absl::Status ApiKey(std::string_view body);
  absl::Status End(std::string_view body);
  std::string ProblemOf(const Waiting& next) const;
  absl::Status Finish(raft::Index index, uint64_t digest);
};

// As many whole frames as there are; *used: how much of `bytes` they were.
absl::Status StateMachine::Restorer::Impl::Take(std::string_view bytes, size_t* used) {
  *used = 0;
  if (!magic_seen) {
    if (bytes.size() < kImageMagic.size()) return absl::OkStatus();
    if (bytes.substr(0, kImageMagic.size()) != kImageMagic) {
      return Damaged("it does not begin with " + std::string(kImageMagic));
    }
    magic_seen = true;
    *used = kImageMagic.size();
  }
  while (true) {
    const std::string_view rest = bytes.substr(*used);
    if (rest.size() < kFrameHeaderSize) return AddWaiting();
    ByteReader reader(rest);
    const auto kind = static_cast<FrameKind>(reader.Byte());
    const uint32_t size = reader.Fixed32();
    if (reader.remaining() < size) return AddWaiting();
    const absl::Status taken = Frame(kind, reader.Bytes(size));
    if (!taken.ok()) return taken;
    *used += kFrameHeaderSize + size;
  }
}

absl::Status StateMachine::Restorer::Impl::Frame(FrameKind kind, std::string_view body) {
  if (end_seen) return Damaged("something follows its end");
  if (header_seen == (kind == FrameKind::kHeader)) {
    return Damaged(header_seen ? "a second header" : "it does not begin with a header");
  }
  if (kind != FrameKind::kJob) {
    const absl::Status added = AddWaiting();
    if (!added.ok()) return added;
    if (kind != FrameKind::kAttempts) last_job = kNoSlot;
  }
  switch (kind) {
    case FrameKind::kHeader:
      return Header(body);
    case FrameKind::kQueue:
      return Queue(body);
    case FrameKind::kJob:
      return Job(body);
    case FrameKind::kAttempts:
      return Attempts(body);
    case FrameKind::kKey:
      return Key(body);
    case FrameKind::kRequest:
      return Request(body);
    case FrameKind::kApiKey:
      return ApiKey(body);
    case FrameKind::kEnd:
      return End(body);
  }
  return Damaged("a frame of the unknown kind " + std::to_string(static_cast<int>(kind)));
}

absl::Status StateMachine::Restorer::Impl::Header(std::string_view body) {
  const bool readable = ParseHeader(body, &version, &header);
  if (version > kImageVersion) {
    return Damaged("format version " + std::to_string(version) + "; this program reads " +
                   std::to_string(kImageVersion) + ": upgrade it");
  }
  if (!readable) return Damaged("its header cannot be read");
  if (version < kImageVersionMin) {
    return Damaged("format version " + std::to_string(version) + "; the oldest is " +
                   std::to_string(kImageVersionMin));
  }
  if (header.counts.queues > kQueuesMax) {
    return Damaged(std::to_string(header.counts.queues) + " queues; the limit is " +
                   std::to_string(kQueuesMax));
  }
  if (header.next_sequence == 0) return Damaged("the next sequence is 0");
  if (header.level > kStateLevelMax) {
    return Damaged("level " + std::to_string(header.level) + "; this program knows up to " +
                   std::to_string(kStateLevelMax) + ": upgrade it");
  }
  if (header.counts.requests > kRequestsMax) {
    return Damaged(std::to_string(header.counts.requests) + " requests; the limit is " +
                   std::to_string(kRequestsMax));
  }
  if (!header.forgotten.AddUp() || header.forgotten.Jobs() != 0) {
    return Damaged("the totals of forgotten queues do not add up");
  }
  header_seen = true;
  StateMachine::Impl& state = *target->impl_;
  state.applied = raft::Index(header.applied);
  state.time_ms = header.time_ms;
  state.next_sequence = header.next_sequence;
  state.level = header.level;
  state.queues.SetForgotten(header.forgotten_queues, header.forgotten);
  return absl::OkStatus();
}

absl::Status StateMachine::Restorer::Impl::Queue(std::string_view body) {
  ImageQueue queue;
  if (!ParseQueue(body, version, &queue)) return Damaged("a queue cannot be read");
  if (queues.contains(queue.number) || read.queues >= header.counts.queues) {
    return Damaged("a queue of number " + std::to_string(queue.number) + " out of turn");
  }
  StateMachine::Impl& state = *target->impl_;
  if (state.queues.Find(queue.name) != kNoSlot) return Damaged("two queues of one name");
  if (!queue.totals.AddUp()) return Damaged("the totals of a queue do not add up");
  const bool idle = queue.totals.Jobs() == 0 && queue.settings == QueueSettings{};
  if (queue.idle_since_ms > header.time_ms || (queue.idle_since_ms != 0 && !idle)) {
    return Damaged("a queue that is idle since a time to come, or has jobs");
  }
  const uint32_t number = state.AddQueue(queue.name);
  state.queues.SetTotals(number, queue.totals);
  state.queues.SetSettings(number, queue.settings);
  if (idle) state.queues.SetIdle(number, queue.idle_since_ms);
  queues.emplace(queue.number, number);
  counted.resize(std::max<size_t>(counted.size(), number + 1));
  ++read.queues;
  return absl::OkStatus();
}

// Why such a job cannot exist; empty if it can.
std::string StateMachine::Restorer::Impl::ProblemOf(const Waiting& next) const {
  const ImageJob& job = next.job;
  const auto state = static_cast<v1::JobState>(job.state);
  if (!IsLive(state) && !IsFinished(state)) return "the state " + std::to_string(job.state);
  if (job.dead_reason > v1::DEAD_REASON_REJECTED ||
      (job.dead_reason != 0) != (state == v1::JOB_STATE_DEAD)) {
    return "a reason of death that does not fit its state";
  }
  const bool has_token = job.last_token != LeaseToken{};
  if (job.token_end > kTokenEndMax ||
      (static_cast<TokenEnd>(job.token_end) != TokenEnd::kNone) != has_token) {
    return "a token that nothing ended";
  }
  if (job.sequence == 0 || job.sequence >= header.next_sequence) return "a sequence to come";
  if (job.create_ms > header.time_ms || job.since_ms > header.time_ms) return "a time to come";
  if (state == v1::JOB_STATE_READY && job.run_ms > header.time_ms) return "a run time to come";
  if (target->impl_->FindJob(next.spec.id, next.id_hash) != kNoSlot) return "the id of another job";
  return "";
}

absl::Status StateMachine::Restorer::Impl::Job(std::string_view body) {
  Waiting next;
  if (!ParseJob(body, version, &next.job) || !ParseSpec(next.job.spec, &next.spec)) {
    return Damaged("a job cannot be read");
  }
  next.id_hash = JobIdHash(next.spec.id);
  target->impl_->by_id.Prefetch(next.id_hash);
  waiting.push_back(next);
  return waiting.size() < kWaitingMax ? absl::OkStatus() : AddWaiting();
}

absl::Status StateMachine::Restorer::Impl::AddWaiting() {
  for (const Waiting& next : waiting) {
    const absl::Status added = Add(next);
    if (!added.ok()) return added;
  }
  waiting.clear();
  return absl::OkStatus();
}

absl::Status StateMachine::Restorer::Impl::Add(const Waiting& next) {
  const ImageJob& job = next.job;
  const auto queue = queues.find(job.queue);
  if (queue == queues.end()) return Damaged("a job of an unknown queue");
  const std::string problem = ProblemOf(next);
  if (!problem.empty()) return Damaged("a job has " + problem);

  StateMachine::Impl& state = *target->impl_;
  const uint32_t slot = state.jobs.Allocate();
  StoredJob& record = state.jobs[slot];
  record.spec_size = static_cast<uint32_t>(job.spec.size());
  record.spec = std::make_unique_for_overwrite<char[]>(job.spec.size());
  PutBytes(record.spec.get(), job.spec);
  record.outcome.Set(job.error, job.result, {});
  record.sequence = job.sequence;
  record.create_ms = job.create_ms;
  record.run_ms = job.run_ms;
  record.expire_ms = job.expire_ms;
  record.since_ms = job.since_ms;
  record.last_token = job.last_token;
  record.lane = state.ready.AcquireLane(queue->second, job.type);
  record.failed = job.failed;
  record.expired = job.expired;
  record.delivered = job.delivered;
  record.state = job.state;
  record.dead_reason = job.dead_reason & 0x7f;
  record.of_request = job.of_request;
  record.token_end = static_cast<TokenEnd>(job.token_end);
  record.priority = job.priority;
  record.fixed_hash = FixedHash(record, state.ready.hash_of(record.lane));
  state.by_id.Insert(next.id_hash, slot);
  state.BlockBytesOf(record) += BlockBytes(record);
  state.EndChange(slot);
  if (!state.InsertPlace(slot) ||
      (state.IsExpiring(record) &&
       !state.expiring
            .insert(OrderedSlot(static_cast<uint64_t>(record.expire_ms), record.sequence, slot))
            .second)) {
    return Damaged("two jobs of one sequence");
  }
  arrangement.Add(job.sequence);
  ++counted[queue->second][TotalOf(record.job_state())];
  ++read.jobs;
  last_job = slot;
  return absl::OkStatus();
}

absl::Status StateMachine::Restorer::Impl::Attempts(std::string_view body) {
  ImageAttempts read_attempts;
  std::vector<AttemptView> attempts;
  if (version < 3 || !ParseAttemptsFrame(body, &read_attempts) ||
      !ParseAttempts(read_attempts.attempts, &attempts)) {
    return Damaged("attempts cannot be read");
  }
  StateMachine::Impl& state = *target->impl_;
  if (last_job == kNoSlot || state.jobs[last_job].sequence != read_attempts.sequence) {
    return Damaged("attempts that do not follow their job");
  }
  const StoredJob& job = state.jobs[last_job];
  if (attempts.back().number > job.delivered || attempts.back().end_ms > header.time_ms) {
    return Damaged("an attempt to come");
  }
  state.BeginChange(last_job);
  state.SetOutcome(last_job, job.outcome.error(), job.outcome.result(), read_attempts.attempts);
  state.EndChange(last_job);
  last_job = kNoSlot;
  return absl::OkStatus();
}

absl::Status StateMachine::Restorer::Impl::Key(std::string_view body) {
  ImageKey key;
  if (!ParseKey(body, version, &key)) return Damaged("an idempotency key cannot be read");
  StateMachine::Impl& state = *target->impl_;
  if (version < 4) {
    const auto queue = queues.find(key.queue_number);
    if (queue == queues.end()) return Damaged("an idempotency key of an unknown queue");
    key.queue_name = state.queues[queue->second].name;
  }
  if (key.sequence == 0 || key.sequence >= header.next_sequence) {
    return Damaged("an idempotency key with a sequence to come");
  }
  if (state.idempotency.Find(key.queue_name, key.key) != kNoSlot ||
      !state.idempotency.Add(key.queue_name, key.key, key.job_id, key.identity, key.sequence,
                             key.end_ms)) {
    return Damaged("an idempotency key that is there twice");
  }
  ++read.keys;
  return absl::OkStatus();
}

absl::Status StateMachine::Restorer::Impl::Request(std::string_view body) {
  RequestTable::Entry entry;
  if (version < 4 || !ParseRequest(body, &entry)) return Damaged("a request cannot be read");
  if (entry.sequence == 0 || entry.sequence >= header.next_sequence) {
    return Damaged("a request with a sequence to come");
  }
  if (read.requests >= header.counts.requests) return Damaged("a request too many");
  target->impl_->requests.Add(entry.key, entry.identity, entry.sequence, entry.end_ms);
  ++read.requests;
  return absl::OkStatus();
}

absl::Status StateMachine::Restorer::Impl::ApiKey(std::string_view body) {
  KeyRecord key;
  if (!ParseApiKey(body, &key)) return Damaged("an API key cannot be read");
  const std::string problem = target->impl_->api_keys.Restore(std::move(key), header.time_ms);
  if (!problem.empty()) return Damaged(problem);
  ++read.api_keys;
  return absl::OkStatus();
}

absl::Status StateMachine::Restorer::Impl::End(std::string_view body) {
  ImageCounts counts;
  if (!ParseEnd(body, version, &counts)) return Damaged("its end cannot be read");
  if (counts != header.counts || counts != read) return Damaged("records are missing");
  end_seen = true;
  return absl::OkStatus();
}

absl::Status StateMachine::Restorer::Impl::Finish(raft::Index index, uint64_t digest) {
  if (!end_seen || !pending.empty()) return Damaged("it is incomplete");
  StateMachine::Impl& state = *target->impl_;
  if (state.applied != index) {
    return Damaged("it is of index " + std::to_string(header.applied) + ", not of " +
                   std::to_string(index.value()));
  }
  for (uint32_t queue = 0; queue < counted.size(); ++queue) {
    for (const Total total :
         {Total::kScheduled, Total::kReady, Total::kSucceeded, Total::kDead, Total::kCancelled}) {
      if (counted[queue][total] != state.queues[queue].totals[total]) {
        return Damaged("the jobs of a queue are not as many as its totals say");
      }
    }
  }
  // Only now: a key may come before its job.
  for (uint32_t entry = 0; entry < state.idempotency.end(); ++entry) {
    const uint32_t job = state.FindJob(state.idempotency[entry].job_id());
    const bool waits = job != kNoSlot &&
                       state.jobs[job].sequence == state.idempotency[entry].sequence &&
                       IsLive(state.jobs[job].job_state());
    if (!waits) state.idempotency.SetSpent(entry, true);
  }
  state.queues.Settle();
  if (header.digest != digest || target->Digest() != digest) {
    return Damaged("its digest is not the expected one");
  }
  state.arrangement = arrangement.Finish();
  return absl::OkStatus();
}

StateMachine::Restorer::Restorer(StateMachine* target) : impl_(std::make_unique<Impl>(target)) {
  target->impl_ = std::make_unique<StateMachine::Impl>();
}

StateMachine::Restorer::~Restorer() = default;

absl::Status StateMachine::Restorer::Feed(std::string_view bytes) {
  Impl& impl = *impl_;
  if (!impl.status.ok()) return impl.status;
  size_t used = 0;
  if (impl.pending.empty()) {
    impl.status = impl.Take(bytes, &used);
    if (impl.status.ok()) impl.pending.assign(bytes.substr(used));
  } else {
    impl.pending.append(bytes);
    impl.status = impl.Take(impl.pending, &used);
    impl.pending.erase(0, used);
  }
  return impl.status;
}

absl::Status StateMachine::Restorer::Finish(raft::Index index, uint64_t digest) {
  if (impl_->status.ok()) impl_->status = impl_->Finish(index, digest);
  return impl_->status;
}

}  // namespace dqueue::queue
