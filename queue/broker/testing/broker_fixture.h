// Test fixture: a broker over a real state machine; the test takes the place of raft. Batches are
// taken, then committed, refused or lost on demand; confirmation rounds likewise. Time stands still
// unless a test advances it.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"
#include "queue/broker/broker.h"
#include "queue/state/state_machine.h"

namespace dqueue::queue {

using namespace std::chrono_literals;  // NOLINT

// The outcome of a call.
template <class Response>
struct Reply {
  std::optional<Outcome<Response>> outcome;
  int times = 0;
  bool answered() const { return times > 0; }
  bool ok() const { return answered() && outcome->ok(); }
  const Response& value() const { return outcome->value; }
  const Error& error() const { return outcome->error; }
  // The reason of the refusal; "OK" or "WAITING" if there is none.
  std::string reason() const {
    if (!answered()) return "WAITING";
    return outcome->ok() ? "OK" : outcome->error.reason;
  }
};
template <class Response>
using ReplyPtr = std::shared_ptr<Reply<Response>>;

inline google::rpc::ErrorInfo InfoOf(const google::rpc::Status& status) {
  google::rpc::ErrorInfo info;
  if (status.details_size() == 0) return info;
  EXPECT_TRUE(status.details(0).UnpackTo(&info));
  return info;
}
// Of an item: "OK" or the reason.
inline std::string ReasonOf(const google::rpc::Status& status) {
  return status.code() == 0 ? "OK" : InfoOf(status).reason();
}

class BrokerTest : public testing::Test {
 protected:
  static constexpr int64_t kStartMs = 1'700'000'000'000;

  ~BrokerTest() override {
    broker_.reset();
    EXPECT_EQ(state_->CheckConsistency(), "");
  }

  // A leader of term 1.
  void SetUp() override { Make({}, 1); }
  void Make(const BrokerOptions& options, uint64_t term) {
    broker_.reset();
    batches_.clear();
    rounds_.clear();
    options_ = options;
    broker_ = std::make_unique<Broker>(options_, state_.get(), 42);
    broker_->OnGrant(
        [this](const std::string& id, LeaseToken token) { grants_.emplace_back(id, token); });
    if (term > 0) Lead(term);
  }
  void Lead(uint64_t term) { broker_->BecomeLeader(now_, raft::Term(term)); }
  void StepDown() { broker_->StepDown({.leader_id = "n2", .leader_address = "h:2", .term = 9}); }

  void Advance(Duration by) {
    now_ += by;
    wall_ms_ += std::chrono::duration_cast<std::chrono::milliseconds>(by).count();
  }

  template <class C>
  ReplyPtr<typename C::ResponseType> SubmitCall(C call) {
    auto reply = std::make_shared<Reply<typename C::ResponseType>>();
    call.done = [reply](Outcome<typename C::ResponseType> outcome) {
      ++reply->times;
      EXPECT_EQ(reply->times, 1) << "a call is answered once";
      reply->outcome = std::move(outcome);
    };
    broker_->Submit(now_, wall_ms_, std::move(call));
    return reply;
  }
  template <class C>
  ReplyPtr<typename C::ResponseType> Submit(typename C::RequestType request,
                                            Time deadline = Time::max()) {
    C call;
    call.request = std::move(request);
    call.deadline = deadline;
    return SubmitCall(std::move(call));
  }

