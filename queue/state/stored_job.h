// A job as a replica stores it: a fixed record in a slab, and two blocks of bytes. The spec block
// holds what never changes after the enqueue. The outcome block holds result, last error and
// attempts; it is allocated when first needed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "dqueue/v1/job.pb.h"
#include "queue/api/hash.h"
#include "queue/state/byte_codec.h"
#include "queue/state/command_reader.h"
#include "queue/state/state_machine.h"
#include "queue/state/tables/slab.h"

namespace dqueue::queue {

// The end of the year 9999, the latest time of a protobuf Timestamp. Times from the log are clamped
// to [0, kTimeMsMax], so that adding and packing them cannot overflow.
inline constexpr int64_t kTimeMsMax = 253402300799999;

// The order of delivery packs a priority above a time.
inline constexpr int kPriorityShift = 56;
static_assert(kTimeMsMax < int64_t{1} << kPriorityShift);

int64_t ClampTime(int64_t time_ms);
// The sum, at most kTimeMsMax. A negative duration counts as 0.
int64_t TimeAfter(int64_t time_ms, int64_t duration_ms);

// The fields of a spec block, as views into it.
struct JobSpecView {
  std::string_view id;
  uint32_t max_retries = 0;
  uint32_t max_expirations = 0;
  uint32_t backoff = 0;
  int64_t backoff_base_ms = 0;
  int64_t backoff_max_ms = 0;
  uint32_t jitter_permille = 0;
  int64_t retention_ms = 0;
  int64_t lease_duration_ms = 0;
  std::string_view idempotency_key;
  std::string_view ordering_key;
  std::string_view request_key;  // of a job of a request with an id of its own; 16 bytes
  std::string_view headers;      // for ForEachPair
  std::string_view labels;
  std::string_view payload;
  uint64_t identity = 0;  // ContentIdentity, if the block has it; 0: it has not
};

struct SpecBlock {
  std::unique_ptr<char[]> bytes;
  uint32_t size = 0;
  bool has_identity = false;  // in its last 8 bytes
  std::string_view view() const { return {bytes.get(), size}; }
};

// A spec block has everything of the job but queue, type, priority and times. Of a job of a request
// with a large payload, it has room for the ContentIdentity, so that the payload need not be hashed
// when the job is removed.
SpecBlock EncodeSpec(const EnqueuedJob& job);
// Sets the identity, if the block has room for one.
void SetIdentity(uint64_t identity, SpecBlock* block);
// False if the bytes are no spec block (they may come from a damaged file).
bool ParseSpec(std::string_view block, JobSpecView* out);
// For blocks that EncodeSpec made.
JobSpecView SpecOf(std::string_view block);
std::string_view IdOf(std::string_view block);
int64_t RetentionOf(std::string_view block);
// Calls f(key, value) for each header or label.
template <class F>
void ForEachPair(std::string_view pairs, const F& f) {
  ByteReader reader(pairs);
  while (reader.ok() && reader.remaining() > 0) {
    const std::string_view key = reader.String();
    const std::string_view value = reader.String();
    if (reader.ok()) f(key, value);
  }
}

// Hash of a job's content, without id, idempotency key, times and retry settings. Two enqueues with
// the same identity count as the same enqueue, repeated.
uint64_t ContentIdentity(std::string_view queue, std::string_view type, uint8_t priority,
                         const JobSpecView& spec);

class OutcomeBlock {
 public:
  bool empty() const { return bytes_ == nullptr; }
  std::string_view error() const;
  std::string_view result() const;
  std::string_view attempts() const;  // for ParseAttempts
  // 0 if empty; else over all three.
  uint64_t hash() const;
  size_t allocated() const;
  void Set(std::string_view error, std::string_view result, std::string_view attempts);

 private:
  struct Header {
    uint64_t hash;
    uint32_t error_size;
    uint32_t result_size : 31;
    uint32_t has_attempts : 1;  // their size, 32 bits, and their bytes are behind the result
  };
  Header header() const;

  std::unique_ptr<char[]> bytes_;
};

struct StoredJob {
  std::unique_ptr<char[]> spec;
  OutcomeBlock outcome;
  uint64_t fixed_hash = 0;  // of all that never changes: see FixedHash
  uint64_t sequence = 0;    // of the enqueue; unique in the cluster
  int64_t create_ms = 0;
  int64_t run_ms = 0;
  int64_t expire_ms = 0;  // 0: never
  int64_t since_ms = 0;   // when it entered its present state
  LeaseToken last_token;
  uint32_t spec_size = 0;
  uint32_t lane = kNoSlot;  // queue and type: ready_index.h
  uint32_t failed = 0;
  uint32_t expired = 0;
  uint32_t delivered = 0;
  uint32_t hold = kNoSlot;  // position among the held; not replicated
  uint32_t image = 0;       // the last image that got this record ahead of its turn; not replicated
  uint8_t state = 0;        // v1::JobState; 0: the slot is free
  uint8_t dead_reason : 7 = 0;  // v1::DeadReason
  uint8_t of_request : 1 = 0;   // remembered in the RequestTable when it is gone
  TokenEnd token_end = TokenEnd::kNone;
  uint8_t priority = 0;

  uint32_t& free_link() { return lane; }
  std::string_view spec_view() const { return {spec.get(), spec_size}; }
  bool held() const { return hold != kNoSlot; }
  v1::JobState job_state() const { return static_cast<v1::JobState>(state); }
  uint64_t DeliveryOrder() const {
    return static_cast<uint64_t>(255 - priority) << kPriorityShift | static_cast<uint64_t>(run_ms);
  }
};
static_assert(sizeof(StoredJob) <= 120);

// lane_hash: of the names of queue and type.
uint64_t FixedHash(const StoredJob& record, uint64_t lane_hash);
// Of its spec and outcome blocks, as the allocator counts them.
size_t BlockBytes(const StoredJob& record);
// Everything replicated about the job, given its fixed_hash.
uint64_t RecordHash(const StoredJob& record);
// When the retention of a finished job ends.
int64_t PurgeTime(const StoredJob& record);
// The retention that the producer asked for, or the default for the state.
int64_t EffectiveRetention(int64_t retention_ms, v1::JobState state);

}  // namespace dqueue::queue
