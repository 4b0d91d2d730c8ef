#include "cmd/worker/job_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "cmd/flags/escape.h"
#include "queue/api/limits.h"

namespace dqueue::cmd {
namespace {

using testing::EndsWith;
using testing::StartsWith;

CommandOutcome Failed(const std::string& error, uint64_t dropped = 0) {
  CommandOutcome outcome;
  outcome.started = true;
  outcome.exited = true;
  outcome.exit_code = 7;
  outcome.error_tail = error;
  outcome.error_bytes = error.size() + dropped;
  return outcome;
}

TEST(FailureText, SaysHowTheCommandEnded) {
  EXPECT_EQ(FailureText(Failed("")), "exit status 7");
  EXPECT_EQ(FailureText(Failed("bad data\n")), "exit status 7: bad data\n");
  CommandOutcome killed;
  killed.signal = SIGKILL;
  EXPECT_EQ(FailureText(killed), "ended by signal 9 (Killed)");
}

TEST(FailureText, TheEndIsKeptAndTheCutIsCounted) {
  const std::string text = FailureText(Failed(std::string(4080, 'x') + "last words", 1000));
  EXPECT_EQ(text.size(), queue::kErrorBytesMax);
  EXPECT_THAT(text, EndsWith("xxlast words"));
  const size_t shown = text.size() - std::string("exit status 7: [1049 bytes cut] ").size();
  EXPECT_THAT(text,
              StartsWith("exit status 7: [" + std::to_string(5090 - shown) + " bytes cut] xx"));
}

TEST(FailureText, ReplacedBytesDoNotPushOutTheEnd) {
  // Each byte becomes three.
  const std::string text = FailureText(Failed(std::string(4000, '\377') + "last words: é\377"));
  EXPECT_LE(text.size(), queue::kErrorBytesMax);
  EXPECT_GE(text.size(), queue::kErrorBytesMax - 3);
  EXPECT_TRUE(IsUtf8(text));
  EXPECT_THAT(text, EndsWith("last words: é\uFFFD"));
  EXPECT_THAT(text, StartsWith("exit status 7: ["));
}

TEST(FailureText, ACutCharacterIsLeftOut) {
  const std::string tail = std::string("é").substr(1) + "abc";
  EXPECT_EQ(FailureText(Failed(tail, 100)), "exit status 7: [101 bytes cut] abc");
}

TEST(RunJobCommand, Verdicts) {
  CommandRunner runner(nullptr);
  client::Job job;
  job.id = "j";
  job.payload = "the payload";
  client::JobContext context(job, {});
  const client::Verdict done = RunJobCommand(runner, "cat; echo $DQUEUE_JOB_ID", context, "w");
  EXPECT_EQ(done.kind, client::Verdict::Kind::kComplete);
  EXPECT_EQ(done.text, "the payloadj\n");
  const client::Verdict failed = RunJobCommand(runner, "echo no >&2; exit 3", context, "w");
  EXPECT_EQ(failed.kind, client::Verdict::Kind::kFail);
  EXPECT_EQ(failed.text, "exit status 3: no\n");
  EXPECT_EQ(RunJobCommand(runner, "exit 100", context, "w").kind, client::Verdict::Kind::kReject);
  std::stop_source stop;
  stop.request_stop();
  client::JobContext stopped(job, stop.get_token());
  EXPECT_EQ(RunJobCommand(runner, "sleep 100", stopped, "w").kind, client::Verdict::Kind::kRelease);
}

}  // namespace
}  // namespace dqueue::cmd
