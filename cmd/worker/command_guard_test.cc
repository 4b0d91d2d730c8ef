#include "cmd/worker/command_guard.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "cmd/worker/command_runner.h"

namespace dqueue::cmd {
namespace {

bool Eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

bool Lives(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string stat;
  std::getline(in, stat);
  return !stat.empty() && stat.find(") Z ") == std::string::npos;
}

std::string Name(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  std::getline(in, name);
  return name;
}

// Reads the numbers of processes, one a line, when there are as many as `count`.
std::vector<pid_t> ReadPids(const std::string& path, size_t count) {
  std::vector<pid_t> pids;
  Eventually([&] {
    pids.clear();
    std::ifstream in(path);
    for (pid_t pid; in >> pid;) pids.push_back(pid);
    return pids.size() == count;
  });
  return pids;
}

// Runs `command` in a child process with a guard, as a worker does. Returns the child.
pid_t Worker(const std::string& command) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  auto guard = CommandGuard::Start();
  if (!guard.ok()) _exit(1);
  CommandRunner runner(guard->get());
  CommandRequest request;
  request.command = command;
  runner.Run(request, {});
  _exit(0);
}

class CommandGuardTest : public testing::Test {
 protected:
  void SetUp() override { std::remove(pids_.c_str()); }
  void TearDown() override { std::remove(pids_.c_str()); }
  const std::string pids_ = testing::TempDir() + "guard-" + std::to_string(getpid());
};

TEST_F(CommandGuardTest, EndsTheCommandsOfAKilledWorker) {
  // A pipeline of processes that ignore SIGTERM, and one in another process group.
  const std::string stubborn = "sh -c 'trap \"\" TERM; echo $$ >> " + pids_ + "; sleep 100; :'";
  const pid_t worker = Worker(stubborn + " | " + stubborn + " | timeout 100 " + stubborn);
  const std::vector<pid_t> pids = ReadPids(pids_, 3);
  ASSERT_EQ(pids.size(), 3u);
  for (const pid_t pid : pids) EXPECT_TRUE(Lives(pid));
  kill(worker, SIGKILL);
  waitpid(worker, nullptr, 0);
  for (const pid_t pid : pids) EXPECT_TRUE(Eventually([&] { return !Lives(pid); })) << pid;
}

TEST_F(CommandGuardTest, LeavesTheBackgroundOfEndedCommandsAlone) {
  const pid_t worker =
      Worker("(exec >&- 2>&- <&-; exec sleep 100) & echo $! >> " + pids_ + "; exit 0");
  waitpid(worker, nullptr, 0);
  const std::vector<pid_t> pids = ReadPids(pids_, 1);
  ASSERT_EQ(pids.size(), 1u);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // the guard has time to be wrong
  EXPECT_TRUE(Lives(pids[0]));
  kill(pids[0], SIGKILL);
}

TEST_F(CommandGuardTest, IgnoresSignalsAndEndsWithItsWorker) {
  auto guard = CommandGuard::Start();
  ASSERT_TRUE(guard.ok());
  const pid_t pid = (*guard)->pid();
  ASSERT_TRUE(Eventually([&] { return Name(pid) == "dqueue-guard"; }));
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) kill(pid, signal);
  // It still reads.
  EXPECT_TRUE((*guard)->Started(1 << 30));
  EXPECT_TRUE((*guard)->Ended(1 << 30));
  EXPECT_TRUE(Lives(pid));
  guard->reset();
  EXPECT_FALSE(Lives(pid));
}

TEST_F(CommandGuardTest, AKilledGuardIsNoticed) {
  signal(SIGPIPE, SIG_IGN);
  auto guard = CommandGuard::Start();
  ASSERT_TRUE(guard.ok());
  kill((*guard)->pid(), SIGKILL);
  EXPECT_TRUE(Eventually([&] { return !(*guard)->Started(1 << 30); }));
  CommandRunner runner(guard->get());
  CommandRequest request;
  request.command = "echo ok";
  EXPECT_EQ(runner.Run(request, {}).output, "ok\n") << "jobs go on";
  EXPECT_TRUE(runner.TakeGuardLoss());
  runner.Run(request, {});
  EXPECT_FALSE(runner.TakeGuardLoss()) << "told once";
}

}  // namespace
}  // namespace dqueue::cmd
