#include "queue/broker/commands/propose_enqueue.h"

#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"
#include "queue/api/error_status.h"
#include "queue/api/hash.h"
#include "queue/api/limits.h"
#include "queue/api/validate.h"
#include "queue/broker/refusals.h"
#include "queue/broker/visible_job.h"
#include "queue/broker/work.h"

namespace dqueue::queue {
namespace {

// Limit on the jobs of an answer (return_jobs). The first job may exceed it. With the ids of a full
// batch an answer stays below 4 MiB, which is what gRPC clients accept by default.
constexpr size_t kReturnedBytesMax = 2 << 20;

// 0: at once.
int64_t RunTimeMs(const PreparedEnqueue::Job& job, int64_t now_ms) {
  if (job.delay_ms != 0) return now_ms + job.delay_ms;
  return job.run_time_ms > now_ms ? job.run_time_ms : 0;
}

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;
using LogJob = log::v1::Enqueue::Job;

// A job as an element of log.v1.Enqueue.jobs: what the leader decides in front of the prepared
// fields.
class EncodedJob {
 public:
  EncodedJob(const PreparedEnqueue& prepared, const PreparedEnqueue::Job& job,
             const std::string& id, int64_t run_time_ms)
      : id_(id),
        run_time_ms_(static_cast<uint64_t>(run_time_ms)),
        id_of_request_(job.id_of_request),
        request_key_(job.request_key),
        rest_(std::string_view(prepared.bytes).substr(job.begin, job.end - job.begin)) {
    size_ = 1 + CodedOutputStream::VarintSize32(static_cast<uint32_t>(id.size())) + id.size() +
            rest_.size();
    if (run_time_ms_ != 0) size_ += 1 + CodedOutputStream::VarintSize64(run_time_ms_);
    if (id_of_request_) size_ += kLongTagBytes + 1;
    if (!request_key_.empty()) size_ += kLongTagBytes + 1 + request_key_.size();
  }
  // With tag and length.
  size_t size() const {
    return 1 + CodedOutputStream::VarintSize32(static_cast<uint32_t>(size_)) + size_;
  }
  uint8_t* Write(uint8_t* p) const {
    *p++ = Tag(log::v1::Enqueue::kJobsFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
    p = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(size_), p);
    *p++ = Tag(LogJob::kIdFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
    p = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(id_.size()), p);
    p = WriteBytes(id_, p);
    if (run_time_ms_ != 0) {
      *p++ = Tag(LogJob::kRunTimeMsFieldNumber, WireFormatLite::WIRETYPE_VARINT);
      p = CodedOutputStream::WriteVarint64ToArray(run_time_ms_, p);
    }
    if (id_of_request_) {
      p = WriteLongTag(LogJob::kIdOfRequestFieldNumber, WireFormatLite::WIRETYPE_VARINT, p);
      *p++ = 1;
    }
    if (!request_key_.empty()) {
      DQ_CHECK(request_key_.size() < 0x80);  // its length takes one byte
      p = WriteLongTag(LogJob::kRequestKeyFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED,
                       p);
      *p++ = static_cast<uint8_t>(request_key_.size());
      p = WriteBytes(request_key_, p);
    }
    return WriteBytes(rest_, p);
  }

 private:
  // The tag of a field with a number from 16 to 2047.
  static constexpr size_t kLongTagBytes = 2;
  static uint8_t* WriteLongTag(int field, int type, uint8_t* p) {
    return CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(field << 3 | type), p);
  }
  static uint8_t* WriteBytes(std::string_view bytes, uint8_t* p) {
    std::memcpy(p, bytes.data(), bytes.size());
    return p + bytes.size();
  }
  static constexpr uint8_t Tag(int field, int type) {
    return static_cast<uint8_t>(field << 3 | type);
  }

