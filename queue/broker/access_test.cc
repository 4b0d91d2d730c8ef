// Call::access: a caller that may access some queues only. For every kind of call: a request that
// names another queue is refused, a job of another queue looks as if it did not exist, and nothing
// of another queue is counted or changed.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "queue/api/error_status.h"
#include "queue/broker/refusals.h"
#include "queue/broker/testing/broker_fixture.h"

namespace dqueue::queue {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

class BrokerAccessTest : public BrokerTest {
 protected:
  // Sees "mine" and what begins with "my-".
  template <class C>
  ReplyPtr<typename C::ResponseType> SubmitAs(typename C::RequestType request,
                                              QueueAccessPtr access) {
    C call;
    call.request = std::move(request);
    call.access = std::move(access);
    return SubmitCall(std::move(call));
  }
  template <class C>
  ReplyPtr<typename C::ResponseType> Ask(typename C::RequestType request) {
    const auto reply = SubmitAs<C>(std::move(request), access_);
    Run();
    return reply;
  }
  template <class C>
  void ExpectDenied(typename C::RequestType request, const std::string& queue) {
    const auto reply = SubmitAs<C>(std::move(request), access_);
    EXPECT_EQ(reply->reason(), "QUEUE_DENIED") << queue;
    if (!reply->answered() || reply->ok()) return;
    EXPECT_EQ(reply->error().code, absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(reply->error().metadata.at("queue"), queue);
    EXPECT_EQ(Take(), 0u) << "without effect";
  }
  // The only item is refused exactly as one of a job that never was.
  template <class Response>
  void ExpectUnknown(const ReplyPtr<Response>& reply, const std::string& id) {
    ASSERT_EQ(reply->reason(), "OK");
    ASSERT_EQ(reply->value().results_size(), 1);
    EXPECT_EQ(reply->value().results(0).SerializeAsString(),
              ToRpcStatus(JobNotFoundError(id)).SerializeAsString());
  }
  template <class C>
  void ExpectUnknownId(const std::string& id) {
    typename C::RequestType request;
    request.add_ids(id);
    ExpectUnknown(Ask<C>(request), id);
  }
  static v1::LeaseJobsRequest Of(std::vector<std::string> queues) {
    return LeaseRequest("w", 10, std::move(queues));
  }
  static std::vector<std::string> Ids(const v1::LeaseJobsResponse& response) {
    std::vector<std::string> ids;
    for (const v1::Job& job : response.jobs()) ids.push_back(job.id());
    return ids;
  }
  void Kill(const std::string& id, const std::string& queue) {
    Enqueue(id, queue);
    for (const v1::Job& job : Lease(Of({queue}))) {
      auto request = ItemRequest<v1::FailJobsRequest>(job);
      request.mutable_items(0)->set_reject(true);
      EXPECT_EQ(Do<FailCall>(request), "OK");
    }
    EXPECT_EQ(LogState(id), v1::JOB_STATE_DEAD);
  }

  const QueueAccessPtr access_ =
      std::make_shared<const QueueAccess>(std::vector<std::string>{"mine", "my-*"});
};

TEST_F(BrokerAccessTest, EnqueueOnlyIntoOwnQueues) {
  EXPECT_EQ(Ask<EnqueueCall>(EnqueueRequest(Spec("a", "mine"), Spec("b", "my-2")))->reason(), "OK");
  ExpectDenied<EnqueueCall>(EnqueueRequest(Spec("c", "theirs")), "theirs");
  ExpectDenied<EnqueueCall>(EnqueueRequest(Spec("c", "mine"), Spec("d", "my")), "my");
  ExpectDenied<EnqueueCall>(EnqueueRequest(Spec("c", "")), "default");
  v1::EnqueueJobsRequest all = EnqueueRequest(Spec("c", "mine"), Spec("d", "theirs"));
  all.set_all_or_nothing(true);
  ExpectDenied<EnqueueCall>(all, "theirs");
  EXPECT_EQ(state_->job_count(), 2u);
}

TEST_F(BrokerAccessTest, AnInvalidQueueNameIsReportedAsInvalid) {
  const auto reply = Ask<EnqueueCall>(EnqueueRequest(Spec("a", "no/name"), Spec("b", "mine")));
  ASSERT_EQ(reply->reason(), "OK");
  EXPECT_EQ(ReasonOf(reply->value().results(0).error()), "INVALID_FIELD");
  EXPECT_TRUE(reply->value().results(1).created());
}

TEST_F(BrokerAccessTest, AnIdTakenInAnotherQueueIsADuplicate) {
  Enqueue("a", "theirs");
  const auto reply = Ask<EnqueueCall>(EnqueueRequest(Spec("a", "mine")));
  ASSERT_EQ(reply->reason(), "OK");
  EXPECT_EQ(ReasonOf(reply->value().results(0).error()), "DUPLICATE_JOB");
}

TEST_F(BrokerAccessTest, IdempotencyKeysOfQueuesAreIndependent) {
  v1::JobSpec theirs = Spec("a", "theirs");
  theirs.set_idempotency_key("key");
  Enqueue(theirs);
  v1::JobSpec mine = Spec("b", "mine");
  mine.set_idempotency_key("key");
  const auto reply = Ask<EnqueueCall>(EnqueueRequest(mine));
  ASSERT_EQ(reply->reason(), "OK");
  EXPECT_TRUE(reply->value().results(0).created());
}

TEST_F(BrokerAccessTest, LeaseOnlyFromOwnQueues) {
  Enqueue("a", "mine");
  Enqueue("b", "theirs");
  Enqueue("c", "default");
  ExpectDenied<LeaseCall>(Of({"theirs"}), "theirs");
  ExpectDenied<LeaseCall>(Of({"mine", "theirs"}), "theirs");
  ExpectDenied<LeaseCall>(Of({}), "default");
  const auto reply = Ask<LeaseCall>(Of({"my-2", "mine"}));
  ASSERT_EQ(reply->reason(), "OK");
  EXPECT_THAT(Ids(reply->value()), ElementsAre("a"));
  const auto all = SubmitAs<LeaseCall>(
      Of({}), std::make_shared<const QueueAccess>(std::vector<std::string>{"*"}));
  Run();
  EXPECT_THAT(Ids(all->value()), ElementsAre("c"));
}

TEST_F(BrokerAccessTest, LeaseRequestsOfCallersWithOtherAccessAreDistinct) {
  Enqueue("b", "theirs");
  v1::LeaseJobsRequest theirs = Of({"theirs"});
  theirs.set_lease_request_id("request");
  const auto access = std::make_shared<const QueueAccess>(std::vector<std::string>{"theirs"});
  EXPECT_EQ(Lease(theirs).size(), 1u);
  const auto others = SubmitAs<LeaseCall>(theirs, access);
  Run();
  EXPECT_EQ(Ids(others->value()).size(), 0u) << "one that is limited, though it may see the queue";
  v1::LeaseJobsRequest mine = Of({"mine"});
  mine.set_lease_request_id("request");
  const auto reply = Ask<LeaseCall>(mine);
  ASSERT_EQ(reply->reason(), "OK");
  EXPECT_EQ(reply->value().jobs_size(), 0);
  EXPECT_EQ(Lease(theirs).size(), 1u) << "and the first caller is told again";
  Enqueue("a", "mine");
  EXPECT_THAT(Ids(Ask<LeaseCall>(mine)->value()), ElementsAre("a"));
  EXPECT_THAT(Ids(Ask<LeaseCall>(mine)->value()), ElementsAre("a"));
}

TEST_F(BrokerAccessTest, ATokenOfAJobInAnotherQueueIsNotFound) {
  Enqueue("b", "theirs");
  const v1::Job job = Lease(Of({"theirs"})).at(0);
  ExpectUnknown(Ask<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job)), "b");
  ExpectUnknown(Ask<FailCall>(ItemRequest<v1::FailJobsRequest>(job)), "b");
  ExpectUnknown(Ask<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>(job)), "b");
  ExpectUnknown(Ask<ReleaseCall>(ItemRequest<v1::ReleaseJobsRequest>(job)), "b");
  EXPECT_EQ(Get("b").state(), v1::JOB_STATE_LEASED);
  EXPECT_EQ(Do<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job)), "OK");
  ExpectUnknown(Ask<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(job)), "b");
  ExpectUnknown(Ask<FailCall>(ItemRequest<v1::FailJobsRequest>(job)), "b");
  ExpectUnknown(Ask<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>(job)), "b");
  ExpectUnknown(Ask<ReleaseCall>(ItemRequest<v1::ReleaseJobsRequest>(job)), "b");
}

