#include "queue/state/stored_job.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "queue/api/limits.h"
#include "queue/state/tables/heap_bytes.h"

namespace dqueue::queue {
namespace {

constexpr uint64_t kSpecSeed = 0x6a6f62;
constexpr uint64_t kIdentitySeed = 0x6d65616e;
constexpr uint64_t kOutcomeSeed = 0x646f6e65;
constexpr uint64_t kRecordSeed = 0x7265636f;

// Bits of the backoff in a spec block: what else the block has. Level 0 has none of them.
constexpr uint32_t kHasRequestKey = uint32_t{1} << 31;
constexpr uint32_t kHasIdentity = uint32_t{1} << 30;
constexpr uint32_t kBackoffMask = ~(kHasRequestKey | kHasIdentity);
constexpr size_t kRequestKeyBytes = 16;
constexpr size_t kIdentityBytes = 8;
// Hashing less than this takes about a microsecond.
constexpr size_t kLargePayloadBytes = 16 << 10;

// Between id and retention in a spec block.
constexpr int kNumbersBeforeRetention = 6;

bool PairsAreSound(std::string_view pairs) {
  ByteReader reader(pairs);
  while (reader.ok() && reader.remaining() > 0) {
    reader.String();
    reader.String();
  }
  return reader.ok();
}

}  // namespace

int64_t ClampTime(int64_t time_ms) { return std::clamp<int64_t>(time_ms, 0, kTimeMsMax); }

int64_t TimeAfter(int64_t time_ms, int64_t duration_ms) {
  return ClampTime(ClampTime(time_ms) + ClampTime(duration_ms));
}

// Order of the fields: id, limits, backoff, durations, request key (if any), keys, headers, labels,
// payload (the rest), identity (if any).
SpecBlock EncodeSpec(const EnqueuedJob& job) {
  size_t headers_size = 0;
  size_t labels_size = 0;
  const auto add_to = [](size_t* sum) {
    return [sum](std::string_view key, std::string_view value) {
      *sum += StringSize(key) + StringSize(value);
    };
  };
  ForEachHeader(job, add_to(&headers_size));
  ForEachLabel(job, add_to(&labels_size));
  const bool has_key = job.request_key.size() == kRequestKeyBytes;
  const bool has_identity =
      (job.id_of_request || has_key) && job.payload.size() > kLargePayloadBytes;
  const uint32_t backoff = (job.backoff & kBackoffMask) | (has_key ? kHasRequestKey : 0) |
                           (has_identity ? kHasIdentity : 0);
  const uint64_t numbers[] = {job.max_retries,
                              job.max_expirations,
                              backoff,
                              ZigZag(job.backoff_base_ms),
                              ZigZag(job.backoff_max_ms),
                              job.jitter_permille,
                              ZigZag(job.retention_ms),
                              ZigZag(job.lease_duration_ms)};
  size_t size = StringSize(job.id);
  for (const uint64_t number : numbers) size += VarintSize(number);
  size += StringSize(job.idempotency_key) + StringSize(job.ordering_key);
  size += VarintSize(headers_size) + headers_size + VarintSize(labels_size) + labels_size;
  if (has_key) size += kRequestKeyBytes;
  size += job.payload.size();
  if (has_identity) size += kIdentityBytes;
  DQ_CHECK(size <= UINT32_MAX);

  SpecBlock block{std::make_unique_for_overwrite<char[]>(size), static_cast<uint32_t>(size),
                  has_identity};
  char* p = PutString(block.bytes.get(), job.id);
  for (const uint64_t number : numbers) p = PutVarint(p, number);
  if (has_key) p = PutBytes(p, job.request_key);
  p = PutString(p, job.idempotency_key);
  p = PutString(p, job.ordering_key);
  const auto put = [&p](std::string_view key, std::string_view value) {
    p = PutString(PutString(p, key), value);
  };
  p = PutVarint(p, headers_size);
  ForEachHeader(job, put);
  p = PutVarint(p, labels_size);
  ForEachLabel(job, put);
  p = PutBytes(p, job.payload);
  if (has_identity) {
    SetIdentity(0, &block);
    p += kIdentityBytes;
  }
  DQ_CHECK(p == block.bytes.get() + size);
  return block;
}

void SetIdentity(uint64_t identity, SpecBlock* block) {
  if (!block->has_identity) return;
  std::memcpy(block->bytes.get() + block->size - kIdentityBytes, &identity, kIdentityBytes);
}

bool ParseSpec(std::string_view block, JobSpecView* out) {
  ByteReader reader(block);
  out->id = reader.String();
  out->max_retries = reader.Varint32();
  out->max_expirations = reader.Varint32();
  const uint32_t backoff = reader.Varint32();
  out->backoff = backoff & kBackoffMask;
  out->backoff_base_ms = UnZigZag(reader.Varint());
  out->backoff_max_ms = UnZigZag(reader.Varint());
  out->jitter_permille = reader.Varint32();
  out->retention_ms = UnZigZag(reader.Varint());
  out->lease_duration_ms = UnZigZag(reader.Varint());
  if ((backoff & kHasRequestKey) != 0) out->request_key = reader.Bytes(kRequestKeyBytes);
  out->idempotency_key = reader.String();
  out->ordering_key = reader.String();
  out->headers = reader.String();
  out->labels = reader.String();
  const size_t identity_bytes = (backoff & kHasIdentity) != 0 ? kIdentityBytes : 0;
  if (reader.remaining() < identity_bytes) return false;
  out->payload = reader.Bytes(reader.remaining() - identity_bytes);
  if (identity_bytes > 0) out->identity = reader.Fixed64();
  return reader.ok() && PairsAreSound(out->headers) && PairsAreSound(out->labels);
}

JobSpecView SpecOf(std::string_view block) {
  JobSpecView spec;
  DQ_CHECK(ParseSpec(block, &spec));
  return spec;
}

std::string_view IdOf(std::string_view block) { return ByteReader(block).String(); }

int64_t RetentionOf(std::string_view block) {
  ByteReader reader(block);
  reader.String();
  for (int i = 0; i < kNumbersBeforeRetention; ++i) reader.Varint();
  return UnZigZag(reader.Varint());
}

uint64_t ContentIdentity(std::string_view queue, std::string_view type, uint8_t priority,
                         const JobSpecView& spec) {
  return HashSequence(kIdentitySeed)
      .Add(queue)
      .Add(type)
      .Add(priority)
      .Add(spec.ordering_key)
      .Add(spec.headers)
      .Add(spec.labels)
      .Add(spec.payload)
      .Finish();
}

OutcomeBlock::Header OutcomeBlock::header() const {
  Header header;
  std::memcpy(&header, bytes_.get(), sizeof header);
  return header;
}

std::string_view OutcomeBlock::error() const {
  if (empty()) return {};
  return {bytes_.get() + sizeof(Header), header().error_size};
}

std::string_view OutcomeBlock::result() const {
  if (empty()) return {};
  const Header h = header();
  return {bytes_.get() + sizeof(Header) + h.error_size, h.result_size};
}

uint64_t OutcomeBlock::hash() const { return empty() ? 0 : header().hash; }

std::string_view OutcomeBlock::attempts() const {
  if (empty() || header().has_attempts == 0) return {};
  const std::string_view before = result();
  const char* const p = before.data() + before.size();
  uint32_t size = 0;
  std::memcpy(&size, p, sizeof size);
  return {p + sizeof size, size};
}

size_t OutcomeBlock::allocated() const {
  if (empty()) return 0;
  const size_t attempts_size =
      header().has_attempts == 0 ? 0 : sizeof(uint32_t) + attempts().size();
  return sizeof(Header) + error().size() + result().size() + attempts_size;
}

void OutcomeBlock::Set(std::string_view error, std::string_view result, std::string_view attempts) {
  if (error.empty() && result.empty() && attempts.empty()) {
    bytes_.reset();
    return;
  }
  DQ_CHECK(error.size() <= UINT32_MAX && result.size() <= INT32_MAX);
  DQ_CHECK(attempts.size() <= UINT32_MAX);
  HashSequence hash(kOutcomeSeed);
  hash.Add(error).Add(result);
  if (!attempts.empty()) hash.Add(attempts);
  const Header header{hash.Finish(), static_cast<uint32_t>(error.size()),
                      static_cast<uint32_t>(result.size()) & INT32_MAX, attempts.empty() ? 0u : 1u};
  const auto attempts_size = static_cast<uint32_t>(attempts.size());
  const size_t size = sizeof(Header) + error.size() + result.size() +
                      (attempts.empty() ? 0 : sizeof attempts_size + attempts.size());
  // The texts may be views of the present block: it goes last.
  auto bytes = std::make_unique_for_overwrite<char[]>(size);
  std::memcpy(bytes.get(), &header, sizeof header);
  char* p = PutBytes(PutBytes(bytes.get() + sizeof(Header), error), result);
  if (!attempts.empty()) {
    std::memcpy(p, &attempts_size, sizeof attempts_size);
    PutBytes(p + sizeof attempts_size, attempts);
  }
  bytes_ = std::move(bytes);
}

uint64_t FixedHash(const StoredJob& record, uint64_t lane_hash) {
  return HashSequence(kSpecSeed)
      .Add(lane_hash)
      .Add(record.spec_view())
      .Add(record.sequence)
      .Add(static_cast<uint64_t>(record.create_ms))
      .Add(record.priority)
      .Finish();
}

size_t BlockBytes(const StoredJob& record) {
  return HeapBytes(record.spec_size) +
         (record.outcome.empty() ? 0 : HeapBytes(record.outcome.allocated()));
}

uint64_t RecordHash(const StoredJob& record) {
  const uint64_t small = record.state | static_cast<uint64_t>(record.dead_reason) << 8 |
                         static_cast<uint64_t>(record.token_end) << 16 |
                         static_cast<uint64_t>(record.of_request) << 24;
  return HashSequence(kRecordSeed)
      .Add(record.fixed_hash)
      .Add(small | static_cast<uint64_t>(record.failed) << 32)
      .Add(record.expired | static_cast<uint64_t>(record.delivered) << 32)
      .Add(static_cast<uint64_t>(record.run_ms))
      .Add(static_cast<uint64_t>(record.expire_ms))
      .Add(static_cast<uint64_t>(record.since_ms))
      .Add(record.last_token.term)
      .Add(record.last_token.sequence)
      .Add(record.outcome.hash())
      .Finish();
}

int64_t EffectiveRetention(int64_t retention_ms, v1::JobState state) {
  if (retention_ms >= 0) return retention_ms;
  return state == v1::JOB_STATE_DEAD ? kDeadRetentionMsDefault : kRetentionMsDefault;
}

int64_t PurgeTime(const StoredJob& record) {
  const int64_t retention_ms = RetentionOf(record.spec_view());
  return TimeAfter(record.since_ms, EffectiveRetention(retention_ms, record.job_state()));
}

}  // namespace dqueue::queue