  const std::string& id_;
  const uint64_t run_time_ms_;
  const bool id_of_request_;
  const std::string_view request_key_;
  const std::string_view rest_;
  size_t size_;
};

class EnqueueWork : public Work {
 public:
  EnqueueWork(EnqueueCall* call, const Admission& admission, ReturnedJobs& returned,
              Elsewhere& elsewhere)
      : Work(call->deadline, admission),
        response(std::move(call->prepared->response)),
        returned_(returned),
        elsewhere_(elsewhere),
        all_or_nothing_(call->prepared->all_or_nothing),
        return_jobs_(call->prepared->return_jobs),
        access_(call->access),
        done_(std::move(call->done)) {
    if (return_jobs_) sequences_.resize(static_cast<size_t>(response.results_size()));
  }

  // Of an all-or-nothing call, `item` is 0 and stands for all jobs.
  void Set(Time, uint32_t item, const CommandResult& result, bool) override {
    const bool accepted = result.code == ResultCode::kOk || result.code == ResultCode::kExisting;
    if (all_or_nothing_ && response.results_size() > 1) {
      return accepted ? SetAll(result) : RejectAll(result);
    }
    v1::EnqueueJobsResponse::Result* out = response.mutable_results(static_cast<int>(item));
    if (accepted) {
      out->set_created(result.code == ResultCode::kOk);
      if (result.code == ResultCode::kExisting) out->set_id(result.existing_id);
      if (return_jobs_) sequences_[item] = result.sequence;
    } else if (all_or_nothing_) {
      rejected_ = BatchRejectedError(out->id(), result);
    } else {
      *out->mutable_error() = ToRpcStatus(EnqueueRefusedError(out->id(), result));
    }
  }
  void Answer(std::optional<Error> error) override {
    if (!error) error = std::move(rejected_);
    if (error) return done_(*std::move(error));
    if (return_jobs_) {
      return returned_.Add({.response = std::move(response),
                            .sequences = std::move(sequences_),
                            .access = access_,
                            .done = std::move(done_)});
    }
    // A large answer takes long to encode and to free.
    if (response.results_size() <= kAnswerHereMax) return done_(std::move(response));
    elsewhere_.Run([done = std::move(done_), response = std::move(response)]() mutable {
      done(std::move(response));
    });
  }

  v1::EnqueueJobsResponse response;

 private:
  static constexpr int kAnswerHereMax = 256;

  void SetAll(const CommandResult& result) {
    for (auto& each : *response.mutable_results()) each.set_created(true);
    for (const auto& [item, id] : result.existing) {
      DQ_CHECK(item < static_cast<uint32_t>(response.results_size()));
      response.mutable_results(static_cast<int>(item))->set_created(false);
      response.mutable_results(static_cast<int>(item))->set_id(id);
    }
    if (!return_jobs_) return;
    DQ_CHECK(result.sequences.size() == static_cast<size_t>(response.results_size()));
    sequences_ = result.sequences;
  }
  void RejectAll(const CommandResult& result) {
    DQ_CHECK(result.failed_item < static_cast<uint32_t>(response.results_size()));
    rejected_ = BatchRejectedError(response.results(result.failed_item).id(), result);
  }

  ReturnedJobs& returned_;
  Elsewhere& elsewhere_;
  const bool all_or_nothing_;
  const bool return_jobs_;
  const QueueAccessPtr access_;
  std::vector<uint64_t> sequences_;  // of the jobs, by item; 0: none
  std::function<void(Outcome<v1::EnqueueJobsResponse>)> done_;
  std::optional<Error> rejected_;
};

}  // namespace

// ---- ReturnedJobs ----

void ReturnedJobs::Add(Call call) { calls_.push_back(std::move(call)); }

void ReturnedJobs::Continue(Time now) {
  while (!calls_.empty()) {
    Call& call = calls_.front();
    for (; call.next < call.sequences.size(); ++call.next) {
      if (pace_.Exhausted()) return;
      pace_.Spend(kFindNs);
      AddJob(now, &call);
    }
    AnswerFirst();
  }
}

