#include "cmd/flags/process_start.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <thread>

namespace dqueue::cmd {
namespace {

TEST(ProcessStart, ForbidCoreDumps) {
  ASSERT_EQ(prctl(PR_GET_DUMPABLE), 1);
  ForbidCoreDumps();
  EXPECT_EQ(prctl(PR_GET_DUMPABLE), 0);
  rlimit limit = {1, 1};
  ASSERT_EQ(getrlimit(RLIMIT_CORE, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, 0u);
  EXPECT_EQ(limit.rlim_max, 0u);
}

// Runs `body` in a child process, because signals concern the whole process. Returns its exit
// status, or 256 + signal if one ended it.
int InChild(const std::function<int()>& body) {
  const pid_t pid = fork();
  if (pid == 0) _exit(body());
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

TEST(ProcessStart, SignalsWithoutMeaningEndNoProgram) {
  for (const StopSignals stop_signals : {StopSignals::kDefault, StopSignals::kBlocked}) {
    for (const int each : {SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2}) {
      EXPECT_EQ(InChild([&] {
                  PrepareProcess(stop_signals);
                  raise(each);
                  return 0;
                }),
                0)
          << each;
    }
  }
}

TEST(ProcessStart, StopSignalsEndACommand) {
  for (const int each : {SIGINT, SIGTERM, SIGQUIT, SIGHUP}) {
    EXPECT_EQ(InChild([&] {
                PrepareProcess(StopSignals::kDefault);
                raise(each);
                return 0;
              }),
              256 + each);
  }
}

TEST(ProcessStart, StopSignalsWaitUntilTheProgramTakesThem) {
  for (const int each : {SIGINT, SIGTERM, SIGQUIT, SIGHUP}) {
    EXPECT_EQ(InChild([&] {
                PrepareProcess(StopSignals::kBlocked);
                kill(getpid(), each);
                // A thread that could take the signal would end the process.
                std::thread([] { usleep(10000); }).join();
                return WaitForStopSignal() == each ? 0 : 1;
              }),
              0)
        << each;
  }
}

TEST(ProcessStart, ASecondStopSignalEndsTheProcess) {
  EXPECT_EQ(InChild([&] {
              PrepareProcess(StopSignals::kBlocked);
              kill(getpid(), SIGTERM);
              WaitForStopSignal();
              raise(SIGQUIT);
              return 0;
            }),
            128 + SIGQUIT);
  EXPECT_EQ(InChild([&] {
              PrepareProcess(StopSignals::kBlocked);
              kill(getpid(), SIGHUP);
              WaitForStopSignal(10000);
              raise(SIGTERM);
              return 0;
            }),
            128 + SIGTERM);
  // For a program that reloads, SIGHUP is no first stop signal.
  EXPECT_EQ(InChild([&] {
              PrepareProcess(StopSignals::kBlocked);
              kill(getpid(), SIGHUP);
              WaitForStopSignal();
              kill(getpid(), SIGTERM);
              return WaitForStopSignal(10000) == SIGTERM ? 0 : 1;
            }),
            0);
}

TEST(ProcessStart, NohupIsRespected) {
  EXPECT_EQ(InChild([&] {
              signal(SIGHUP, SIG_IGN);
              PrepareProcess(StopSignals::kBlocked);
              kill(getpid(), SIGHUP);
              return WaitForStopSignal(1000);
            }),
            0);
}

TEST(ProcessStart, CleanUpRunsBeforeTheEnd) {
  EXPECT_EQ(InChild([&] {
              PrepareProcess(StopSignals::kBlocked);
              CleanUpOnStopSignal([] { _exit(42); });
              kill(getpid(), SIGHUP);
              pause();
              return 0;
            }),
            42);
}

}  // namespace
}  // namespace dqueue::cmd