TEST_F(BrokerAccessTest, OwnJobsCanBeWorkedOff) {
  for (const char* id : {"a", "b", "c", "d"}) Enqueue(id, "my-jobs");
  const auto reply = Ask<LeaseCall>(Of({"my-jobs"}));
  ASSERT_EQ(reply->value().jobs_size(), 4);
  const auto item = [&](const auto& answer) { return ItemReason(answer); };
  const auto& jobs = reply->value().jobs();
  EXPECT_EQ(item(Ask<CompleteCall>(ItemRequest<v1::CompleteJobsRequest>(jobs[0]))), "OK");
  EXPECT_EQ(item(Ask<FailCall>(ItemRequest<v1::FailJobsRequest>(jobs[1]))), "OK");
  EXPECT_EQ(item(Ask<ExtendCall>(ItemRequest<v1::ExtendLeasesRequest>(jobs[2]))), "OK");
  EXPECT_EQ(item(Ask<ReleaseCall>(ItemRequest<v1::ReleaseJobsRequest>(jobs[3]))), "OK");
}

TEST_F(BrokerAccessTest, AnotherQueuesJobIsNotFoundByItsId) {
  Enqueue("live", "theirs");
  Kill("dead", "their-dead");
  for (const std::string id : {"live", "dead", "nowhere"}) {
    v1::GetJobRequest get;
    get.set_id(id);
    const auto reply = Ask<GetCall>(get);
    EXPECT_EQ(reply->reason(), "JOB_NOT_FOUND");
    EXPECT_EQ(reply->error().message, JobNotFoundError(id).message);
    EXPECT_EQ(reply->error().metadata, JobNotFoundError(id).metadata);
    ExpectUnknownId<CancelCall>(id);
    ExpectUnknownId<RetryCall>(id);
    ExpectUnknownId<DeleteCall>(id);
  }
  EXPECT_EQ(LogState("live"), v1::JOB_STATE_READY);
  EXPECT_EQ(LogState("dead"), v1::JOB_STATE_DEAD);
  Enqueue("own", "mine");
  v1::CancelJobsRequest cancel;
  cancel.add_ids("own");
  EXPECT_EQ(ItemReason(Ask<CancelCall>(cancel)), "OK");
  v1::RetryJobsRequest retry;
  retry.add_ids("own");
  EXPECT_EQ(ItemReason(Ask<RetryCall>(retry)), "OK");
  EXPECT_EQ(LogState("own"), v1::JOB_STATE_READY);
  v1::DeleteJobsRequest remove;
  remove.add_ids("own");
  EXPECT_EQ(ItemReason(Ask<DeleteCall>(remove)), "OK");
  EXPECT_EQ(state_->job_count(), 2u);
}

