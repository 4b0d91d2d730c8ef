// A node with real threads, a real disk and real time. node_test.cc and sim/ test everything that
// virtual time can.
#include "node/runner.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "node/turn_lock.h"

namespace dqueue::node {
namespace {

using namespace std::chrono_literals;

TEST(TurnLock, ExcludesOtherThreadsAndLosesNoWork) {
  constexpr int kThreads = 4;
  constexpr int kItems = 20000;
  TurnLock turns;
  std::atomic<int> waiting{0};
  int done = 0;  // guarded by `turns`
  std::atomic<int> inside{0};
  const auto work = [&] {
    for (int i = 0; i < kItems; ++i) {
      waiting.fetch_add(1);
      if (!turns.TryAcquire()) continue;
      do {
        ASSERT_EQ(inside.fetch_add(1), 0);
        done += waiting.exchange(0);
        ASSERT_EQ(inside.fetch_sub(1), 1);
      } while (!turns.Release());
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) threads.emplace_back(work);
  }
  EXPECT_EQ(done, kThreads * kItems);
}

class RunnerTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::path(testing::TempDir()) /
                 ("runner-" + std::to_string(::getpid()) + "-" +
                  testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  static Options SmallOptions(const std::string& name, const std::filesystem::path& directory) {
    Options options;
    options.name = name;
    options.data_dir = directory.string();
    options.bootstrap = true;
    options.log.segment_bytes = 1 << 20;
    options.log.max_entry_bytes = 512 << 10;
    options.broker.max_batch_bytes = 64 << 10;
    options.snapshot_log_bytes = 256 << 10;
    options.trailing_log_bytes = 64 << 10;
    options.reserve_bytes = 0;
    return options;
  }
  std::unique_ptr<NodeRunner> Start() {
    auto runner =
        NodeRunner::Start(SmallOptions("dev", directory_), storage::PosixFileSystem(), nullptr);
    EXPECT_TRUE(runner.ok()) << runner.status();
    return runner.ok() ? *std::move(runner) : nullptr;
  }

  // Enqueues one job and waits for the answer. Returns the reason of an error, or "".
  static std::string TryEnqueue(Node& node, const std::string& id) {
    auto answer = std::make_shared<std::promise<std::string>>();
    queue::EnqueueCall call;
    v1::JobSpec* spec = call.request.add_jobs();
    spec->set_id(id);
    spec->set_payload(std::string(300, 'p'));
    call.done = [answer](queue::Outcome<v1::EnqueueJobsResponse> outcome) {
      answer->set_value(outcome.ok() ? "" : outcome.error.reason);
    };
    node.Submit(std::move(call));
    return answer->get_future().get();
  }
  // Retries while no leader is known.
  static bool Enqueue(Node& node, const std::string& id) {
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (std::chrono::steady_clock::now() < end) {
      const std::string reason = TryEnqueue(node, id);
      if (reason.empty()) return true;
      if (reason != "NO_LEADER" && reason != "NOT_LEADER") return false;
      std::this_thread::yield();
    }
    return false;
  }

  static uint64_t Jobs(Node& node) {
    auto answer = std::make_shared<std::promise<uint64_t>>();
    node.RequestView([answer](const NodeView& view) { answer->set_value(view.jobs); });
    return answer->get_future().get();
  }

  std::filesystem::path directory_;
};

TEST_F(RunnerTest, JobsOfManyThreadsSurviveARestart) {
  constexpr int kThreads = 4;
  constexpr int kJobs = 500;
  {
    auto runner = Start();
    ASSERT_NE(runner, nullptr);
    ASSERT_TRUE(Enqueue(runner->node(), "first"));
    std::atomic<int> failures{0};
    {
      std::vector<std::jthread> threads;
      for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
          for (int i = 0; i < kJobs; ++i) {
            if (!Enqueue(runner->node(), "job-" + std::to_string(t) + "-" + std::to_string(i))) {
              ++failures;
            }
          }
        });
      }
    }
    EXPECT_EQ(failures.load(), 0);
    EXPECT_EQ(Jobs(runner->node()), uint64_t{kThreads * kJobs + 1});
    runner->Drain(1s);
  }
  auto runner = Start();
  ASSERT_NE(runner, nullptr);
  ASSERT_TRUE(Enqueue(runner->node(), "last"));
  EXPECT_EQ(Jobs(runner->node()), uint64_t{kThreads * kJobs + 2});
}