void ReturnedJobs::AnswerAll() {
  while (!calls_.empty()) AnswerFirst();
}

void ReturnedJobs::AnswerFirst() {
  elsewhere_.Run(
      [call = std::move(calls_.front())]() mutable { call.done(std::move(call.response)); });
  calls_.pop_front();
}

// Adds the job to its result, unless the job is gone or the jobs would exceed kReturnedBytesMax.
void ReturnedJobs::AddJob(Time now, Call* call) {
  const uint64_t sequence = call->sequences[call->next];
  if (sequence == 0 || call->bytes >= kReturnedBytesMax) return;
  v1::EnqueueJobsResponse::Result* const result =
      call->response.mutable_results(static_cast<int>(call->next));
  const JobRef ref = FindVisible(state_, result->id(), call->access);
  // The id may be another job's by now: after a deletion in the same batch, or because an
  // idempotency key outlives its job.
  if (ref == JobRef{} || state_.Sequence(ref) != sequence) return;
  pace_.Spend(4 * kShowNs);
  jobs_.Fill(now, ref, result->mutable_job());
  const size_t bytes = result->job().ByteSizeLong();
  if (call->bytes > 0 && call->bytes + bytes > kReturnedBytesMax) {
    result->clear_job();
    call->bytes = kReturnedBytesMax;
    return;
  }
  call->bytes += bytes;
}

// ---- EnqueueProposer ----

EnqueueProposer::EnqueueProposer(const BrokerOptions& options, const Admission& admission,
                                 const LogClock& clock, const StateMachine& state,
                                 const JobPresenter& jobs, CommandLog& commands,
                                 PartialCalls& partial, Elsewhere& elsewhere, uint64_t seed)
    : options_(options),
      admission_(admission),
      clock_(clock),
      state_(state),
      commands_(commands),
      partial_(partial),
      elsewhere_(elsewhere),
      returned_(state, jobs, admission.pace(), elsewhere),
      seed_(seed),
      ids_(seed) {}

void EnqueueProposer::Begin(raft::Term term) {
  ids_.Reseed(HashSequence(seed_).Add(uint64_t{2}).Add(term.value()).Finish());
}

std::string EnqueueProposer::TakeId(const PreparedEnqueue& prepared, PreparedEnqueue::Job* job,
                                    int64_t now_ms) {
  // A log that older programs may read must not have the fields of level 1.
  const bool remembered = !prepared.request_id.empty() && state_.level() > 0;
  if (!job->id.empty()) {
    if (remembered) job->request_key = DerivedRequestKey(prepared.request_id, job->item);
    return std::move(job->id);
  }
  if (prepared.request_id.empty()) return ids_.Next(now_ms);
  job->id_of_request = remembered;
  return DerivedJobId(prepared.request_id, job->item);
}

// A call on its way into the command log: each job gets its id and time and is copied there. All
// jobs of a call that is all or nothing make one command, which is a batch of its own if it is
// large.
class EnqueueProposer::Proposal final : public PartialCall {
 public:
  Proposal(EnqueueProposer& proposer, std::shared_ptr<PreparedEnqueue> prepared,
           std::unique_ptr<EnqueueWork> work, int64_t now_ms)
      : proposer_(proposer),
        prepared_(std::move(prepared)),
        now_ms_(now_ms),
        work_(work.get()),
        part_(std::move(work)) {}
  ~Proposal() override {
    // Very many jobs take long to free.
    if (prepared_->jobs.size() > kFreedHereMax) proposer_.elsewhere_.Free(std::move(prepared_));
  }

