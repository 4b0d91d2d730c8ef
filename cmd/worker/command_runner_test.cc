#include "cmd/worker/command_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

namespace dqueue::cmd {
namespace {

using testing::HasSubstr;

CommandRunner& Runner() {
  static auto* runner = new CommandRunner(nullptr);
  return *runner;
}

CommandOutcome Shell(const std::string& command, const std::string& input = "") {
  CommandRequest request;
  request.command = command;
  request.input = input;
  return Runner().Run(request, std::stop_token());
}

size_t OpenDescriptors() {
  const std::filesystem::directory_iterator entries("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(entries), end(entries)));
}

// The process whose number begins `text` runs and is no zombie.
bool Lives(const std::string& text) {
  std::ifstream in("/proc/" + text.substr(0, text.find('\n')) + "/stat");
  std::string stat;
  std::getline(in, stat);
  return !stat.empty() && stat.find(") Z ") == std::string::npos;
}

// Requests the stop when the command has created the file $READY.
class StopWhenReady {
 public:
  explicit StopWhenReady(CommandRequest* request)
      : path_(testing::TempDir() + "ready-" + std::to_string(getpid())) {
    std::filesystem::remove(path_);
    request->environment["READY"] = path_;
    thread_ = std::jthread([this] {
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
      while (!std::filesystem::exists(path_) && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      stop_.request_stop();
    });
  }
  ~StopWhenReady() {
    thread_.join();
    std::filesystem::remove(path_);
  }
  std::stop_token token() const { return stop_.get_token(); }

 private:
  const std::string path_;
  std::stop_source stop_;
  std::jthread thread_;
};

class CommandRunnerTest : public testing::Test {
 protected:
  // As PrepareProcess() does for the program.
  void SetUp() override { signal(SIGPIPE, SIG_IGN); }
};

TEST_F(CommandRunnerTest, InputOutputAndStatus) {
  const CommandOutcome outcome = Shell("cat; echo problem >&2; exit 7", "the payload");
  EXPECT_TRUE(outcome.started);
  EXPECT_TRUE(outcome.exited);
  EXPECT_EQ(outcome.exit_code, 7);
  EXPECT_EQ(outcome.output, "the payload");
  EXPECT_EQ(outcome.error_tail, "problem\n");
  EXPECT_FALSE(outcome.output_truncated);
  EXPECT_FALSE(outcome.stopped);
}

TEST_F(CommandRunnerTest, EnvironmentIsAddedAndReplaced) {
  setenv("DQUEUE_JOB_ID", "outer", 1);
  CommandRequest request;
  request.command = "echo \"$DQUEUE_JOB_ID $EXTRA\"; env | grep -c ^DQUEUE_JOB_ID=";
  request.environment = {{"DQUEUE_JOB_ID", "inner"}, {"EXTRA", "a b=c"}};
  EXPECT_EQ(Runner().Run(request, {}).output, "inner a b=c\n1\n");
  unsetenv("DQUEUE_JOB_ID");
}

TEST_F(CommandRunnerTest, ChildThatIgnoresItsInput) {
  const CommandOutcome outcome = Shell("exit 0", std::string(8 << 20, 'x'));
  EXPECT_TRUE(outcome.exited);
  EXPECT_EQ(outcome.exit_code, 0);
}

TEST_F(CommandRunnerTest, ChildThatClosesItsInput) {
  EXPECT_EQ(Shell("exec <&-; echo ok", std::string(8 << 20, 'x')).output, "ok\n");
}

TEST_F(CommandRunnerTest, LargeInputAndOutputAtTheSameTime) {
  CommandRequest request;
  request.command = "cat";
  request.input = std::string(3 << 20, 'x');
  request.output_bytes_max = 4 << 20;
  const CommandOutcome outcome = Runner().Run(request, {});
  EXPECT_EQ(outcome.output, request.input);
}

TEST_F(CommandRunnerTest, HugeOutputIsCutAndTheCommandGoesOn) {
  const CommandOutcome outcome = Shell("head -c 20000000 /dev/zero; echo end >&2; exit 3");
  EXPECT_EQ(outcome.output.size(), 1u << 20);
  EXPECT_TRUE(outcome.output_truncated);
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_EQ(outcome.error_tail, "end\n");
}

TEST_F(CommandRunnerTest, TheEndOfStandardErrorIsKept) {
  const CommandOutcome outcome =
      Shell("head -c 1000000 /dev/zero | tr '\\0' x >&2; printf last >&2");
  EXPECT_EQ(outcome.error_tail.size(), 4096u);
  EXPECT_EQ(outcome.error_bytes, 1000004u);
  EXPECT_EQ(outcome.error_tail.substr(4092), "last");
}

TEST_F(CommandRunnerTest, KilledCommand) {
  const CommandOutcome outcome = Shell("kill -9 $$");
  EXPECT_FALSE(outcome.exited);
  EXPECT_EQ(outcome.signal, SIGKILL);
}

TEST_F(CommandRunnerTest, CommandNotFound) {
  const CommandOutcome outcome = Shell("/no/such/program");
  EXPECT_EQ(outcome.exit_code, 127);
  EXPECT_THAT(outcome.error_tail, HasSubstr("/no/such/program"));
}

TEST_F(CommandRunnerTest, SignalsHaveTheirDefaults) {
  // This process ignores SIGPIPE; the command must not inherit that.
  const CommandOutcome outcome = Shell("kill -PIPE $$; echo survived");
  EXPECT_EQ(outcome.signal, SIGPIPE);
  EXPECT_EQ(outcome.output, "");
}

TEST_F(CommandRunnerTest, BackgroundProcessIsNotWaitedFor) {
  const auto start = std::chrono::steady_clock::now();
  const CommandOutcome outcome = Shell("sleep 30 & echo $!");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  EXPECT_TRUE(outcome.exited);
  const pid_t left = static_cast<pid_t>(std::stol(outcome.output));
  EXPECT_EQ(kill(left, 0), 0);
  kill(left, SIGKILL);
}

TEST_F(CommandRunnerTest, StopEndsTheWholeGroup) {
  CommandRequest request;
  request.command = "sleep 100 & echo $!; : > \"$READY\"; wait";
  const StopWhenReady stop(&request);
  const CommandOutcome outcome = Runner().Run(request, stop.token());
  EXPECT_TRUE(outcome.stopped);
  EXPECT_FALSE(outcome.exited);
  EXPECT_EQ(outcome.signal, SIGTERM);
  EXPECT_FALSE(Lives(outcome.output));
}

// The shell ends by SIGTERM at once. What it started and ignores SIGTERM must not go on.
TEST_F(CommandRunnerTest, AStoppedPipelineIsKilledAfterItsShell) {
  CommandRequest request;
  request.command =
      "(trap '' TERM; exec sh -c 'echo $$ >&2; : > \"$READY\"; "
      "exec sleep 100') | cat";
  request.kill_after = Millis(300);
  const StopWhenReady stop(&request);
  const auto start = std::chrono::steady_clock::now();
  const CommandOutcome outcome = Runner().Run(request, stop.token());
  EXPECT_EQ(outcome.signal, SIGTERM) << "of the shell";
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(300));
  EXPECT_FALSE(Lives(outcome.error_tail));
  EXPECT_EQ(outcome.left_running, 0u);
}

// As timeout(1) and shells with job control do.
TEST_F(CommandRunnerTest, StopReachesOtherProcessGroupsOfTheSession) {
  CommandRequest request;
  request.command = "timeout 100 sh -c 'echo $$; : > \"$READY\"; sleep 100; :'; :";
  request.kill_after = Millis(300);
  const StopWhenReady stop(&request);
  const CommandOutcome outcome = Runner().Run(request, stop.token());
  EXPECT_TRUE(outcome.stopped);
  EXPECT_FALSE(Lives(outcome.output));
}

TEST_F(CommandRunnerTest, OrphansOfCommandsAreCollected) {
  const CommandOutcome outcome = Shell("(exec <&- >&- 2>&-; exec sleep 0.05) & echo $!");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  const std::string process = "/proc/" + outcome.output.substr(0, outcome.output.find('\n'));
  while (std::filesystem::exists(process)) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << process;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

// Many commands end while orphans are collected: each must get its own status.
TEST_F(CommandRunnerTest, CollectingOrphansTakesNoStatusOfACommand) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 25; ++i) {
        const int code = 1 + (t * 25 + i) % 100;
        const CommandOutcome outcome =
            Shell("(sleep 0.01 &) >&- 2>&-; exit " + std::to_string(code));
        EXPECT_TRUE(outcome.exited);
        EXPECT_EQ(outcome.exit_code, code);
      }
    });
  }
}