TEST_F(RunnerTest, AnEnqueueWakesALongPoll) {
  auto runner = Start();
  ASSERT_NE(runner, nullptr);
  ASSERT_TRUE(Enqueue(runner->node(), "first"));
  const auto lease = [&](std::chrono::seconds wait) {
    auto answer = std::make_shared<std::promise<int>>();
    queue::LeaseCall call;
    call.request.set_worker_id("w");
    call.request.set_max_jobs(1);
    call.request.mutable_wait()->set_seconds(wait.count());
    call.done = [answer](queue::Outcome<v1::LeaseJobsResponse> outcome) {
      answer->set_value(outcome.ok() ? outcome.value.jobs_size() : -1);
    };
    runner->node().Submit(std::move(call));
    return answer->get_future();
  };
  EXPECT_EQ(lease(0s).get(), 1);
  std::future<int> waiting = lease(30s);
  ASSERT_TRUE(Enqueue(runner->node(), "second"));
  ASSERT_EQ(waiting.wait_for(10s), std::future_status::ready);
  EXPECT_EQ(waiting.get(), 1);
}

// The transport of one member. Its thread delivers the messages to that member in order.
class Mailbox final : public PeerTransport {
 public:
  explicit Mailbox(std::map<raft::NodeId, Mailbox*>* others) : others_(others) {}
  ~Mailbox() override { Stop(); }

  void Start(Node* node) {
    thread_ = std::thread([this, node] { Deliver(node); });
  }
  void Stop() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  void Send(raft::NodeId to, std::vector<raft::Message> messages) override {
    Mailbox& other = *others_->at(to);
    {
      const std::lock_guard lock(other.mutex_);
      other.messages_.push_back(std::move(messages));
    }
    other.wake_.notify_all();
  }
  void SetPeers(const std::vector<raft::Member>&) override {}

 private:
  void Deliver(Node* node) {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return stop_ || !messages_.empty(); });
      if (stop_) return;
      std::vector<raft::Message> next = std::move(messages_.front());
      messages_.pop_front();
      lock.unlock();
      node->Receive(std::move(next));
      lock.lock();
    }
  }

  std::map<raft::NodeId, Mailbox*>* const others_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::vector<raft::Message>> messages_;
  bool stop_ = false;
  std::thread thread_;
};

// Threads that deliver messages also write the log, in addition to the log's own thread.
TEST_F(RunnerTest, DeliveringThreadsOfThreeMembersWriteTheLog) {
  const std::vector<MemberSpec> members = {{"a", "h:1"}, {"b", "h:2"}, {"c", "h:3"}};
  std::map<raft::NodeId, Mailbox*> by_id;
  std::vector<std::unique_ptr<Mailbox>> mailboxes;
  std::vector<std::unique_ptr<NodeRunner>> runners;
  for (const MemberSpec& member : members) {
    mailboxes.push_back(std::make_unique<Mailbox>(&by_id));
    by_id[raft::NodeIdOf(member.name)] = mailboxes.back().get();
  }
  for (size_t i = 0; i < members.size(); ++i) {
    Options options = SmallOptions(members[i].name, directory_ / members[i].name);
    options.members = members;
    auto runner = NodeRunner::Start(options, storage::PosixFileSystem(), mailboxes[i].get());
    ASSERT_TRUE(runner.ok()) << runner.status();
    runners.push_back(*std::move(runner));
  }
  for (size_t i = 0; i < members.size(); ++i) mailboxes[i]->Start(&runners[i]->node());

  // Only the leader accepts a job.
  const auto enqueue = [&](const std::string& id) {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (std::chrono::steady_clock::now() < deadline) {
      for (const auto& runner : runners) {
        if (TryEnqueue(runner->node(), id).empty()) return true;
      }
      std::this_thread::sleep_for(5ms);
    }
    return false;
  };
  ASSERT_TRUE(enqueue("first"));
  constexpr int kThreads = 3;
  constexpr int kJobs = 200;
  std::atomic<int> failures{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kJobs; ++i) {
          if (!enqueue("job-" + std::to_string(t) + "-" + std::to_string(i))) ++failures;
        }
      });
    }
  }
  EXPECT_EQ(failures.load(), 0);
  for (const auto& mailbox : mailboxes) mailbox->Stop();
}

}  // namespace
}  // namespace dqueue::node
