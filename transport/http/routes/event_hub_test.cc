#include "transport/http/routes/event_hub.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>

#include <utility>

#include "transport/http/message/json_text.h"

namespace dqueue::transport {
namespace {

using google::protobuf::util::TimeUtil;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

// Keeps requests until the test answers.
class FakeSource final : public EventSource {
 public:
  void AskStats(const Credentials&, Stats done) override { stats_.push_back(std::move(done)); }
  void AskCluster(const Credentials&, Cluster done) override {
    cluster_.push_back(std::move(done));
  }
  void AskDisk(Disk done) override { disk_.push_back(std::move(done)); }

  std::vector<Stats> stats_;
  std::vector<Cluster> cluster_;
  std::vector<Disk> disk_;
};

// The client side of a stream.
class Client final : public HttpReply::Exchange {
 public:
  void Send(HttpResponse) override {}
  bool BeginStream(HttpResponse) override { return true; }
  void Write(HttpChunk chunk) override { chunks_.push_back(std::move(chunk)); }
  void EndStream() override { ended_ = true; }
  void OnGone(std::function<void()>) override {}
  bool gone() const override { return gone_; }
  const Credentials& credentials() const override { return credentials_; }

  // The text that came since the last call.
  std::string Take() {
    std::string text;
    for (const HttpChunk& chunk : chunks_) text += *chunk;
    chunks_.clear();
    return text;
  }

  std::vector<HttpChunk> chunks_;
  bool gone_ = false;
  bool ended_ = false;
  Credentials credentials_;
};

v1::QueueStats Queue(const std::string& name, uint64_t enqueued, uint64_t ready,
                     int64_t age_ms = 0) {
  v1::QueueStats stats;
  stats.set_queue(name);
  stats.set_enqueued(enqueued);
  stats.set_ready(ready);
  *stats.mutable_oldest_ready_age() = TimeUtil::MillisecondsToDuration(age_ms);
  return stats;
}

v1::GetStatsResponse Stats(uint64_t index, const std::vector<v1::QueueStats>& queues) {
  v1::GetStatsResponse response;
  response.set_applied_index(index);
  for (const v1::QueueStats& queue : queues) {
    *response.add_queues() = queue;
    auto* total = response.mutable_total();
    total->set_enqueued(total->enqueued() + queue.enqueued());
    total->set_ready(total->ready() + queue.ready());
  }
  return response;
}

// The member of the event's data.
std::string Member(const std::string& event, const std::string& name) {
  const size_t at = event.find("data: ");
  if (at == std::string::npos) return "(no data)";
  const std::string data = event.substr(at + 6, event.find("\n\n", at) - at - 6);
  const auto members = ParseJsonObject(data);
  if (!members.ok()) return std::string(members.status().message());
  return members->contains(name) ? std::string(members->at(name)) : "(none)";
}

std::vector<std::string> QueueNames(const std::string& event) {
  std::vector<std::string> names;
  const std::string queues = Member(event, "queues");
  const auto members = ParseJsonObject(queues);
  if (!members.ok()) return {queues};
  for (const auto& [name, value] : *members) names.push_back(name);
  return names;
}

class EventHubTest : public testing::Test {
 protected:
  std::shared_ptr<Client> Watch(std::function<bool()> still_allowed = nullptr) {
    auto client = std::make_shared<Client>();
    hub_->Add({.stream = HttpReply(client).Stream({}),
               .credentials = {},
               .still_allowed = std::move(still_allowed)});
    return client;
  }
  void Tick() {
    now_ms_ += 1000;
    hub_->Tick();
  }
  void AnswerStats(const v1::GetStatsResponse& stats,
                   const grpc::Status& status = grpc::Status::OK) {
    ASSERT_FALSE(source_.stats_.empty()) << "no request";
    auto done = std::move(source_.stats_.back());
    source_.stats_.clear();
    done(status, stats);
  }
  void AnswerCluster(const std::string& leader) {
    ASSERT_FALSE(source_.cluster_.empty()) << "no request";
    auto done = std::move(source_.cluster_.back());
    source_.cluster_.clear();
    v1::GetClusterResponse cluster;
    cluster.set_leader_id(leader);
    done(grpc::Status::OK, cluster);
  }

