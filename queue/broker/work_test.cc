// WorkPart's promise: a call is answered once, when its last part is decided, whatever happens to
// the parts.
#include "queue/broker/work.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "queue/broker/admission.h"
#include "queue/broker/call_timers.h"
#include "queue/broker/commands/command_log.h"
#include "queue/broker/confirmations.h"
#include "queue/broker/leases/deletions.h"
#include "queue/broker/leases/grants.h"
#include "queue/broker/leases/lease_requests.h"
#include "queue/broker/leases/lease_waits.h"
#include "queue/broker/log_clock.h"
#include "queue/broker/reads/groupings.h"
#include "queue/broker/reads/lookups.h"

namespace dqueue::queue {
namespace {

// Writes down its answers, and when it is freed.
class LoggedWork : public Work {
 public:
  LoggedWork(const Admission& admission, std::vector<std::string>* log)
      : Work(Time::max(), admission), log_(log) {}
  ~LoggedWork() override { log_->push_back("freed"); }
  void Set(Time, uint32_t item, const CommandResult&, bool) override {
    log_->push_back("item " + std::to_string(item));
  }
  void Answer(std::optional<Error> error) override {
    log_->push_back(error ? error->reason : "OK");
  }

 private:
  std::vector<std::string>* const log_;
};

class WorkTest : public testing::Test {
 protected:
  using Log = std::vector<std::string>;

  WorkPart Start() { return WorkPart(std::make_unique<LoggedWork>(admission_, &log_)); }
  Log TakeLog() { return std::exchange(log_, {}); }

  const BrokerOptions options_;
  StateMachine state_;
  Pace pace_;
  Elsewhere elsewhere_;
  DecidedParts decided_{pace_};
  Confirmations confirmations_{1};
  CallTimers timers_;
  WorkerRegistry workers_;
  JobTimes times_;
  LogClock clock_{state_};
  LeaseWaits waits_{state_, pace_, workers_, confirmations_, timers_};
  Deletions deletions_{state_, waits_};
  LeaseRequests requests_;
  Grants grants_{options_, state_, deletions_, waits_, requests_, workers_, times_};
  CommandLog commands_{options_, state_, pace_, decided_, clock_, grants_, deletions_, 1};
  Groupings groupings_{state_};
  Admission admission_{options_, pace_, commands_, confirmations_, waits_, lookups_};
  JobPresenter jobs_{state_, grants_};
  Lookups lookups_{state_,     admission_,     elsewhere_, clock_,  jobs_,
                   groupings_, confirmations_, timers_,    workers_};
  Log log_;
};

TEST_F(WorkTest, IsAnsweredAndFreedWhenTheLastPartIsDecided) {
  WorkPart first = Start();
  WorkPart second = first.Another();
  EXPECT_TRUE(second);
  second.Applied(Time(), 3, {}, false);
  EXPECT_FALSE(second) << "a decided part is of no work";
  EXPECT_EQ(TakeLog(), Log({"item 3"}));
  first.Done();
  EXPECT_EQ(TakeLog(), Log({"OK", "freed"}));
}

TEST_F(WorkTest, ADroppedPartFailsTheCall) {
  { const WorkPart part = Start(); }
  EXPECT_EQ(TakeLog(), Log({"NO_LEADER", "freed"}));
  {
    WorkPart part = Start();
    part.Propose();
  }
  EXPECT_EQ(TakeLog(), Log({"COMMIT_UNKNOWN", "freed"})) << "the command may have an effect";
  {
    WorkPart part = Start();
    part.Propose();
    part.Unpropose();
  }
  EXPECT_EQ(TakeLog(), Log({"NO_LEADER", "freed"}));
  WorkPart kept = Start();
  { const WorkPart dropped = kept.Another(); }
  EXPECT_EQ(TakeLog(), Log()) << "the other part is undecided";
  kept.Done();
  EXPECT_EQ(TakeLog(), Log({"NO_LEADER", "freed"}));
}

TEST_F(WorkTest, MovingAPartDecidesNothing) {
  WorkPart first = Start();
  WorkPart moved = std::move(first);
  EXPECT_TRUE(moved);
  std::vector<WorkPart> parts;
  for (int i = 0; i < 20; ++i) parts.push_back(moved.Another());
  EXPECT_EQ(TakeLog(), Log());
  parts.clear();
  EXPECT_EQ(TakeLog(), Log());
  WorkPart other = Start();
  moved = std::move(other);
  EXPECT_EQ(TakeLog(), Log({"NO_LEADER", "freed"})) << "assignment drops the old part";
  moved.Done();
  EXPECT_EQ(TakeLog(), Log({"OK", "freed"}));
}

TEST_F(WorkTest, TheGravestFailureIsAnswered) {
  WorkPart first = Start();
  WorkPart second = first.Another();
  WorkPart third = first.Another();
  first.Fail(Work::Failure::kShutdown);
  second.Fail(Work::Failure::kNotServing);
  third.Done();
  EXPECT_EQ(TakeLog(), Log({"SHUTTING_DOWN", "freed"}));
  first = Start();
  second = first.Another();
  first.Applied(Time(), 0, {}, false);
  second.Fail(Work::Failure::kDeadline);
  EXPECT_EQ(TakeLog(), Log({"item 0", "COMMIT_UNKNOWN", "freed"}))
      << "a part was carried out, so that the answer cannot be that nothing was";
}

}  // namespace
}  // namespace dqueue::queue