  bool Continue(Time) override {
    Pace& pace = proposer_.admission_.pace();
    for (; next_ < prepared_->jobs.size(); ++next_) {
      if (pace.Exhausted()) return false;
      PreparedEnqueue::Job& job = prepared_->jobs[next_];
      std::string* const id = work_->response.mutable_results(job.item)->mutable_id();
      *id = proposer_.TakeId(*prepared_, &job, now_ms_);
      const EncodedJob encoded(*prepared_, job, *id, RunTimeMs(job, now_ms_));
      pace.Spend(kFindNs);
      if (prepared_->all_or_nothing) {
        together_bytes_ += encoded.size();
        continue;
      }
      pace.Spend(CostOfCopying(encoded.size()));
      proposer_.commands_.AppendEncoded(
          log::v1::Command::kEnqueueFieldNumber, encoded.size(),
          {.part = part_.Another(), .item = static_cast<uint32_t>(job.item)},
          [&](uint8_t* p) { return encoded.Write(p); });
    }
    if (prepared_->all_or_nothing && !ContinueTogether(&pace)) return false;
    part_.Done();
    return true;
  }

 private:
  // All ids are taken: encodes the jobs as one command.
  bool ContinueTogether(Pace* pace) {
    if (together_.empty()) {
      together_ = CommandLog::BeginBatch(log::v1::Command::kEnqueueFieldNumber, together_bytes_);
    }
    for (; written_ < prepared_->jobs.size(); ++written_) {
      if (pace->Exhausted()) return false;
      const PreparedEnqueue::Job& job = prepared_->jobs[written_];
      const EncodedJob encoded(*prepared_, job, work_->response.results(job.item).id(),
                               RunTimeMs(job, now_ms_));
      pace->Spend(kResultNs + CostOfCopying(encoded.size()));
      const size_t at = together_.size();
      together_.resize(at + encoded.size());
      encoded.Write(reinterpret_cast<uint8_t*>(together_.data()) + at);
    }
    proposer_.commands_.AppendBatch(std::move(together_), {.part = part_.Another()});
    return true;
  }

  static constexpr size_t kFreedHereMax = 256;

  EnqueueProposer& proposer_;
  std::shared_ptr<PreparedEnqueue> prepared_;
  const int64_t now_ms_;
  EnqueueWork* const work_;  // kept alive by part_
  WorkPart part_;
  size_t next_ = 0;
  size_t together_bytes_ = 0;
  std::string together_;
  size_t written_ = 0;
};

// Refuses jobs whose run time is too far ahead of the leader's clock.
std::optional<Error> EnqueueProposer::CheckRunTimes(int64_t now_ms, PreparedEnqueue* prepared) {
  std::optional<Error> first;
  for (const PreparedEnqueue::Job& job : prepared->jobs) {
    auto error = CheckRunTime(job.run_time, job.item, now_ms);
    if (!error) continue;
    if (prepared->all_or_nothing) return error;
    *prepared->response.mutable_results(job.item)->mutable_error() = ToRpcStatus(*error);
  }
  std::erase_if(prepared->jobs, [&](const PreparedEnqueue::Job& job) {
    return prepared->response.results(job.item).has_error();
  });
  return std::nullopt;
}

void EnqueueProposer::Submit(Time now, EnqueueCall call) {
  if (call.prepared == nullptr && !Prepare(options_, &call)) return;
  PreparedEnqueue& prepared = *call.prepared;
  const int64_t now_ms = clock_.NowMs(now);
  if (auto error = CheckRunTimes(now_ms, &prepared)) return call.done(*std::move(error));
  if (prepared.jobs.empty()) return call.done(std::move(prepared.response));
  const size_t commands = prepared.all_or_nothing ? 1 : prepared.jobs.size();
  if (auto error = admission_.AdmitEnqueue(now, call.deadline, commands, prepared.bytes.size())) {
    elsewhere_.Free(std::move(call.prepared));
    return call.done(*std::move(error));
  }
  std::shared_ptr<PreparedEnqueue> kept = call.prepared;
  auto work = std::make_unique<EnqueueWork>(&call, admission_, returned_, elsewhere_);
  partial_.Run(now, std::make_unique<Proposal>(*this, std::move(kept), std::move(work), now_ms));
}

}  // namespace dqueue::queue
