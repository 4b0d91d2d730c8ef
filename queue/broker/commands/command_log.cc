#include "queue/broker/commands/command_log.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"
#include "queue/broker/mutants.h"
#include "queue/state/state_level.h"

namespace dqueue::queue {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

// Room at the front of a chunk for time_ms, which is known only when the batch is taken: the tag
// and a varint of 6 bytes, enough until 2109 (a later time is inserted).
constexpr size_t kTimeVarintBytes = 6;
constexpr size_t kTimeFieldBytes = 1 + kTimeVarintBytes;
constexpr uint8_t kTimeTag = log::v1::CommandBatch::kTimeMsFieldNumber << 3;
constexpr uint8_t kLevelTag = log::v1::CommandBatch::kLevelFieldNumber << 3;
constexpr uint8_t kCommandTag = log::v1::CommandBatch::kCommandsFieldNumber << 3 | 2;

// The wait after a refused expiry or tick.
constexpr auto kOwnBatchWait = std::chrono::milliseconds(10);
// Expiries that find room beside a full chunk.
constexpr size_t kExpiriesMin = 64;
// What one trim removes at most of each kind, so that applying it takes well under a millisecond.
constexpr uint32_t kTrimCommandMax = 128;
// Trims beside a batch keep up with the jobs that the batch finishes, and make some progress.
constexpr uint32_t kTrimExtra = 256;
// No more trims are added while this many of any kind are in flight.
constexpr uint32_t kTrimmingMax = 1 << 16;
// Of passing over one that is in flight, for WorkBudget.
constexpr int64_t kPassNs = 10;
// The wall clock is read again at least this often: it may have been set.
constexpr auto kTickCheckMax = std::chrono::seconds(1);
constexpr auto kTickCheckMin = std::chrono::milliseconds(1);

void WriteTime(int64_t time_ms, std::string* bytes) {
  DQ_CHECK(time_ms >= 0 && bytes->size() >= kTimeFieldBytes);
  auto value = static_cast<uint64_t>(time_ms);
  std::string field(1, static_cast<char>(kTimeTag));
  for (size_t i = 1; i < kTimeVarintBytes || value >= 0x80; ++i) {
    field += static_cast<char>((value & 0x7f) | 0x80);
    value >>= 7;
  }
  field += static_cast<char>(value);
  if (field.size() == kTimeFieldBytes) {
    std::memcpy(bytes->data(), field.data(), kTimeFieldBytes);
  } else {
    bytes->replace(0, kTimeFieldBytes, field);
  }
}

}  // namespace

CommandLog::Chunk::Chunk() : bytes(kTimeFieldBytes, '\0') {}