TEST_F(CommandRunnerTest, StopIsFollowedByAKill) {
  CommandRequest request;
  request.command = "trap '' TERM; : > \"$READY\"; while :; do sleep 0.01; done";
  request.kill_after = Millis(200);
  const StopWhenReady stop(&request);
  const auto start = std::chrono::steady_clock::now();
  const CommandOutcome outcome = Runner().Run(request, stop.token());
  EXPECT_TRUE(outcome.stopped);
  EXPECT_EQ(outcome.signal, SIGKILL);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(200));
}

TEST_F(CommandRunnerTest, AStoppedCommandCanFinish) {
  CommandRequest request;
  request.command =
      "trap 'echo cleaned; exit 0' TERM; : > \"$READY\"; while :; do sleep 0.01; done";
  const StopWhenReady stop(&request);
  const CommandOutcome outcome = Runner().Run(request, stop.token());
  EXPECT_TRUE(outcome.stopped);
  EXPECT_TRUE(outcome.exited);
  EXPECT_EQ(outcome.output, "cleaned\n");
}

TEST_F(CommandRunnerTest, StopBeforeTheStart) {
  std::stop_source stop;
  stop.request_stop();
  CommandRequest request;
  request.command = "sleep 100";
  const CommandOutcome outcome = Runner().Run(request, stop.get_token());
  EXPECT_TRUE(outcome.stopped);
  EXPECT_EQ(outcome.signal, SIGTERM);
}

TEST_F(CommandRunnerTest, ConcurrentCommandsLeakNoDescriptors) {
  const size_t before = OpenDescriptors();
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([t] {
        for (int i = 0; i < 20; ++i) {
          const std::string input = std::to_string(t) + "-" + std::to_string(i);
          // Pipes of other commands must not be open: only 0, 1, 2 and the directory itself.
          const CommandOutcome outcome = Shell("cat; ls /proc/self/fd | wc -l", input);
          EXPECT_EQ(outcome.output, input + "4\n");
        }
      });
    }
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(CommandRunnerTest, NoDescriptorsLeft) {
  std::vector<int> taken;
  for (int fd; (fd = dup(0)) >= 0;) {
    taken.push_back(fd);
    if (taken.size() > 5000) break;
  }
  const CommandOutcome outcome = Shell("true");
  for (int fd : taken) close(fd);
  if (taken.size() <= 5000) {
    EXPECT_FALSE(outcome.started);
    EXPECT_EQ(outcome.start_error, "cannot start the command: pipe: Too many open files");
  }
}

}  // namespace
}  // namespace dqueue::cmd