  // ---- in place of raft ----
  // Takes all batches; returns their number.
  size_t Take() {
    size_t taken = 0;
    while (auto batch = broker_->TakeBatch(now_, wall_ms_)) {
      batches_.push_back(*std::move(batch));
      ++taken;
    }
    return taken;
  }
  // Commits and applies the oldest batch.
  void CommitOne() {
    ASSERT_FALSE(batches_.empty());
    const Batch batch = std::move(batches_.front());
    batches_.pop_front();
    ++index_;
    broker_->OnProposal({.id = batch.id,
                         .kind = raft::ProposalOutcome::Kind::kCommitted,
                         .index = raft::Index(index_)});
    state_->Apply(raft::Index(index_), *batch.payload, &effects_);
    broker_->OnApplied(now_, batch.id, effects_);
  }
  void CommitAll() {
    while (!batches_.empty()) CommitOne();
  }
  void EndOne(raft::ProposalOutcome::Kind kind, raft::ProposalOutcome::Reason reason) {
    ASSERT_FALSE(batches_.empty());
    const Batch batch = std::move(batches_.front());
    batches_.pop_front();
    broker_->OnProposal({.id = batch.id, .kind = kind, .reason = reason, .index = {}});
  }
  void RefuseOne(raft::ProposalOutcome::Reason reason) {
    EndOne(raft::ProposalOutcome::Kind::kNotAppended, reason);
  }
  void LoseOne() {
    EndOne(raft::ProposalOutcome::Kind::kUnknown, raft::ProposalOutcome::Reason::kNone);
  }
  // Applies commands that this broker did not propose.
  void ApplyForeign(const log::v1::CommandBatch& batch) {
    state_->Apply(raft::Index(++index_), batch.SerializeAsString(), &effects_);
    broker_->OnApplied(now_, std::nullopt, effects_);
  }
  // Begins a round if one is wanted.
  bool Begin() {
    if (!broker_->WantsConfirmation()) return false;
    rounds_.push_back(broker_->BeginConfirmation());
    return true;
  }
  // Ends the oldest round.
  void EndRound(bool confirmed = true) {
    ASSERT_FALSE(rounds_.empty());
    const uint64_t id = rounds_.front();
    rounds_.pop_front();
    broker_->OnConfirmation(now_, wall_ms_,
                            {.id = id, .confirmed = confirmed, .index = raft::Index(index_)});
  }
  // A turn of the loop of a healthy leader, until nothing is left to do.
  void Run() {
    broker_->OnTimer(now_, wall_ms_);
    for (int turn = 0; turn < 1000; ++turn) {
      const bool took = Take() > 0;
      CommitAll();
      Begin();
      // Also rounds that were running: what ends them may make calls wait for another.
      const bool ends_rounds = !rounds_.empty();
      while (!rounds_.empty()) EndRound();
      if (!took && !ends_rounds) return;
    }
    FAIL() << "the broker does not come to rest";
  }

  // ---- short forms ----
  static v1::JobSpec Spec(std::string id, std::string queue = "q", std::string type = "t") {
    v1::JobSpec spec;
    spec.set_id(std::move(id));
    spec.set_queue(std::move(queue));
    spec.set_type(std::move(type));
    spec.set_payload("payload");
    return spec;
  }
  template <class... Specs>
  static v1::EnqueueJobsRequest EnqueueRequest(Specs... specs) {
    v1::EnqueueJobsRequest request;
    (..., (*request.add_jobs() = std::move(specs)));
    return request;
  }
  // Enqueues and commits; the id.
  std::string Enqueue(v1::JobSpec spec) {
    const auto reply = Submit<EnqueueCall>(EnqueueRequest(std::move(spec)));
    Take();
    CommitAll();
    EXPECT_EQ(reply->reason(), "OK");
    if (!reply->ok() || reply->value().results_size() != 1) return "";
    EXPECT_FALSE(reply->value().results(0).has_error())
        << reply->value().results(0).error().message();
    return reply->value().results(0).id();
  }
  std::string Enqueue(const std::string& id, const std::string& queue = "q",
                      const std::string& type = "t") {
    return Enqueue(Spec(id, queue, type));
  }