// The command was about a job of an own queue; when it is applied, the id is another's.
TEST_F(BrokerAccessTest, AnIdReusedInAnotherQueueIsNotTouched) {
  Enqueue("a", "mine");
  Kill("b", "my-dead");
  v1::CancelJobsRequest cancel;
  cancel.add_ids("a");
  const auto cancelled = SubmitAs<CancelCall>(cancel, access_);
  v1::RetryJobsRequest retry;
  retry.add_ids("b");
  const auto retried = SubmitAs<RetryCall>(retry, access_);
  Take();
  log::v1::CommandBatch moved;
  moved.set_time_ms(wall_ms_);
  for (const std::string id : {"a", "b"}) {
    moved.add_commands()->mutable_delete_job()->set_id(id);
    auto* job = moved.add_commands()->mutable_enqueue()->add_jobs();
    job->set_id(id);
    job->set_queue("theirs");
    job->set_type("t");
    job->set_retention_ms(-1);
  }
  auto* fail = moved.add_commands()->mutable_fail();
  fail->set_id("b");
  fail->mutable_token()->set_term(9);
  fail->mutable_token()->set_sequence(1);
  fail->set_reject(true);
  ApplyForeign(moved);
  Run();
  ExpectUnknown(cancelled, "a");
  ExpectUnknown(retried, "b");
  EXPECT_EQ(LogState("a"), v1::JOB_STATE_READY);
  EXPECT_EQ(LogState("b"), v1::JOB_STATE_DEAD);
}

