// Commands on their way through the log: encoded once into chunks, taken by the node as batches,
// decided by raft and the state machine. Expiries of leases and ticks join here.
#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "base/check.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/message_lite.h"
#include "google/protobuf/wire_format_lite.h"
#include "queue/broker/broker_impl.h"
#include "queue/broker/mutants.h"

namespace dqueue::queue {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

// Room at the front of a chunk for time_ms, which is known only when the batch is taken: the tag
// and a varint of 6 bytes, enough until 2109 (a later time is inserted).
constexpr size_t kTimeVarintBytes = 6;
constexpr size_t kTimeFieldBytes = 1 + kTimeVarintBytes;
constexpr uint8_t kTimeTag = log::v1::CommandBatch::kTimeMsFieldNumber << 3;
constexpr uint8_t kCommandTag = log::v1::CommandBatch::kCommandsFieldNumber << 3 | 2;

// After a refused expiry or tick: raft is handing leadership over, or is full.
constexpr auto kOwnBatchWait = std::chrono::milliseconds(10);
// The wall clock is looked at again at least this often: it may have been set.
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

// Appends `message`, which takes `size` bytes, as field `field` of a Command as an element of
// CommandBatch.commands; the bytes written.
size_t AppendCommand(int field, const google::protobuf::MessageLite& message, uint32_t size,
                     std::string* bytes) {
  const uint32_t command_size =
      1 + static_cast<uint32_t>(CodedOutputStream::VarintSize32(size)) + size;
  const size_t total = 1 + CodedOutputStream::VarintSize32(command_size) + command_size;
  const size_t start = bytes->size();
  bytes->resize(start + total);
  auto* p = reinterpret_cast<uint8_t*>(bytes->data()) + start;
  *p++ = kCommandTag;
  p = CodedOutputStream::WriteVarint32ToArray(command_size, p);
  *p++ = static_cast<uint8_t>(field << 3 | WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
  p = CodedOutputStream::WriteVarint32ToArray(size, p);
  p = message.SerializeWithCachedSizesToArray(p);
  DQ_CHECK(p == reinterpret_cast<uint8_t*>(bytes->data()) + bytes->size());
  return total;
}

}  // namespace

void BrokerImpl::Append(int field, const google::protobuf::MessageLite& message,
                        const CommandRef& ref) {
  DQ_CHECK(serving_ && ref.work != nullptr);
  const auto size = static_cast<uint32_t>(message.ByteSizeLong());
  if (chunks_.empty() || chunks_.back().commands.size() >= options_.max_batch_commands ||
      (!chunks_.back().commands.empty() &&
       chunks_.back().bytes.size() + size > options_.max_batch_bytes)) {
    chunks_.emplace_back();
    chunks_.back().bytes.resize(kTimeFieldBytes);
  }
  Chunk& chunk = chunks_.back();
  const size_t bytes = AppendCommand(field, message, size, &chunk.bytes);
  chunk.commands.push_back(ref);
  chunk.commands.back().bytes = static_cast<uint32_t>(bytes);
  chunk.first_deadline = std::min(chunk.first_deadline, ref.work->deadline);
  ++pending_commands_;
  pending_bytes_ += bytes;
}

std::optional<Batch> BrokerImpl::TakeBatch(Time now, int64_t wall_ms) {
  if (!serving_) return std::nullopt;
  if (std::exchange(own_batch_refused_, false)) own_batches_after_ = now + kOwnBatchWait;
  Chunk chunk;
  while (!chunks_.empty() && chunk.commands.empty()) {
    chunk = std::move(chunks_.front());
    chunks_.pop_front();
    for (const CommandRef& ref : chunk.commands) {
      DQ_CHECK(pending_commands_ > 0 && pending_bytes_ >= ref.bytes);
      --pending_commands_;
      pending_bytes_ -= ref.bytes;
    }
    DropOverdue(now, &chunk);
  }
  if (chunk.bytes.empty()) chunk.bytes.resize(kTimeFieldBytes);
  for (const CommandRef& ref : chunk.commands) ++ref.work->proposed;
  AddExpiries(now, &chunk);
  const int64_t time_ms = LogTimeMs(now, wall_ms);
  if (chunk.commands.empty() && (now < own_batches_after_ || !TickIsDue(time_ms))) {
    return std::nullopt;
  }

  if (time_ms > last_time_ms_) {
    last_time_ms_ = time_ms;
    last_time_at_ = now;
  }
  WriteTime(time_ms, &chunk.bytes);
  const uint64_t id = next_batch_++;
  InFlight& batch = in_flight_[id];
  batch.time_ms = time_ms;
  batch.epoch = epoch_;
  batch.commands = std::move(chunk.commands);
  if (DQ_MUTANT(mutants::kAnswerBeforeCommit)) {
    for (CommandRef& ref : batch.commands) {
      if (ref.kind != CommandKind::kEnqueue) continue;
      Work* const work = std::exchange(ref.work, nullptr);
      work->Set(ref.item, {}, false);
      PartDone(work);
    }
  }
  return Batch{id, std::make_shared<const std::string>(std::move(chunk.bytes))};
}

void BrokerImpl::DropOverdue(Time now, Chunk* chunk) {
  if (chunk->first_deadline > now) return;
  Chunk kept;
  kept.bytes.resize(kTimeFieldBytes);
  size_t at = kTimeFieldBytes;
  for (const CommandRef& ref : chunk->commands) {
    // Once a part of a call is proposed, the rest follows: "no effect" could not be said any more.
    if (ref.work->deadline <= now && ref.work->proposed == 0) {
      Settle(ref, epoch_, /*applied=*/false);
      PartFailed(ref.work, Work::Failure::kDeadline);
    } else {
      kept.bytes.append(chunk->bytes, at, ref.bytes);
      kept.commands.push_back(ref);
      if (ref.work->proposed == 0) {
        kept.first_deadline = std::min(kept.first_deadline, ref.work->deadline);
      }
    }
    at += ref.bytes;
  }
  DQ_CHECK(at == chunk->bytes.size());
  *chunk = std::move(kept);
}

void BrokerImpl::AddExpiries(Time now, Chunk* chunk) {
  if (now < own_batches_after_ || leases_.NextExpiry() > now) return;
  // At least a few beside a full chunk: expiries must not starve.
  const size_t room =
      options_.max_batch_commands - std::min(options_.max_batch_commands, chunk->commands.size());
  const size_t limit = std::max(room, std::min<size_t>(options_.max_batch_commands, 64));
  for (const LeaseInfo& lease : leases_.Expired(now, limit)) {
    // Only a lease with a command in flight can be without a hold, and those are ACKING.
    DQ_CHECK(lease.held);
    if (DQ_MUTANT(mutants::kExpiryNotLogged)) {
      EndLease(lease.job, /*remember=*/false, /*release=*/true);
      continue;
    }
    const JobView view = state_->View(lease.job);
    log_expire_.Clear();
    log_expire_.set_id(view.id.data(), view.id.size());
    SetToken(lease.token, view.sequence, log_expire_.mutable_token());
    log_expire_.set_worker_id(workers_.id(lease.owner.worker));
    log_expire_.set_held_ms(HeldMs(now, lease));
    const size_t bytes =
        AppendCommand(log::v1::Command::kExpireFieldNumber, log_expire_,
                      static_cast<uint32_t>(log_expire_.ByteSizeLong()), &chunk->bytes);
    chunk->commands.push_back({.bytes = static_cast<uint32_t>(bytes),
                               .job = lease.job,
                               .token = lease.token,
                               .lease = lease.number,
                               .kind = CommandKind::kExpire,
                               .counts_as = AttemptEnd::kExpired});
    leases_.AddCommand(lease.job);
  }
}

bool BrokerImpl::TickIsDue(int64_t log_time_ms) const {
  const int64_t next_ms = state_->NextTickMs();
  if (next_ms > log_time_ms) return false;
  // A batch in flight that is late enough will do it.
  return in_flight_.empty() || in_flight_.rbegin()->second.time_ms < next_ms;
}

Time BrokerImpl::NextTick(Time now, int64_t wall_ms) const {
  const int64_t next_ms = state_->NextTickMs();
  if (next_ms == INT64_MAX) return Time::max();
  const int64_t log_time_ms = LogTimeMs(now, wall_ms);
  if (next_ms <= log_time_ms && !TickIsDue(log_time_ms)) return Time::max();
  const int64_t wait_ms = std::max<int64_t>(next_ms, log_time_ms) - log_time_ms;
  const Duration wait = std::clamp<Duration>(
      std::chrono::milliseconds(std::min<int64_t>(wait_ms, 1000)), kTickCheckMin, kTickCheckMax);
  return std::max(now + wait, own_batches_after_);
}

Time BrokerImpl::NextExpiry() const { return std::max(leases_.NextExpiry(), own_batches_after_); }

void BrokerImpl::OnProposal(const raft::ProposalOutcome& outcome) {
  using Outcome = raft::ProposalOutcome;
  const auto it = in_flight_.find(outcome.id);
  DQ_CHECK_MSG(it != in_flight_.end(), "batch " + std::to_string(outcome.id) + " is not in flight");
  DQ_CHECK(!it->second.committed);
  if (outcome.kind == Outcome::Kind::kCommitted) {
    it->second.committed = true;
    return;
  }
  Work::Failure failure = Work::Failure::kUnknown;
  if (outcome.kind == Outcome::Kind::kNotAppended) {
    failure = outcome.reason == Outcome::Reason::kOverloaded ? Work::Failure::kOverloaded
                                                             : Work::Failure::kNotServing;
  }
  const InFlight batch = std::move(it->second);
  in_flight_.erase(it);
  if (batch.commands.empty()) own_batch_refused_ = true;
  for (const CommandRef& ref : batch.commands) {
    Settle(ref, batch.epoch, /*applied=*/false);
    if (ref.work == nullptr) {
      own_batch_refused_ = true;
      continue;
    }
    if (failure != Work::Failure::kUnknown) --ref.work->proposed;
    PartFailed(ref.work, failure);
  }
}

void BrokerImpl::OnApplied(Time now, std::optional<uint64_t> batch_id, const Effects& effects) {
  OnEvents(effects.events);
  if (!batch_id) return;
  const std::vector<CommandResult>& results = effects.results;
  const auto it = in_flight_.find(*batch_id);
  DQ_CHECK_MSG(it != in_flight_.end() && it->second.committed,
               "batch " + std::to_string(*batch_id) + " was not reported as committed");
  const InFlight batch = std::move(it->second);
  in_flight_.erase(it);
  DQ_CHECK_MSG(results.size() == batch.commands.size(),
               std::to_string(results.size()) + " results for " +
                   std::to_string(batch.commands.size()) + " commands");
  for (size_t i = 0; i < results.size(); ++i) {
    const CommandRef& ref = batch.commands[i];
    const bool counts = ref.counts_as != AttemptEnd::kNone && results[i].code == ResultCode::kOk;
    if (counts && batch.epoch == epoch_) CountEnd(now, ref);
    Settle(ref, batch.epoch, /*applied=*/true);
    if (ref.work == nullptr) continue;
    ref.work->applied = true;
    ref.work->Set(ref.item, results[i], /*newer=*/!ref.ended_before);
    PartDone(ref.work);
  }
  ServeUnconfirmed(now);
}

void BrokerImpl::Settle(const CommandRef& ref, uint64_t epoch, bool applied) {
  if (epoch != epoch_) return;
  if (ref.lease != 0) SettleLease(ref, applied);
  if (ref.deletes != 0) SettleDeletion(ref.deletes);
}

void BrokerImpl::CountEnd(Time now, const CommandRef& ref) {
  const LeaseInfo* lease = leases_.Find(ref.job);
  if (lease == nullptr || lease->number != ref.lease || lease->token != ref.token) return;
  std::optional<Duration> held;
  if (lease->owner.granted != Time::min()) held = now - lease->owner.granted;
  times_.Ended(lease->owner.queue, ref.counts_as, held);
  workers_.Ended(lease->owner.worker, ref.counts_as);
}

void BrokerImpl::SettleLease(const CommandRef& ref, bool applied) {
  const LeaseInfo* lease = leases_.Find(ref.job);
  if (lease == nullptr || lease->number != ref.lease) return;  // the job was purged
  DQ_CHECK(lease->commands > 0);
  // Applied: the command has ended it (then it is not held any more), or the log knows better than
  // to accept this token: it entitles nobody. But not while another of its commands is in flight.
  const bool last = lease->commands == 1;
  const bool refused = applied && lease->token == ref.token;
  if (last && (refused || !lease->held)) {
    EndLease(ref.job, /*remember=*/!LogKnows(ref.job, lease->token), /*release=*/lease->held);
  } else {
    leases_.RemoveCommand(ref.job);
  }
}

void BrokerImpl::PartDone(Work* work) {
  DQ_CHECK(work->remaining > 0);
  if (--work->remaining > 0) return;
  const std::unique_ptr<Work> owned(work);
  work->Answer(WholeError(*work));
}

void BrokerImpl::PartFailed(Work* work, Work::Failure failure) {
  work->failure = std::max(work->failure, failure);
  PartDone(work);
}

std::optional<Error> BrokerImpl::WholeError(const Work& work) const {
  if (work.failure == Work::Failure::kNone) return std::nullopt;
  // A part may have had its effect: "no effect" must not be said of the whole.
  if (work.applied || work.failure == Work::Failure::kUnknown) return CommitUnknownError();
  switch (work.failure) {
    case Work::Failure::kOverloaded:
      return OverloadedError("log entries that wait for a majority");
    case Work::Failure::kDeadline:
      return DeadlinePassedError();
    case Work::Failure::kShutdown:
      return ShuttingDownError();
    default:
      return NotServing();
  }
}

}  // namespace dqueue::queue
