// Every combination of command, state of the job and token, one by one, against the state machine:
// result and effect. The expectations are written down independently of lease_rules.cc.
#include "queue/state/lease_rules.h"

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "queue/state/state_machine.h"
#include "queue/state/testing/command_builder.h"

namespace dqueue::queue {
namespace {

constexpr v1::JobState kStates[] = {v1::JOB_STATE_SCHEDULED, v1::JOB_STATE_READY,
                                    v1::JOB_STATE_SUCCEEDED, v1::JOB_STATE_DEAD,
                                    v1::JOB_STATE_CANCELLED};
constexpr TokenRelation kRelations[] = {
    TokenRelation::kAbsent,      TokenRelation::kOlder,         TokenRelation::kEndedByComplete,
    TokenRelation::kEndedByFail, TokenRelation::kEndedByExpire, TokenRelation::kNewer};
constexpr LeaseCommand kCommands[] = {LeaseCommand::kComplete, LeaseCommand::kFail,
                                      LeaseCommand::kExpire};

TEST(LeaseRulesTest, TokensRelateByTermThenSequence) {
  const LeaseToken last{5, 7};
  for (const auto& [end, ended] : {std::pair(TokenEnd::kComplete, TokenRelation::kEndedByComplete),
                                   std::pair(TokenEnd::kFail, TokenRelation::kEndedByFail),
                                   std::pair(TokenEnd::kExpire, TokenRelation::kEndedByExpire)}) {
    EXPECT_EQ(Relate({0, 0}, last, end), TokenRelation::kAbsent);
    EXPECT_EQ(Relate({5, 7}, last, end), ended);
    EXPECT_EQ(Relate({5, 6}, last, end), TokenRelation::kOlder);
    EXPECT_EQ(Relate({4, 9}, last, end), TokenRelation::kOlder);
    EXPECT_EQ(Relate({5, 8}, last, end), TokenRelation::kNewer);
    EXPECT_EQ(Relate({6, 1}, last, end), TokenRelation::kNewer);
  }
  EXPECT_EQ(Relate({0, 0}, {}, TokenEnd::kNone), TokenRelation::kAbsent);
  EXPECT_EQ(Relate({0, 1}, {}, TokenEnd::kNone), TokenRelation::kNewer);
}

// S scheduled, R ready, + succeeded, D dead, C cancelled; columns as in kRelations.
// a apply, l apply late, . repeated, i invalid state, s stale.
TEST(LeaseRulesTest, TheWholeTable) {
  const std::map<LeaseCommand, std::vector<std::string>> expected = {
      {LeaseCommand::kComplete,
       {
           "ssiila",  // S
           "ssiila",  // R
           "ii.iii",  // +
           "iiiiii",  // D
           "iiiiii",  // C
       }},
      {LeaseCommand::kFail,
       {
           "ssi.si",  // S
           "ssi.sa",  // R
           "iii.ii",  // +
           "iii.ii",  // D
           "iii.ii",  // C
       }},
      {LeaseCommand::kExpire,
       {
           "ssii.i",  // S
           "ssii.a",  // R
           "iiii.i",  // +
           "iiii.i",  // D
           "iiii.i",  // C
       }},
  };
  const std::map<LeaseDecision, char> letters = {{LeaseDecision::kApply, 'a'},
                                                 {LeaseDecision::kApplyLate, 'l'},
                                                 {LeaseDecision::kRepeated, '.'},
                                                 {LeaseDecision::kInvalidState, 'i'},
                                                 {LeaseDecision::kLeaseStale, 's'}};
  for (const LeaseCommand command : kCommands) {
    for (size_t s = 0; s < std::size(kStates); ++s) {
      std::string row;
      for (const TokenRelation relation : kRelations) {
        row += letters.at(Decide(command, kStates[s], relation));
      }
      EXPECT_EQ(row, expected.at(command)[s])
          << "command " << static_cast<int>(command) << ", state " << kStates[s];
    }
  }
}

// A job "j" brought by commands into a state, its last token ended in a given way. False if no
// sequence of commands gets there.
bool Prepare(StateMachine& machine, v1::JobState state, TokenEnd end) {
  const LeaseToken last{5, 7};
  log::v1::Enqueue::Job job = MakeJob("j");
  // One failure or expiry is survived, unless the job shall be dead.
  job.set_max_retries(state == v1::JOB_STATE_DEAD ? 0 : 1);
  job.set_max_expirations(state == v1::JOB_STATE_DEAD ? 0 : 1);
  if (state == v1::JOB_STATE_SCHEDULED && end == TokenEnd::kNone) job.set_run_time_ms(5000);
  if (state == v1::JOB_STATE_DEAD && end == TokenEnd::kNone) job.set_expire_time_ms(1500);
  ApplyNext(machine, BatchBuilder(1000).Enqueue(job));
  BatchBuilder batch(1600);
  switch (end) {
    case TokenEnd::kNone:
      break;
    case TokenEnd::kComplete:
      batch.Complete("j", last, "done");
      break;
    case TokenEnd::kFail:
      batch.Fail("j", last, "no", state == v1::JOB_STATE_SCHEDULED ? 5000 : 0);
      break;
    case TokenEnd::kExpire:
      batch.Expire("j", last);
      break;
  }
  if (state == v1::JOB_STATE_CANCELLED) batch.Cancel("j");
  for (const CommandResult& result : ApplyNext(machine, batch)) {
    if (result.code != ResultCode::kOk) return false;
  }
  const JobView view = machine.View(machine.Find("j"));
  return view.state == state && view.last_token == (end == TokenEnd::kNone ? LeaseToken{} : last);
}

v1::Job JobOf(const StateMachine& machine) {
  v1::Job job;
  machine.FillJob(machine.Find("j"), true, &job);
  return job;
}

// Applies every command with every token to every reachable (state, last token, its end): the
// answer and the effect are those of the decision.
TEST(LeaseRulesTest, TheStateMachineFollowsTheTable) {
  const LeaseToken tokens[] = {{0, 0}, {4, 99}, {5, 6}, {5, 7}, {5, 8}, {6, 1}};
  int reached = 0;
  for (const v1::JobState state : kStates) {
    for (const TokenEnd end :
         {TokenEnd::kNone, TokenEnd::kComplete, TokenEnd::kFail, TokenEnd::kExpire}) {
      for (const LeaseToken token : tokens) {
        for (const LeaseCommand command : kCommands) {
          for (const bool held : {false, true}) {
            StateMachine machine;
            if (!Prepare(machine, state, end)) continue;
            if (held && !machine.Hold(machine.Find("j"))) continue;
            ++reached;
            SCOPED_TRACE("state " + v1::JobState_Name(state) + ", ended by " +
                         std::to_string(static_cast<int>(end)) + ", command " +
                         std::to_string(static_cast<int>(command)) + ", token " +
                         std::to_string(token.term) + "." + std::to_string(token.sequence));
            const v1::Job before = JobOf(machine);
            const LeaseToken last = machine.View(machine.Find("j")).last_token;
            const LeaseDecision decision = Decide(command, state, Relate(token, last, end));

            BatchBuilder batch(1600);
            if (command == LeaseCommand::kComplete) batch.Complete("j", token, "result");
            if (command == LeaseCommand::kFail) batch.Fail("j", token, "oops", 9000);
            if (command == LeaseCommand::kExpire) batch.Expire("j", token, "w9");
            const CommandResult result = ApplyNext(machine, batch).at(0);
            const v1::Job after = JobOf(machine);
            EXPECT_EQ(result.state, after.state());
            EXPECT_EQ(machine.CheckConsistency(), "");

            if (decision != LeaseDecision::kApply && decision != LeaseDecision::kApplyLate) {
              EXPECT_EQ(result.code, decision == LeaseDecision::kRepeated ? ResultCode::kOk
                                     : decision == LeaseDecision::kInvalidState
                                         ? ResultCode::kInvalidState
                                         : ResultCode::kLeaseStale);
              EXPECT_EQ(before.DebugString(), after.DebugString());
              EXPECT_EQ(machine.View(machine.Find("j")).last_token, last);
              EXPECT_EQ(machine.View(machine.Find("j")).held, held);
              continue;
            }
            EXPECT_EQ(result.code, ResultCode::kOk);
            EXPECT_EQ(machine.View(machine.Find("j")).last_token, token);
            EXPECT_FALSE(machine.View(machine.Find("j")).held);
            EXPECT_EQ(after.counters().delivered(),
                      before.counters().delivered() + (decision == LeaseDecision::kApply ? 1 : 0));
            EXPECT_EQ(after.counters().failed(),
                      before.counters().failed() + (command == LeaseCommand::kFail ? 1 : 0));
            EXPECT_EQ(after.counters().expired(),
                      before.counters().expired() + (command == LeaseCommand::kExpire ? 1 : 0));
            switch (command) {
              case LeaseCommand::kComplete:
                EXPECT_EQ(after.state(), v1::JOB_STATE_SUCCEEDED);
                EXPECT_EQ(after.result(), "result");
                EXPECT_EQ(after.last_error(), before.last_error());
                break;
              case LeaseCommand::kFail:
                // max_retries is 1: the second failure kills.
                EXPECT_EQ(after.state(), after.counters().failed() > 1 ? v1::JOB_STATE_DEAD
                                                                       : v1::JOB_STATE_SCHEDULED);
                EXPECT_EQ(after.last_error(), "oops");
                break;
              case LeaseCommand::kExpire:
                EXPECT_EQ(after.state(), after.counters().expired() > 1 ? v1::JOB_STATE_DEAD
                                                                        : v1::JOB_STATE_READY);
                EXPECT_EQ(after.last_error(), "lease expired (worker w9)");
                break;
            }
          }
        }
      }
    }
  }
  // SCHEDULED: not ended, or by fail; READY: not, fail, expire (each held or not); SUCCEEDED: by
  // complete; DEAD: not (its own expiry), fail, expire; CANCELLED: not, fail, expire.
  EXPECT_EQ(reached, static_cast<int>((2 + 3 * 2 + 1 + 3 + 3) * std::size(tokens) * 3));
}

TEST(LeaseRulesTest, UnknownJobsAreNotFound) {
  StateMachine machine;
  const auto results = ApplyNext(machine, BatchBuilder(1)
                                              .Complete("x", {1, 1})
                                              .Fail("x", {1, 1})
                                              .Expire("x", {1, 1})
                                              .Cancel("x")
                                              .Retry("x"));
  ASSERT_EQ(results.size(), 5u);
  for (const CommandResult& result : results) {
    EXPECT_EQ(result.code, ResultCode::kNotFound);
    EXPECT_EQ(result.state, v1::JOB_STATE_UNSPECIFIED);
  }
}

}  // namespace
}  // namespace dqueue::queue
