// The bytes of a snapshot image; docs/storage.md has the files that hold them.
//
// An image is: the magic "DQIMAGE1", a header frame, then frames of queues, jobs (each, if it has
// attempts, with a frame of these behind it), idempotency keys, requests (in the order in which
// they were added) and API keys, then an end frame. A frame is its kind (one byte), the length of
// its body (fixed, 32 bits, little-endian) and the body. Numbers in bodies are LEB128 varints
// unless they are hashes (fixed, 64 bits, little-endian). All queues come before the first job or
// key, which may come in any order. Requests may come between jobs and keys.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "queue/api/key.h"
#include "queue/state/stored_job.h"
#include "queue/state/tables/idempotency_table.h"
#include "queue/state/tables/queue_table.h"
#include "queue/state/tables/request_table.h"

namespace dqueue::queue {

inline constexpr std::string_view kImageMagic = "DQIMAGE1";
// Version 1 had no settings of queues. Version 2 had neither attempts nor API keys. Version 3 is
// written while the state is at level 0, so that programs that know no levels can read it. Version
// 4 has the level, what was forgotten, since when queues are idle, requests, and idempotency keys
// with the names of their queues.
inline constexpr uint32_t kImageVersion = 4;
inline constexpr uint32_t kImageVersionOfLevel0 = 3;
inline constexpr uint32_t kImageVersionMin = 1;
inline constexpr size_t kFrameHeaderSize = 5;

enum class FrameKind : uint8_t {
  kHeader = 'H',
  kQueue = 'Q',
  kJob = 'J',
  kAttempts = 'A',
  kKey = 'K',
  kApiKey = 'C',
  kRequest = 'R',
  kEnd = 'E',
};

struct ImageCounts {
  uint64_t queues = 0;
  uint64_t jobs = 0;
  uint64_t keys = 0;
  uint64_t api_keys = 0;
  uint64_t requests = 0;
  friend bool operator==(const ImageCounts&, const ImageCounts&) = default;
};

struct ImageHeader {
  uint64_t applied = 0;
  int64_t time_ms = 0;
  uint64_t next_sequence = 0;
  uint64_t digest = 0;
  ImageCounts counts;
  uint32_t level = 0;
  uint64_t forgotten_queues = 0;
  Totals forgotten;  // their totals

  // The version that an image of such a state has.
  uint32_t version() const { return level == 0 ? kImageVersionOfLevel0 : kImageVersion; }
};

struct ImageQueue {
  uint32_t number = 0;
  std::string_view name;
  Totals totals;
  QueueSettings settings;
  int64_t idle_since_ms = 0;
};

// A job's record fields other than blocks, lane and hash; views into the body for the rest.
struct ImageJob {
  uint32_t queue = 0;
  std::string_view type;
  uint8_t state = 0;
  uint8_t dead_reason = 0;
  uint8_t token_end = 0;
  uint8_t priority = 0;
  bool of_request = false;
  uint64_t sequence = 0;
  int64_t create_ms = 0;
  int64_t run_ms = 0;
  int64_t expire_ms = 0;
  int64_t since_ms = 0;
  LeaseToken last_token;
  uint32_t failed = 0;
  uint32_t expired = 0;
  uint32_t delivered = 0;
  std::string_view error;
  std::string_view result;
  std::string_view spec;
};

struct ImageAttempts {
  uint64_t sequence = 0;  // of the job
  std::string_view attempts;
};

struct ImageKey {
  uint32_t queue_number = 0;    // before version 4
  std::string_view queue_name;  // since version 4
  std::string_view key;
  std::string_view job_id;
  uint64_t identity = 0;
  uint64_t sequence = 0;
  int64_t end_ms = 0;
};

// `version` is the header's.
void AppendHeader(const ImageHeader& header, std::string* out);
void AppendQueue(uint32_t number, const QueueRecord& queue, uint32_t version, std::string* out);
// With its attempts.
void AppendJob(const StoredJob& job, uint32_t queue, std::string_view type, std::string* out);
// `queue_number` is that of the entry's queue; used before version 4.
void AppendKey(const IdempotencyTable::Entry& entry, uint32_t queue_number, uint32_t version,
               std::string* out);
void AppendRequest(const RequestTable::Entry& entry, std::string* out);
void AppendApiKey(const KeyRecord& key, std::string* out);
void AppendEnd(const ImageCounts& counts, uint32_t version, std::string* out);

// False if the body is not one of that kind, or something is left after it.
bool ParseHeader(std::string_view body, uint32_t* version, ImageHeader* out);
bool ParseQueue(std::string_view body, uint32_t version, ImageQueue* out);
bool ParseJob(std::string_view body, uint32_t version, ImageJob* out);
bool ParseAttemptsFrame(std::string_view body, ImageAttempts* out);
bool ParseKey(std::string_view body, uint32_t version, ImageKey* out);
bool ParseRequest(std::string_view body, RequestTable::Entry* out);
bool ParseApiKey(std::string_view body, KeyRecord* out);
bool ParseEnd(std::string_view body, uint32_t version, ImageCounts* out);

}  // namespace dqueue::queue