// The command is an element of CommandBatch.commands, the field the only one of the Command.
void CommandLog::AppendPrefix(int field, size_t size, std::string* bytes) {
  const auto field_size = static_cast<uint32_t>(size);
  const uint32_t command_size =
      1 + static_cast<uint32_t>(CodedOutputStream::VarintSize32(field_size)) + field_size;
  uint8_t prefix[12];
  uint8_t* p = prefix;
  *p++ = kCommandTag;
  p = CodedOutputStream::WriteVarint32ToArray(command_size, p);
  *p++ = static_cast<uint8_t>(field << 3 | WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
  p = CodedOutputStream::WriteVarint32ToArray(field_size, p);
  bytes->append(prefix, p);
}

uint8_t* CommandLog::BeginCommand(int field, size_t size, std::string* bytes, size_t* total) {
  const size_t start = bytes->size();
  AppendPrefix(field, size, bytes);
  const size_t at = bytes->size();
  bytes->resize(at + size);
  *total = bytes->size() - start;
  return reinterpret_cast<uint8_t*>(bytes->data()) + at;
}

CommandLog::CommandLog(const BrokerOptions& options, const StateMachine& state, Pace& pace,
                       DecidedParts& decided, LogClock& clock, Grants& grants, Deletions& deletions,
                       uint64_t first_batch)
    : options_(options),
      state_(state),
      pace_(pace),
      decided_(decided),
      clock_(clock),
      grants_(grants),
      deletions_(deletions),
      next_batch_(first_batch) {}

void CommandLog::Begin() {
  DQ_CHECK(chunks_.empty());
  ++epoch_;
  level_ = 0;
  own_batches_after_ = Time::min();
  own_batch_refused_ = false;
}

void CommandLog::End(Work::Failure failure) {
  ++epoch_;
  pending_commands_ = 0;
  pending_bytes_ = 0;
  for (Chunk& chunk : std::exchange(chunks_, {})) {
    for (CommandRef& ref : chunk.commands) decided_.Add(std::move(ref.part), failure);
  }
}

void CommandLog::AbandonInFlight() {
  trimming_ = {};
  for (auto& [id, batch] : std::exchange(in_flight_, {})) {
    for (CommandRef& ref : batch.commands) {
      if (ref.part) ref.part.Fail(Work::Failure::kUnknown);
    }
  }
  for (CommandRef& ref : std::exchange(applied_, {}).batch.commands) {
    if (ref.part) ref.part.Fail(Work::Failure::kUnknown);
  }
}

CommandLog::Chunk& CommandLog::ChunkFor(size_t size) {
  if (chunks_.empty() || chunks_.back().commands.size() >= options_.max_batch_commands ||
      (!chunks_.back().commands.empty() &&
       chunks_.back().bytes.size() + size > options_.max_batch_bytes)) {
    chunks_.emplace_back();
  }
  return chunks_.back();
}

void CommandLog::Added(Chunk* chunk, uint32_t bytes, CommandRef&& ref) {
  DQ_CHECK(ref.part);
  ref.bytes = bytes;
  chunk->first_deadline = std::min(chunk->first_deadline, ref.part.deadline());
  ++pending_commands_;
  pending_bytes_ += bytes;
  chunk->commands.push_back(std::move(ref));
}

std::string CommandLog::BeginBatch(int field, size_t size) {
  std::string batch(kTimeFieldBytes, '\0');
  constexpr size_t kPrefixBytesMax = 12;
  batch.reserve(kTimeFieldBytes + kPrefixBytesMax + size);
  AppendPrefix(field, size, &batch);
  return batch;
}

void CommandLog::AppendBatch(std::string batch, CommandRef&& ref) {
  const size_t size = batch.size() - kTimeFieldBytes;
  Chunk& chunk = ChunkFor(size);
  if (chunk.commands.empty()) {
    chunk.bytes = std::move(batch);
  } else {
    pace_.Spend(CostOfCopying(size));
    chunk.bytes.append(batch, kTimeFieldBytes);
  }
  Added(&chunk, static_cast<uint32_t>(size), std::move(ref));
}

void CommandLog::Append(int field, const google::protobuf::MessageLite& message, CommandRef&& ref) {
  const size_t size = message.ByteSizeLong();
  pace_.Spend(kResultNs + CostOfCopying(size));
  AppendEncoded(field, size, std::move(ref),
                [&](uint8_t* p) { return message.SerializeWithCachedSizesToArray(p); });
}

CommandLog::Chunk CommandLog::TakeChunk(Time now) {
  while (!chunks_.empty()) {
    Chunk chunk = std::move(chunks_.front());
    chunks_.pop_front();
    for (const CommandRef& ref : chunk.commands) {
      DQ_CHECK(pending_commands_ > 0 && pending_bytes_ >= ref.bytes);
      --pending_commands_;
      pending_bytes_ -= ref.bytes;
    }
    DropOverdue(now, &chunk);
    if (!chunk.commands.empty()) return chunk;
  }
  return {};
}

std::optional<Batch> CommandLog::TakeBatch(Time now, int64_t wall_ms) {
  if (std::exchange(own_batch_refused_, false)) own_batches_after_ = now + kOwnBatchWait;
  Chunk chunk = TakeChunk(now);
  for (CommandRef& ref : chunk.commands) ref.part.Propose();
  AddExpiries(now, &chunk);
  const TrimPlan trim = AddTrims(now, &chunk);
  const int64_t time_ms = clock_.NowMs(now, wall_ms);
  if (chunk.commands.empty() &&
      (now < own_batches_after_ || (!TickIsDue(time_ms) && !LevelIsDue()))) {
    return std::nullopt;
  }
  clock_.Propose(now, time_ms);
  WriteTime(time_ms, &chunk.bytes);
  if (level_ > state_.level()) {
    static_assert(kStateLevelMax < 0x80);
    chunk.bytes += static_cast<char>(kLevelTag);
    chunk.bytes += static_cast<char>(std::min(level_, kStateLevelMax));
  }
  const uint64_t id = next_batch_++;
  InFlight& batch = in_flight_[id];
  batch.time_ms = time_ms;
  batch.epoch = epoch_;
  batch.commands = std::move(chunk.commands);
  batch.trim = trim;
  trimming_.Add(trim);
  if (DQ_MUTANT(mutants::kAnswerBeforeCommit)) AnswerUncommitted(now, &batch);
  return Batch{id, std::make_shared<const std::string>(std::move(chunk.bytes))};
}

void CommandLog::AnswerUncommitted(Time now, InFlight* batch) {
  for (CommandRef& ref : batch->commands) {
    if (ref.kind == CommandKind::kEnqueue) ref.part.Applied(now, ref.item, {}, /*newer=*/false);
  }
}

void CommandLog::DropOverdue(Time now) {
  for (Chunk& chunk : chunks_) {
    if (chunk.first_deadline > now) continue;
    if (pace_.Exhausted()) return;
    const size_t commands = chunk.commands.size();
    const size_t bytes = chunk.bytes.size();
    DropOverdue(now, &chunk);
    pending_commands_ -= commands - chunk.commands.size();
    pending_bytes_ -= bytes - chunk.bytes.size();
  }
}

void CommandLog::DropOverdue(Time now, Chunk* chunk) {
  if (chunk->first_deadline > now) return;
  pace_.Spend(static_cast<int64_t>(chunk->commands.size()) * kResultNs / 4 +
              CostOfCopying(chunk->bytes.size()));
  Chunk kept;
  size_t at = kTimeFieldBytes;
  for (CommandRef& ref : chunk->commands) {
    const uint32_t bytes = ref.bytes;
    // Once a command of a call is proposed, the others follow: the answer "no effect" would be
    // wrong.
    if (ref.part.deadline() <= now && !ref.part.proposed()) {
      Settle(ref, epoch_, /*applied=*/false);
      decided_.Add(std::move(ref.part), Work::Failure::kDeadline);
    } else {
      kept.bytes.append(chunk->bytes, at, bytes);
      if (!ref.part.proposed()) {
        kept.first_deadline = std::min(kept.first_deadline, ref.part.deadline());
      }
      kept.commands.push_back(std::move(ref));
    }
    at += bytes;
  }
  DQ_CHECK(at == chunk->bytes.size());
  *chunk = std::move(kept);
}

void CommandLog::AddExpiries(Time now, Chunk* chunk) {
  if (now < own_batches_after_ || grants_.NextExpiry() > now) return;
  // At least a few beside a full chunk: expiries must not starve.
  const size_t room =
      options_.max_batch_commands - std::min(options_.max_batch_commands, chunk->commands.size());
  const size_t limit = std::max(room, std::min(options_.max_batch_commands, kExpiriesMin));
  for (const LeaseInfo& lease : grants_.Expired(now, limit)) {
    pace_.Spend(kFindNs);
    std::optional<CommandRef> ref = grants_.BeginExpiry(now, lease, &expire_);
    if (!ref) continue;
    size_t total = 0;
    uint8_t* const p = BeginCommand(log::v1::Command::kExpireFieldNumber, expire_.ByteSizeLong(),
                                    &chunk->bytes, &total);
    expire_.SerializeWithCachedSizesToArray(p);
    ref->bytes = static_cast<uint32_t>(total);
    chunk->commands.push_back(*std::move(ref));
  }
}

bool CommandLog::MayTrim() const { return state_.level() >= kTrimLevel; }

bool CommandLog::WantsOwnTrim() const {
  return MayTrim() && trimming_.counts.empty() && state_.ExceedsFar(options_.keep);
}

TrimPlan CommandLog::AddTrims(Time now, Chunk* chunk) {
  if (!MayTrim()) return {};
  if (chunk->commands.empty() && (now < own_batches_after_ || !WantsOwnTrim())) return {};
  if (trimming_.counts.greatest() > kTrimmingMax) return {};
  const auto max = static_cast<uint32_t>(chunk->commands.size()) + kTrimExtra;
  const TrimPlan plan = state_.PlanTrim(options_.keep, trimming_, max);
  const TrimCounts& planned = plan.counts;
  pace_.Spend((int64_t{planned.finished} + planned.dead + planned.ids) * kResultNs +
              trimming_.counts.greatest() * kPassNs);
  const auto take = [](uint32_t* rest) {
    const uint32_t part = std::min(*rest, kTrimCommandMax);
    *rest -= part;
    return part;
  };
  for (TrimCounts rest = plan.counts; !rest.empty();) {
    trim_.set_finished(take(&rest.finished));
    trim_.set_dead(take(&rest.dead));
    trim_.set_ids(take(&rest.ids));
    trim_.set_requests(take(&rest.requests));
    CommandRef ref;
    ref.kind = CommandKind::kTrim;
    size_t total = 0;
    uint8_t* const p = BeginCommand(log::v1::Command::kTrimFieldNumber, trim_.ByteSizeLong(),
                                    &chunk->bytes, &total);
    trim_.SerializeWithCachedSizesToArray(p);
    ref.bytes = static_cast<uint32_t>(total);
    chunk->commands.push_back(std::move(ref));
  }
  return plan;
}

bool CommandLog::TickIsDue(int64_t log_time_ms) const {
  const int64_t next_ms = state_.NextTickMs();
  if (next_ms > log_time_ms) return false;
  // A batch in flight that is late enough will do it.
  return in_flight_.empty() || in_flight_.rbegin()->second.time_ms < next_ms;
}

bool CommandLog::LevelIsDue() const {
  // A batch in flight has it.
  return level_ > state_.level() && in_flight_.empty();
}

Time CommandLog::NextTick(Time now, int64_t wall_ms) const {
  const int64_t next_ms = state_.NextTickMs();
  if (next_ms == INT64_MAX) return Time::max();
  const int64_t log_time_ms = clock_.NowMs(now, wall_ms);
  if (next_ms <= log_time_ms && !TickIsDue(log_time_ms)) return Time::max();
  const int64_t wait_ms = std::max<int64_t>(next_ms, log_time_ms) - log_time_ms;
  const Duration wait = std::clamp<Duration>(
      std::chrono::milliseconds(std::min<int64_t>(wait_ms, 1000)), kTickCheckMin, kTickCheckMax);
  return std::max(now + wait, own_batches_after_);
}

Time CommandLog::Due(Time now, int64_t wall_ms) const {
  Time due = std::max(grants_.NextExpiry(), own_batches_after_);
  due = std::min(due, NextTick(now, wall_ms));
  if (LevelIsDue()) due = std::min(due, own_batches_after_);
  if (WantsOwnTrim()) due = std::min(due, own_batches_after_);
  for (const Chunk& chunk : chunks_) due = std::min(due, chunk.first_deadline);
  return due;
}

CommandLog::InFlight CommandLog::TakeInFlight(uint64_t id) {
  const auto it = in_flight_.find(id);
  InFlight batch = std::move(it->second);
  in_flight_.erase(it);
  trimming_.Subtract(batch.trim);
  return batch;
}

void CommandLog::OnProposal(const raft::ProposalOutcome& outcome) {
  using Outcome = raft::ProposalOutcome;
  const auto it = in_flight_.find(outcome.id);
  DQ_CHECK_MSG(it != in_flight_.end(), "batch " + std::to_string(outcome.id) + " is not in flight");
  // A committed batch is unknown if a snapshot replaces its entry.
  DQ_CHECK(!it->second.committed || outcome.kind == Outcome::Kind::kUnknown);
  if (outcome.kind == Outcome::Kind::kCommitted) {
    it->second.committed = true;
    return;
  }
  Work::Failure failure = Work::Failure::kUnknown;
  if (outcome.kind == Outcome::Kind::kNotAppended) {
    failure = outcome.reason == Outcome::Reason::kOverloaded ? Work::Failure::kOverloaded
                                                             : Work::Failure::kNotServing;
  }
  InFlight batch = TakeInFlight(outcome.id);
  if (batch.commands.empty()) own_batch_refused_ = true;
  for (CommandRef& ref : batch.commands) {
    Settle(ref, batch.epoch, /*applied=*/false);
    if (!ref.part) {
      own_batch_refused_ = true;
      continue;
    }
    if (failure != Work::Failure::kUnknown) ref.part.Unpropose();
    decided_.Add(std::move(ref.part), failure);
  }
}

void CommandLog::BeginApplied(uint64_t batch_id, const std::vector<CommandResult>& results) {
  const auto it = in_flight_.find(batch_id);
  DQ_CHECK_MSG(it != in_flight_.end() && it->second.committed,
               "batch " + std::to_string(batch_id) + " was not reported as committed");
  DQ_CHECK_MSG(results.size() == it->second.commands.size(),
               std::to_string(results.size()) + " results for " +
                   std::to_string(it->second.commands.size()) + " commands");
  DQ_CHECK(applied_.results == nullptr);
  applied_ = {.batch = TakeInFlight(batch_id), .results = &results};
  const TrimCounts& trimmed = applied_.batch.trim.counts;
  trimmed_finished_ += trimmed.finished;
  trimmed_dead_ += trimmed.dead;
  trimmed_ids_ += trimmed.ids + trimmed.requests;
}

bool CommandLog::ContinueApplied(Time now) {
  if (applied_.results == nullptr) return true;
  const std::vector<CommandResult>& results = *applied_.results;
  const InFlight& batch = applied_.batch;
  for (size_t& i = applied_.next; i < results.size(); ++i) {
    if (pace_.Exhausted()) return false;
    pace_.Spend(kResultNs);
    CommandRef& ref = applied_.batch.commands[i];
    const LeaseEnding& ends = ref.ends;
    const bool counts = ends.counts_as != AttemptEnd::kNone && results[i].code == ResultCode::kOk;
    if (counts && batch.epoch == epoch_) grants_.Count(now, ends);
    Settle(ref, batch.epoch, /*applied=*/true);
    if (ref.part) ref.part.Applied(now, ref.item, results[i], /*newer=*/!ends.ended_before);
  }
  applied_ = {};
  return true;
}

void CommandLog::Settle(const CommandRef& ref, uint64_t epoch, bool applied) {
  if (epoch != epoch_) return;
  if (ref.ends.lease != 0) grants_.Settle(ref.ends, applied);
  if (ref.deletes != 0) deletions_.Settle(ref.deletes);
}

}  // namespace dqueue::queue
