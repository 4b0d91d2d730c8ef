// Reads a log entry's CommandBatch in place. The result has views into the entry; nothing is copied
// or allocated for each job (parsing into messages took longer than applying them). The entry's
// bytes are Protobuf; the reader accepts what proto/dqueue/v1/command.proto describes and nothing
// else.
//
// It differs from Protobuf's own parser in two ways. An unknown field is reported instead of
// skipped, because it may change what the command does. Text that is not UTF-8 is accepted, because
// an entry that is in the log must not be refused for that.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/work_budget.h"
#include "queue/state/byte_codec.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

// An Enqueue.Job.
struct EnqueuedJob {
  std::string_view id;
  std::string_view queue;
  std::string_view type;
  std::string_view payload;
  std::string_view idempotency_key;
  std::string_view ordering_key;
  std::string_view request_key;  // 16 bytes, or empty
  uint32_t priority = 0;
  uint32_t max_retries = 0;
  uint32_t max_expirations = 0;
  uint32_t backoff = 0;
  uint32_t jitter_permille = 0;
  int64_t run_time_ms = 0;
  int64_t expire_time_ms = 0;
  int64_t backoff_base_ms = 0;
  int64_t backoff_max_ms = 0;
  int64_t idempotency_window_ms = 0;
  int64_t retention_ms = 0;
  int64_t lease_duration_ms = 0;
  bool id_of_request = false;
  bool has_headers = false;
  bool has_labels = false;
  std::string_view message;  // all of it, for ForEachHeader and ForEachLabel
};

enum class CommandKind : uint8_t {
  kNone,
  kEnqueue,
  kComplete,
  kFail,
  kExpire,
  kCancel,
  kRetry,
  kDelete,
  kSetQueue,
  kCreateKey,
  kRevokeKey,
  kUseKeys,
  kTrim,
};

// True if the command names one job by its id.
inline bool NamesJob(CommandKind kind) {
  return kind >= CommandKind::kComplete && kind <= CommandKind::kDelete;
}
// True if the command is about API keys.
inline bool IsOfKeys(CommandKind kind) {
  return kind >= CommandKind::kCreateKey && kind <= CommandKind::kUseKeys;
}

struct CommandView {
  CommandKind kind = CommandKind::kNone;
  std::string_view id;        // NamesJob()
  LeaseToken token;           // complete, fail, expire
  uint64_t job_sequence = 0;  // these, and cancel, retry and delete
  // Complete: result; fail: error; set queue: its name; IsOfKeys(): the whole message, for
  // ReadKeyCommand.
  std::string_view text;
  bool reject = false;
  bool paused = false;  // set queue; so is the next
  bool refuse_enqueues = false;
  int64_t next_run_time_ms = 0;
  std::string_view worker_id;  // fail, expire
  int64_t held_ms = 0;         // these; 0: of a version that kept no attempts
  uint32_t states = 0;         // delete
  TrimCounts trim;             // trim
  // Enqueue: its jobs are [first_job, first_job + job_count) of the batch's.
  uint32_t first_job = 0;
  uint32_t job_count = 0;
};

struct BatchView {
  int64_t time_ms = 0;
  uint32_t level = 0;  // 0: no change
  std::vector<CommandView> commands;
  std::vector<EnqueuedJob> jobs;
};

enum class ReadStatus : uint8_t {
  kOk,
  kMalformed,  // no CommandBatch
  kUnknown,    // of a newer version: a field, a level or a kind of command that this one does not
               // know
};

// *out is overwritten; its vectors keep their capacity.
ReadStatus ReadBatch(std::string_view bytes, BatchView* out);

// Reads a batch in parts. A part ends between two commands, or between two jobs of a large Enqueue.
class BatchReader {
 public:
  BatchReader() : batch_(std::string_view()), command_(batch_), enqueue_(batch_) {}
  // *out is overwritten. `bytes` and `out` must outlive the reading.
  void Begin(std::string_view bytes, BatchView* out);
  // Reads on until the budget is exhausted. Nullopt: more is left.
  std::optional<ReadStatus> Continue(WorkBudget* budget);

 private:
  ReadStatus BeginCommand(std::string_view bytes, bool in_parts);
  ReadStatus EndEnqueue();

  BatchView* out_ = nullptr;
  ByteReader batch_;
  // In an Enqueue that is read in parts: what follows it in its command, and its next jobs.
  bool in_enqueue_ = false;
  ByteReader command_;
  ByteReader enqueue_;
};

// Calls f(key, value) in the order of the message.
template <class F>
void ForEachHeader(const EnqueuedJob& job, const F& f);
template <class F>
void ForEachLabel(const EnqueuedJob& job, const F& f);

// A field of a Protobuf message.
struct WireField {
  uint32_t tag = 0;  // number and wire type
  uint64_t value = 0;
  std::string_view bytes;
};
constexpr uint32_t NumberTag(uint32_t field) { return field << 3; }
constexpr uint32_t BytesTag(uint32_t field) { return field << 3 | 2; }

// False at the end, and if the message is malformed: reader.ok() tells.
bool NextField(ByteReader& reader, WireField* out);
// A KeyValue message.
ReadStatus ReadPair(std::string_view message, std::string_view* key, std::string_view* value);

inline constexpr uint32_t kHeadersField = 17;
inline constexpr uint32_t kLabelsField = 18;

template <class F>
void ForEachPairField(std::string_view message, uint32_t number, const F& f) {
  ByteReader reader(message);
  WireField field;
  while (NextField(reader, &field)) {
    std::string_view key;
    std::string_view value;
    if (field.tag == BytesTag(number) && ReadPair(field.bytes, &key, &value) == ReadStatus::kOk) {
      f(key, value);
    }
  }
}

template <class F>
void ForEachHeader(const EnqueuedJob& job, const F& f) {
  if (job.has_headers) ForEachPairField(job.message, kHeadersField, f);
}

template <class F>
void ForEachLabel(const EnqueuedJob& job, const F& f) {
  if (job.has_labels) ForEachPairField(job.message, kLabelsField, f);
}

}  // namespace dqueue::queue