  FakeSource source_;
  int64_t now_ms_ = 1'000'000;
  std::shared_ptr<EventHub> hub_ = EventHub::Create(
      &source_, {.keys_needed = false, .read_only = false, .cluster = true, .now_ms = [this] {
                   return now_ms_;
                 }});
};

TEST_F(EventHubTest, RequestsNothingWithoutViewers) {
  Tick();
  EXPECT_THAT(source_.stats_, IsEmpty());
  EXPECT_THAT(source_.cluster_, IsEmpty());
  const auto client = Watch();
  EXPECT_THAT(source_.stats_, SizeIs(1)) << "at once";
  EXPECT_THAT(source_.cluster_, SizeIs(1));
  EXPECT_THAT(source_.disk_, SizeIs(1));
  Tick();
  EXPECT_THAT(source_.stats_, SizeIs(1)) << "one at a time";
  AnswerStats(Stats(1, {}));
  AnswerCluster("n1");
  client->gone_ = true;
  Tick();
  EXPECT_THAT(source_.stats_, IsEmpty());
  EXPECT_EQ(hub_->viewers(), 0u);
}

TEST_F(EventHubTest, SendsAWholeEventAndThenChanges) {
  const auto client = Watch();
  AnswerStats(Stats(7, {Queue("a", 10, 1), Queue("b", 20, 2)}));
  const std::string first = client->Take();
  EXPECT_THAT(first, testing::StartsWith("retry: 1000\n\nevent: stats\nid: 7\ndata: {"));
  EXPECT_EQ(Member(first, "whole"), "true");
  EXPECT_THAT(QueueNames(first), ElementsAre("a", "b"));
  EXPECT_EQ(Member(first, "rates"), "null") << "one answer is no rate";
  EXPECT_THAT(Member(first, "total"), HasSubstr("\"enqueued\":30"));

  Tick();
  AnswerStats(Stats(8, {Queue("a", 10, 1), Queue("b", 25, 7)}));
  const std::string second = client->Take();
  EXPECT_THAT(second, testing::StartsWith("event: stats\nid: 8\n"));
  EXPECT_EQ(Member(second, "whole"), "false");
  EXPECT_THAT(QueueNames(second), ElementsAre("b"));
  EXPECT_EQ(Member(second, "rates"), R"({"enqueued":5.0,"completed":0.0,"failed":0.0})");

  Tick();
  AnswerStats(Stats(8, {Queue("a", 10, 1), Queue("b", 25, 7)}));
  const std::string third = client->Take();
  EXPECT_THAT(QueueNames(third), IsEmpty());
  EXPECT_EQ(Member(third, "rates"), R"({"enqueued":0.0,"completed":0.0,"failed":0.0})");

  Tick();
  AnswerStats(Stats(9, {Queue("a", 10, 1), Queue("b", 25, 7)}));
  EXPECT_EQ(client->Take(), "") << "nothing has changed";
  Tick();
  AnswerStats(Stats(10, {Queue("a", 10, 1)}));
  EXPECT_EQ(Member(client->Take(), "gone"), R"(["b"])");
}

TEST_F(EventHubTest, SaysWhereTheOtherQueuesAre) {
  const auto client = Watch();
  v1::GetStatsResponse page = Stats(1, {Queue("a", 1, 1)});
  page.set_next_page_token("behind a");
  AnswerStats(page);
  std::string event = client->Take();
  EXPECT_EQ(Member(event, "more"), "true");
  EXPECT_EQ(Member(event, "next_page_token"), "\"behind a\"");
  Tick();
  AnswerStats(Stats(2, {Queue("a", 2, 1)}));
  event = client->Take();
  EXPECT_EQ(Member(event, "more"), "false");
  EXPECT_EQ(Member(event, "next_page_token"), "\"\"");
}

TEST_F(EventHubTest, AGrowingAgeAloneIsNoChange) {
  const auto client = Watch();
  AnswerStats(Stats(1, {Queue("a", 1, 1, 5'000)}));
  EXPECT_THAT(Member(client->Take(), "queues"), HasSubstr("\"oldest_ready_age_ms\":5000"));
  for (int second = 1; second <= 2; ++second) {
    Tick();
    AnswerStats(Stats(1, {Queue("a", 1, 1, 5'000 + 1'000 * second + 20)}));
    client->Take();  // the first one has rates
  }
  Tick();
  AnswerStats(Stats(1, {Queue("a", 1, 1, 8'030)}));
  EXPECT_EQ(client->Take(), "");
  EXPECT_THAT(Member(Watch()->Take(), "queues"), HasSubstr("\"oldest_ready_age_ms\":8000"));
  Tick();
  AnswerStats(Stats(1, {Queue("a", 1, 1, 100)}));
  EXPECT_THAT(QueueNames(client->Take()), ElementsAre("a")) << "another job is the oldest";
}

TEST_F(EventHubTest, ALaterViewerGetsAWholeEventAtOnceAndChangesAreShared) {
  const auto first = Watch();
  AnswerStats(Stats(3, {Queue("a", 1, 1), Queue("b", 1, 1)}));
  AnswerCluster("n2");
  const auto second = Watch();
  const std::string whole = second->Take();
  EXPECT_THAT(QueueNames(whole), ElementsAre("a", "b"));
  EXPECT_THAT(whole, HasSubstr("\"leader_id\":\"n2\""));
  EXPECT_EQ(whole.find("retry"), whole.rfind("retry"));
  first->Take();
  Tick();
  AnswerStats(Stats(4, {Queue("a", 2, 1), Queue("b", 1, 1)}));
  ASSERT_THAT(first->chunks_, SizeIs(1));
  ASSERT_THAT(second->chunks_, SizeIs(1));
  EXPECT_EQ(first->chunks_[0].get(), second->chunks_[0].get());
}

TEST_F(EventHubTest, OldDataIsNotSentToALaterViewer) {
  Watch();
  AnswerStats(Stats(3, {Queue("a", 1, 1)}));
  for (int i = 0; i < 3; ++i) Tick();  // no answer comes
  const auto late = Watch();
  EXPECT_EQ(late->Take(), "");
  AnswerStats(Stats(4, {Queue("a", 2, 1)}));
  EXPECT_EQ(Member(late->Take(), "whole"), "true");
}

TEST_F(EventHubTest, WithoutALeaderTheStreamReportsThatAndGoesOn) {
  const auto client = Watch();
  AnswerStats(Stats(3, {Queue("a", 1, 1)}));
  AnswerCluster("n1");
  client->Take();
  Tick();
  AnswerStats({}, grpc::Status(grpc::StatusCode::UNAVAILABLE, "no leader"));
  const std::string without = client->Take();
  EXPECT_THAT(without, testing::StartsWith("event: cluster\nid: 3\n"));
  EXPECT_THAT(Member(without, "problem"), HasSubstr("\"error\":\"no leader\""));
  AnswerCluster("");
  EXPECT_THAT(Member(client->Take(), "cluster"), HasSubstr("\"leader_id\":\"\""));
  Tick();
  AnswerStats(Stats(5, {Queue("a", 2, 2)}));
  const std::string again = client->Take();
  EXPECT_THAT(again, testing::StartsWith("event: cluster\n"));
  EXPECT_EQ(Member(again, "problem"), "null");
  EXPECT_THAT(again, HasSubstr("event: stats\nid: 5\n"));
  EXPECT_FALSE(client->ended_);
}

TEST_F(EventHubTest, AViewerWithoutRightsOnTheClusterGetsTheRest) {
  hub_ = EventHub::Create(
      &source_, {.keys_needed = true, .read_only = false, .cluster = false, .now_ms = nullptr});
  const auto client = Watch();
  AnswerStats(Stats(3, {Queue("mail-a", 1, 1)}));
  const std::string text = client->Take();
  EXPECT_EQ(Member(text, "cluster"), "null");
  EXPECT_EQ(Member(text, "auth"), "\"on\"");
  EXPECT_EQ(Member(text, "disk_free_bytes"), "null");
  EXPECT_THAT(text, HasSubstr("event: stats\nid: 3\n"));
  EXPECT_THAT(Watch()->Take(), HasSubstr("event: cluster")) << "a later one too";
  Tick();
  EXPECT_THAT(source_.cluster_, IsEmpty()) << "it would be refused, and that written down";
  EXPECT_THAT(source_.disk_, IsEmpty());
  AnswerStats(Stats(3, {Queue("mail-a", 1, 1)}));
  EXPECT_THAT(client->Take(), Not(HasSubstr("event: cluster"))) << "nothing new";
}

TEST_F(EventHubTest, AViewerWithoutRightsAnyMoreIsDisconnected) {
  bool allowed = true;
  const auto client = Watch([&allowed] { return allowed; });
  Tick();
  EXPECT_FALSE(client->ended_);
  allowed = false;
  Tick();
  EXPECT_EQ(hub_->viewers(), 0u);
  EXPECT_TRUE(client->ended_);
}

TEST_F(EventHubTest, SendsAHeartbeatEveryFifteenSeconds) {
  const auto client = Watch();
  for (int second = 1; second <= 15; ++second) {
    Tick();
    EXPECT_EQ(client->Take(), "") << second;
  }
  Tick();
  EXPECT_EQ(client->Take(), ": still here\n\n");
  Tick();
  EXPECT_EQ(client->Take(), "");
}

TEST_F(EventHubTest, SendsItsOptionsAndTheFreeDiskSpace) {
  hub_ = EventHub::Create(
      &source_, {.keys_needed = true, .read_only = true, .cluster = true, .now_ms = nullptr});
  const auto client = Watch();
  source_.disk_.back()(12345);
  AnswerCluster("n1");
  const std::string text = client->Take();
  EXPECT_EQ(Member(text, "auth"), "\"on\"");
  EXPECT_EQ(Member(text, "read_only"), "true");
  EXPECT_EQ(Member(text, "disk_free_bytes"), "12345");
}

TEST_F(EventHubTest, StopEndsStreamsAndLateAnswersDoNothing) {
  const auto client = Watch();
  hub_->Stop();
  EXPECT_TRUE(client->ended_);
  AnswerStats(Stats(1, {}));
  Watch();
  Tick();
  EXPECT_THAT(source_.stats_, IsEmpty());
  EXPECT_EQ(client->Take(), "");
  hub_.reset();
  AnswerCluster("n1");
}

TEST_F(EventHubTest, AnEventWithoutAnIndexHasNoId) {
  const auto viewer = Watch();
  ASSERT_THAT(source_.cluster_, SizeIs(1));
  source_.cluster_[0](grpc::Status(grpc::StatusCode::UNAVAILABLE, "no"), {});
  EXPECT_THAT(viewer->Take(), testing::StartsWith("retry: 1000\n\nevent: cluster\ndata: {"));
}

TEST_F(EventHubTest, AClusterEventHasTheIndexOfTheNode) {
  const auto viewer = Watch();
  ASSERT_THAT(source_.cluster_, SizeIs(1));
  v1::GetClusterResponse cluster;
  cluster.set_applied_index(9);
  source_.cluster_[0](grpc::Status::OK, cluster);
  EXPECT_THAT(viewer->Take(), HasSubstr("event: cluster\nid: 9\n"));
}

}  // namespace
}  // namespace dqueue::transport