TEST_F(BrokerAccessTest, ListsShowOwnJobsOnly) {
  Enqueue("a", "mine");
  Enqueue("b", "theirs");
  Enqueue("c", "my-2");
  v1::ListJobsRequest list;
  std::vector<std::string> ids;
  const auto reply = Ask<ListCall>(list);
  for (const v1::Job& job : reply->value().jobs()) ids.push_back(job.id());
  EXPECT_THAT(ids, UnorderedElementsAre("a", "c"));
  list.set_queue("theirs");
  ExpectDenied<ListCall>(list, "theirs");
  list.set_queue("mine");
  EXPECT_EQ(Ask<ListCall>(list)->value().jobs_size(), 1);
}

TEST_F(BrokerAccessTest, PagesGoThroughOwnJobsOnly) {
  for (int i = 0; i < 30; ++i) {
    Enqueue("job" + std::to_string(i), i % 3 == 0 ? "mine" : "theirs" + std::to_string(i % 2));
  }
  v1::ListJobsRequest list;
  list.set_page_size(4);
  std::vector<std::string> ids;
  for (int pages = 0; pages < 30; ++pages) {
    const auto reply = Ask<ListCall>(list);
    ASSERT_EQ(reply->reason(), "OK");
    for (const v1::Job& job : reply->value().jobs()) ids.push_back(job.queue());
    list.set_page_token(reply->value().next_page_token());
    if (list.page_token().empty()) break;
  }
  EXPECT_EQ(ids, std::vector<std::string>(10, "mine"));
}

TEST_F(BrokerAccessTest, StatsCountOwnQueuesOnly) {
  Enqueue("a", "mine");
  Enqueue("b", "theirs");
  Enqueue("c", "my-2");
  Enqueue("d", "my-2");
  EXPECT_EQ(Lease(Of({"my-2"})).size(), 2u);
  EXPECT_EQ(Lease(Of({"theirs"})).size(), 1u);
  Advance(10s);
  Enqueue("e", "my-3");
  const auto reply = Ask<StatsCall>({});
  ASSERT_EQ(reply->reason(), "OK");
  const v1::GetStatsResponse& stats = reply->value();
  ASSERT_EQ(stats.queues_size(), 3);
  EXPECT_EQ(stats.queues(0).queue(), "mine");
  EXPECT_EQ(stats.queues(1).queue(), "my-2");
  EXPECT_EQ(stats.queues(2).queue(), "my-3");
  EXPECT_EQ(stats.total().enqueued(), 4u);
  EXPECT_EQ(stats.total().leased(), 2u);
  EXPECT_EQ(stats.total().ready(), 2u);
  EXPECT_EQ(stats.total().oldest_ready_age().seconds(), 10);
  v1::GetStatsRequest one;
  one.set_queue("theirs");
  ExpectDenied<StatsCall>(one, "theirs");
  one.set_queue("unheard-of");
  ExpectDenied<StatsCall>(one, "unheard-of");
  one.set_queue("my-unheard-of");
  EXPECT_EQ(Ask<StatsCall>(one)->reason(), "QUEUE_NOT_FOUND");
}