  static v1::LeaseJobsRequest LeaseRequest(std::string worker = "w", int max_jobs = 10,
                                           std::vector<std::string> queues = {"q"},
                                           int wait_s = 0) {
    v1::LeaseJobsRequest request;
    request.set_worker_id(std::move(worker));
    for (std::string& queue : queues) request.add_queues(std::move(queue));
    request.set_max_jobs(max_jobs);
    if (wait_s > 0) request.mutable_wait()->set_seconds(wait_s);
    return request;
  }
  // The jobs of a confirmed lease call.
  std::vector<v1::Job> Lease(v1::LeaseJobsRequest request) {
    const auto reply = Submit<LeaseCall>(std::move(request));
    Begin();
    while (!rounds_.empty()) EndRound();
    EXPECT_EQ(reply->reason(), "OK");
    if (!reply->ok()) return {};
    return {reply->value().jobs().begin(), reply->value().jobs().end()};
  }
  v1::Job LeaseOne(const std::string& worker = "w") {
    const std::vector<v1::Job> jobs = Lease(LeaseRequest(worker, 1));
    EXPECT_EQ(jobs.size(), 1u);
    return jobs.empty() ? v1::Job() : jobs[0];
  }

  v1::CompleteJobsRequest CompleteRequest(const std::string& id, LeaseToken token) const {
    return ItemRequest<v1::CompleteJobsRequest>(id, token);
  }
  // A request with one item of this id and token.
  template <class Request>
  Request ItemRequest(const std::string& id, LeaseToken token) const {
    Request request;
    request.set_worker_id("w");
    auto* item = request.add_items();
    item->set_id(id);
    item->mutable_token()->set_term(token.term);
    item->mutable_token()->set_sequence(token.sequence);
    // Of the job that has the id now.
    const JobRef job = state_->Find(id);
    item->mutable_token()->set_job(job == JobRef{} ? 1 : state_->View(job).sequence);
    return request;
  }
  template <class Request>
  static Request ItemRequest(const v1::Job& job) {
    Request request;
    request.set_worker_id("w");
    auto* item = request.add_items();
    item->set_id(job.id());
    *item->mutable_token() = job.lease().token();
    return request;
  }
  static LeaseToken TokenOf(const v1::Job& job) {
    return {job.lease().token().term(), job.lease().token().sequence()};
  }
  // The reason of the only item of the answer.
  template <class Response>
  static std::string ItemReason(const ReplyPtr<Response>& reply) {
    if (!reply->ok()) return reply->reason();
    EXPECT_EQ(reply->value().results_size(), 1);
    return ReasonOf(reply->value().results(0));
  }
  template <class Response>
  static std::string ItemMetadata(const ReplyPtr<Response>& reply, const std::string& key) {
    if (!reply->ok()) return reply->reason();
    const google::rpc::ErrorInfo info = InfoOf(reply->value().results(0));
    const auto it = info.metadata().find(key);
    return it == info.metadata().end() ? "" : it->second;
  }
  // The reason that a call with one item is answered with, on a healthy leader.
  template <class C>
  std::string Do(typename C::RequestType request) {
    const auto reply = Submit<C>(std::move(request));
    Run();
    return ItemReason(reply);
  }

  v1::Job Get(const std::string& id) {
    v1::GetJobRequest request;
    request.set_id(id);
    const auto reply = Submit<GetCall>(request);
    Begin();
    while (!rounds_.empty()) EndRound();
    EXPECT_EQ(reply->reason(), "OK") << id;
    return reply->ok() ? reply->value().job() : v1::Job();
  }
  // As the log has it, without the broker.
  v1::JobState LogState(const std::string& id) const {
    const JobRef job = state_->Find(id);
    return job == JobRef{} ? v1::JOB_STATE_UNSPECIFIED : state_->View(job).state;
  }

  std::unique_ptr<StateMachine> state_ = std::make_unique<StateMachine>();
  BrokerOptions options_;
  std::unique_ptr<Broker> broker_;
  Time now_{std::chrono::hours(1)};
  int64_t wall_ms_ = kStartMs;
  uint64_t index_ = 0;
  Effects effects_;
  std::deque<Batch> batches_;
  std::deque<uint64_t> rounds_;
  std::vector<std::pair<std::string, LeaseToken>> grants_;
};

}  // namespace dqueue::queue
