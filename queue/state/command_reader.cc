#include "queue/state/command_reader.h"

#include <algorithm>

#include "dqueue/v1/command.pb.h"
#include "queue/state/state_level.h"
#include "queue/state/tables/api_key_registry.h"

namespace dqueue::queue {
namespace {

using log::v1::Command;
using log::v1::CommandBatch;
using log::v1::Enqueue;

static_assert(Enqueue::Job::kHeadersFieldNumber == kHeadersField);
static_assert(Enqueue::Job::kLabelsFieldNumber == kLabelsField);

// How a message ended: a whole one, or cut in a field.
ReadStatus EndOf(const ByteReader& reader) {
  return reader.ok() ? ReadStatus::kOk : ReadStatus::kMalformed;
}

ReadStatus ReadToken(std::string_view message, CommandView* out) {
  ByteReader reader(message);
  WireField field;
  while (NextField(reader, &field)) {
    switch (field.tag) {
      case NumberTag(log::v1::Token::kTermFieldNumber):
        out->token.term = field.value;
        break;
      case NumberTag(log::v1::Token::kSequenceFieldNumber):
        out->token.sequence = field.value;
        break;
      case NumberTag(log::v1::Token::kJobSequenceFieldNumber):
        out->job_sequence = field.value;
        break;
      default:
        return ReadStatus::kUnknown;
    }
  }
  return EndOf(reader);
}

ReadStatus ReadJob(std::string_view message, EnqueuedJob* out) {
  out->message = message;
  ByteReader reader(message);
  WireField field;
  while (NextField(reader, &field)) {
    const auto number = static_cast<int64_t>(field.value);
    const auto small = static_cast<uint32_t>(field.value);
    switch (field.tag) {
      case BytesTag(Enqueue::Job::kIdFieldNumber):
        out->id = field.bytes;
        break;
      case BytesTag(Enqueue::Job::kQueueFieldNumber):
        out->queue = field.bytes;
        break;
      case BytesTag(Enqueue::Job::kTypeFieldNumber):
        out->type = field.bytes;
        break;
      case BytesTag(Enqueue::Job::kPayloadFieldNumber):
        out->payload = field.bytes;
        break;
      case NumberTag(Enqueue::Job::kPriorityFieldNumber):
        out->priority = small;
        break;
      case NumberTag(Enqueue::Job::kRunTimeMsFieldNumber):
        out->run_time_ms = number;
        break;
      case NumberTag(Enqueue::Job::kExpireTimeMsFieldNumber):
        out->expire_time_ms = number;
        break;
      case NumberTag(Enqueue::Job::kMaxRetriesFieldNumber):
        out->max_retries = small;
        break;
      case NumberTag(Enqueue::Job::kMaxExpirationsFieldNumber):
        out->max_expirations = small;
        break;
      case NumberTag(Enqueue::Job::kBackoffFieldNumber):
        out->backoff = small;
        break;
      case NumberTag(Enqueue::Job::kBackoffBaseMsFieldNumber):
        out->backoff_base_ms = number;
        break;
      case NumberTag(Enqueue::Job::kBackoffMaxMsFieldNumber):
        out->backoff_max_ms = number;
        break;
      case NumberTag(Enqueue::Job::kJitterPermilleFieldNumber):
        out->jitter_permille = small;
        break;
      case BytesTag(Enqueue::Job::kIdempotencyKeyFieldNumber):
        out->idempotency_key = field.bytes;
        break;
      case NumberTag(Enqueue::Job::kIdempotencyWindowMsFieldNumber):
        out->idempotency_window_ms = number;
        break;
      case BytesTag(Enqueue::Job::kOrderingKeyFieldNumber):
        out->ordering_key = field.bytes;
        break;
      case BytesTag(Enqueue::Job::kHeadersFieldNumber):
      case BytesTag(Enqueue::Job::kLabelsFieldNumber): {
        std::string_view key;
        std::string_view value;
        const ReadStatus status = ReadPair(field.bytes, &key, &value);
        if (status != ReadStatus::kOk) return status;
        (field.tag == BytesTag(kHeadersField) ? out->has_headers : out->has_labels) = true;
        break;
      }
      case NumberTag(Enqueue::Job::kRetentionMsFieldNumber):
        out->retention_ms = UnZigZag(field.value);
        break;
      case NumberTag(Enqueue::Job::kLeaseDurationMsFieldNumber):
        out->lease_duration_ms = number;
        break;
      case NumberTag(Enqueue::Job::kIdOfRequestFieldNumber):
        out->id_of_request = field.value != 0;
        break;
      case BytesTag(Enqueue::Job::kRequestKeyFieldNumber):
        out->request_key = field.bytes;
        break;
      default:
        return ReadStatus::kUnknown;
    }
  }
  return EndOf(reader);
}

ReadStatus ReadEnqueue(std::string_view message, CommandView* out, std::vector<EnqueuedJob>* jobs) {
  out->first_job = static_cast<uint32_t>(jobs->size());
  ByteReader reader(message);
  WireField field;
  while (NextField(reader, &field)) {
    if (field.tag != BytesTag(Enqueue::kJobsFieldNumber)) return ReadStatus::kUnknown;
    jobs->emplace_back();
    ++out->job_count;
    const ReadStatus status = ReadJob(field.bytes, &jobs->back());
    if (status != ReadStatus::kOk) return status;
  }
  return EndOf(reader);
}

// All commands about one job have its id under the same number; so have those that end a lease
// the token, Complete and Fail the text, and Cancel, Retry and Delete the sequence.
static_assert(log::v1::Complete::kIdFieldNumber == 1 && log::v1::Fail::kIdFieldNumber == 1 &&
              log::v1::Expire::kIdFieldNumber == 1 && log::v1::Cancel::kIdFieldNumber == 1 &&
              log::v1::Retry::kIdFieldNumber == 1 && log::v1::Delete::kIdFieldNumber == 1);
static_assert(log::v1::Cancel::kJobSequenceFieldNumber == 2 &&
              log::v1::Retry::kJobSequenceFieldNumber == 2 &&
              log::v1::Delete::kJobSequenceFieldNumber == 2);
static_assert(log::v1::Complete::kTokenFieldNumber == 2 && log::v1::Fail::kTokenFieldNumber == 2 &&
              log::v1::Expire::kTokenFieldNumber == 2);
static_assert(log::v1::Complete::kResultFieldNumber == 3 && log::v1::Fail::kErrorFieldNumber == 3);

ReadStatus ReadJobCommand(std::string_view message, CommandView* out) {
  const bool ends_lease = out->kind == CommandKind::kComplete || out->kind == CommandKind::kFail ||
                          out->kind == CommandKind::kExpire;
  const bool is_fail = out->kind == CommandKind::kFail;
  const bool is_expire = out->kind == CommandKind::kExpire;
  const bool has_sequence = out->kind == CommandKind::kCancel || out->kind == CommandKind::kRetry ||
                            out->kind == CommandKind::kDelete;
  ByteReader reader(message);
  WireField field;
  while (NextField(reader, &field)) {
    if (field.tag == BytesTag(1)) {
      out->id = field.bytes;
    } else if (field.tag == BytesTag(2) && ends_lease) {
      const ReadStatus status = ReadToken(field.bytes, out);
      if (status != ReadStatus::kOk) return status;
    } else if (field.tag == BytesTag(log::v1::Expire::kWorkerIdFieldNumber) && is_expire) {
      out->worker_id = field.bytes;
    } else if (field.tag == BytesTag(3) && ends_lease) {
      out->text = field.bytes;
    } else if (field.tag == NumberTag(2) && has_sequence) {
      out->job_sequence = field.value;
    } else if (field.tag == NumberTag(log::v1::Fail::kRejectFieldNumber) && is_fail) {
      out->reject = field.value != 0;
    } else if (field.tag == NumberTag(log::v1::Fail::kNextRunTimeMsFieldNumber) && is_fail) {
      out->next_run_time_ms = static_cast<int64_t>(field.value);
    } else if (field.tag == BytesTag(log::v1::Fail::kWorkerIdFieldNumber) && is_fail) {
      out->worker_id = field.bytes;
    } else if ((field.tag == NumberTag(log::v1::Fail::kHeldMsFieldNumber) && is_fail) ||
               (field.tag == NumberTag(log::v1::Expire::kHeldMsFieldNumber) && is_expire)) {
      out->held_ms = UnZigZag(field.value);
    } else if (field.tag == NumberTag(log::v1::Delete::kStatesFieldNumber) &&
               out->kind == CommandKind::kDelete) {
      out->states = static_cast<uint32_t>(field.value);
    } else {
      return ReadStatus::kUnknown;
    }
  }
  return EndOf(reader);
}

ReadStatus ReadSetQueue(std::string_view message, CommandView* out) {
  ByteReader reader(message);
  WireField field;
  while (NextField(reader, &field)) {
    switch (field.tag) {
      case BytesTag(log::v1::SetQueue::kQueueFieldNumber):
        out->text = field.bytes;
        break;
      case NumberTag(log::v1::SetQueue::kPausedFieldNumber):
        out->paused = field.value != 0;
        break;
      case NumberTag(log::v1::SetQueue::kRefuseEnqueuesFieldNumber):
        out->refuse_enqueues = field.value != 0;
        break;
      default:
        return ReadStatus::kUnknown;
    }
  }
  return EndOf(reader);
}

ReadStatus ReadTrim(std::string_view message, CommandView* out) {
  ByteReader reader(message);
  WireField field;
  while (NextField(reader, &field)) {
    switch (field.tag) {
      case NumberTag(log::v1::Trim::kFinishedFieldNumber):
        out->trim.finished = static_cast<uint32_t>(field.value);
        break;
      case NumberTag(log::v1::Trim::kDeadFieldNumber):
        out->trim.dead = static_cast<uint32_t>(field.value);
        break;
      case NumberTag(log::v1::Trim::kIdsFieldNumber):
        out->trim.ids = static_cast<uint32_t>(field.value);
        break;
      case NumberTag(log::v1::Trim::kRequestsFieldNumber):
        out->trim.requests = static_cast<uint32_t>(field.value);
        break;
      default:
        return ReadStatus::kUnknown;
    }
  }
  return EndOf(reader);
}

ReadStatus ReadCommandOfKeys(std::string_view message, CommandView* out) {
  out->text = message;
  KeyCommand command;
  return ReadKeyCommand(out->kind, message, &command);
}

CommandKind KindOf(uint32_t tag) {
  switch (tag) {
    case BytesTag(Command::kEnqueueFieldNumber):
      return CommandKind::kEnqueue;
    case BytesTag(Command::kCompleteFieldNumber):
      return CommandKind::kComplete;
    case BytesTag(Command::kFailFieldNumber):
      return CommandKind::kFail;
    case BytesTag(Command::kExpireFieldNumber):
      return CommandKind::kExpire;
    case BytesTag(Command::kCancelFieldNumber):
      return CommandKind::kCancel;
    case BytesTag(Command::kRetryFieldNumber):
      return CommandKind::kRetry;
    case BytesTag(Command::kDeleteJobFieldNumber):
      return CommandKind::kDelete;
    case BytesTag(Command::kSetQueueFieldNumber):
      return CommandKind::kSetQueue;
    case BytesTag(Command::kCreateKeyFieldNumber):
      return CommandKind::kCreateKey;
    case BytesTag(Command::kRevokeKeyFieldNumber):
      return CommandKind::kRevokeKey;
    case BytesTag(Command::kUseKeysFieldNumber):
      return CommandKind::kUseKeys;
    case BytesTag(Command::kTrimFieldNumber):
      return CommandKind::kTrim;
    default:
      return CommandKind::kNone;
  }
}

// The cost of reading a command or a job (WorkBudget). Small fields cost most: about 1 ns a byte.
// The bytes of a large field are not looked at.
constexpr int64_t kReadNs = 60;
constexpr size_t kReadBytesMax = 2 << 10;
// A larger Enqueue is read in parts.
constexpr size_t kWholeCommandBytesMax = 64 << 10;

int64_t CostOfReading(std::string_view bytes) {
  return kReadNs + static_cast<int64_t>(std::min(bytes.size(), kReadBytesMax));
}

// Exactly one kind: that is what a writer of this version puts there.
ReadStatus ReadCommand(std::string_view message, CommandView* out, std::vector<EnqueuedJob>* jobs) {
  ByteReader reader(message);
  WireField field;
  while (NextField(reader, &field)) {
    const CommandKind kind = KindOf(field.tag);
    if (kind == CommandKind::kNone) return ReadStatus::kUnknown;
    if (out->kind != CommandKind::kNone) return ReadStatus::kMalformed;
    out->kind = kind;
    const ReadStatus status = kind == CommandKind::kEnqueue    ? ReadEnqueue(field.bytes, out, jobs)
                              : kind == CommandKind::kSetQueue ? ReadSetQueue(field.bytes, out)
                              : kind == CommandKind::kTrim     ? ReadTrim(field.bytes, out)
                              : IsOfKeys(kind)                 ? ReadCommandOfKeys(field.bytes, out)
                                                               : ReadJobCommand(field.bytes, out);
    if (status != ReadStatus::kOk) return status;
  }
  if (reader.ok() && out->kind == CommandKind::kNone) return ReadStatus::kUnknown;
  return EndOf(reader);
}

}  // namespace

bool NextField(ByteReader& reader, WireField* out) {
  if (reader.remaining() == 0) return false;
  out->tag = reader.Varint32();
  switch (out->tag & 7) {
    case 0:
      out->value = reader.Varint();
      break;
    case 1:
      out->value = reader.Fixed64();
      break;
    case 2:
      out->bytes = reader.String();
      break;
    case 5:
      out->value = reader.Fixed32();
      break;
    default:
      reader.Reject();
  }
  if (out->tag >> 3 == 0) reader.Reject();
  return reader.ok();
}

ReadStatus ReadPair(std::string_view message, std::string_view* key, std::string_view* value) {
  ByteReader reader(message);
  WireField field;
  while (NextField(reader, &field)) {
    switch (field.tag) {
      case BytesTag(log::v1::KeyValue::kKeyFieldNumber):
        *key = field.bytes;
        break;
      case BytesTag(log::v1::KeyValue::kValueFieldNumber):
        *value = field.bytes;
        break;
      default:
        return ReadStatus::kUnknown;
    }
  }
  return EndOf(reader);
}

ReadStatus ReadBatch(std::string_view bytes, BatchView* out) {
  BatchReader reader;
  reader.Begin(bytes, out);
  WorkBudget unlimited = WorkBudget::Unlimited();
  return *reader.Continue(&unlimited);
}

void BatchReader::Begin(std::string_view bytes, BatchView* out) {
  out->time_ms = 0;
  out->level = 0;
  out->commands.clear();
  out->jobs.clear();
  out_ = out;
  batch_ = ByteReader(bytes);
  in_enqueue_ = false;
}

// Reads the command, or begins an Enqueue that is read in parts.
ReadStatus BatchReader::BeginCommand(std::string_view bytes, bool in_parts) {
  CommandView& command = out_->commands.emplace_back();
  if (!in_parts) return ReadCommand(bytes, &command, &out_->jobs);
  command_ = ByteReader(bytes);
  WireField field;
  if (!NextField(command_, &field)) return EndOf(command_);
  if (KindOf(field.tag) != CommandKind::kEnqueue) return ReadCommand(bytes, &command, &out_->jobs);
  command.kind = CommandKind::kEnqueue;
  command.first_job = static_cast<uint32_t>(out_->jobs.size());
  enqueue_ = ByteReader(field.bytes);
  in_enqueue_ = true;
  return ReadStatus::kOk;
}

// All jobs are read: nothing may follow them in the command.
ReadStatus BatchReader::EndEnqueue() {
  in_enqueue_ = false;
  if (!enqueue_.ok()) return ReadStatus::kMalformed;
  WireField field;
  if (NextField(command_, &field)) {
    return KindOf(field.tag) == CommandKind::kNone ? ReadStatus::kUnknown : ReadStatus::kMalformed;
  }
  return EndOf(command_);
}

std::optional<ReadStatus> BatchReader::Continue(WorkBudget* budget) {
  WireField field;
  while (!budget->Exhausted()) {
    ReadStatus status = ReadStatus::kOk;
    if (in_enqueue_) {
      if (!NextField(enqueue_, &field)) {
        status = EndEnqueue();
      } else if (field.tag != BytesTag(Enqueue::kJobsFieldNumber)) {
        return ReadStatus::kUnknown;
      } else {
        budget->Spend(CostOfReading(field.bytes));
        ++out_->commands.back().job_count;
        status = ReadJob(field.bytes, &out_->jobs.emplace_back());
      }
    } else if (!NextField(batch_, &field)) {
      return EndOf(batch_);
    } else if (field.tag == NumberTag(CommandBatch::kTimeMsFieldNumber)) {
      out_->time_ms = static_cast<int64_t>(field.value);
    } else if (field.tag == NumberTag(CommandBatch::kLevelFieldNumber)) {
      if (field.value > kStateLevelMax) return ReadStatus::kUnknown;
      out_->level = static_cast<uint32_t>(field.value);
    } else if (field.tag == BytesTag(CommandBatch::kCommandsFieldNumber)) {
      const bool in_parts = field.bytes.size() > kWholeCommandBytesMax;
      if (!in_parts) budget->Spend(CostOfReading(field.bytes));
      status = BeginCommand(field.bytes, in_parts);
    } else {
      return ReadStatus::kUnknown;
    }
    if (status != ReadStatus::kOk) return status;
  }
  return std::nullopt;
}

}  // namespace dqueue::queue