TEST_F(BrokerAccessTest, StatsComeInPagesOfOwnQueues) {
  for (const char* queue : {"mine", "my-1", "my-2", "theirs", "zzz"}) Enqueue(queue, queue);
  v1::GetStatsRequest request;
  request.set_page_size(2);
  const auto first = Ask<StatsCall>(request);
  ASSERT_EQ(first->reason(), "OK");
  EXPECT_EQ(first->value().queues(1).queue(), "my-1");
  EXPECT_EQ(first->value().total().enqueued(), 2u);
  request.set_page_token(first->value().next_page_token());
  const auto second = Ask<StatsCall>(request);
  ASSERT_EQ(second->reason(), "OK");
  ASSERT_EQ(second->value().queues_size(), 1);
  EXPECT_EQ(second->value().queues(0).queue(), "my-2");
  EXPECT_EQ(second->value().next_page_token(), "");
  request.set_page_token("my-1");
  EXPECT_EQ(Ask<StatsCall>(request)->reason(), "INVALID_FIELD");
  v1::ListWorkersRequest workers;
  workers.set_page_token("x");
  EXPECT_EQ(Ask<WorkersCall>(workers)->reason(), "INVALID_FIELD");
  EXPECT_EQ(Ask<ListKeysCall>({.page_token = "x"})->reason(), "INVALID_FIELD");
}

TEST_F(BrokerAccessTest, OtherQueuesCannotBeManaged) {
  Enqueue("a", "mine");
  Enqueue("b", "theirs");
  const auto with_queue = [](auto request, const std::string& queue) {
    request.set_queue(queue);
    return request;
  };
  for (const std::string queue : {"theirs", "unheard-of"}) {
    ExpectDenied<PauseCall>(with_queue(v1::PauseQueueRequest(), queue), queue);
    ExpectDenied<ResumeCall>(with_queue(v1::ResumeQueueRequest(), queue), queue);
    ExpectDenied<PurgeCall>(with_queue(v1::PurgeQueueRequest(), queue), queue);
    ExpectDenied<RedriveCall>(with_queue(v1::RedriveJobsRequest(), queue), queue);
  }
  EXPECT_EQ(Ask<PauseCall>(with_queue(v1::PauseQueueRequest(), "mine"))->reason(), "OK");
  EXPECT_EQ(Ask<ResumeCall>(with_queue(v1::ResumeQueueRequest(), "mine"))->reason(), "OK");
  const auto purged = Ask<PurgeCall>(with_queue(v1::PurgeQueueRequest(), "mine"));
  ASSERT_EQ(purged->reason(), "OK");
  EXPECT_EQ(purged->value().purged(), 1);
  EXPECT_EQ(LogState("b"), v1::JOB_STATE_READY);
}

TEST_F(BrokerAccessTest, ARedriveLeavesJobsOfOtherQueuesDead) {
  Kill("a", "mine");
  Kill("b", "theirs");
  Kill("c", "my-2");
  const auto reply = Ask<RedriveCall>({});
  ASSERT_EQ(reply->reason(), "OK");
  EXPECT_EQ(reply->value().redriven(), 2);
  EXPECT_FALSE(reply->value().more());
  EXPECT_EQ(LogState("a"), v1::JOB_STATE_READY);
  EXPECT_EQ(LogState("b"), v1::JOB_STATE_DEAD);
  EXPECT_EQ(LogState("c"), v1::JOB_STATE_READY);
}

}  // namespace
}  // namespace dqueue::queue
