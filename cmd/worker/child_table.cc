#include "cmd/worker/child_table.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>

#include "base/check.h"

namespace dqueue::cmd {
namespace {

// The longest life of a zombie.
constexpr std::chrono::milliseconds kCollectEvery{1000};

}  // namespace

ChildTable::ChildTable() {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  thread_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, kCollectEvery, [this] { return stop_; })) CollectOrphans();
  });
}

ChildTable::~ChildTable() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

pid_t ChildTable::Start(const std::function<pid_t()>& start) {
  // Under the lock: a child that ends at once is in the table before orphans are collected.
  const std::lock_guard lock(mutex_);
  const pid_t pid = start();
  if (pid > 0) own_.insert(pid);
  return pid;
}

std::optional<int> ChildTable::Collect(pid_t pid) {
  // Under the lock: once the child is collected, its number can be that of the next one.
  const std::lock_guard lock(mutex_);
  int status = 0;
  const pid_t got = waitpid(pid, &status, WNOHANG);
  if (got == 0 || (got < 0 && errno == EINTR)) return std::nullopt;
  DQ_CHECK_MSG(got == pid, "another waitpid() has taken the child's status");
  own_.erase(pid);
  CollectOrphans();
  return status;
}

// Requires mutex_.
void ChildTable::CollectOrphans() {
  while (true) {
    siginfo_t child = {};
    if (waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) != 0 || child.si_pid == 0) return;
    // An own child hides what is behind it until its thread has collected it.
    if (own_.contains(child.si_pid)) return;
    waitpid(child.si_pid, nullptr, WNOHANG);
  }
}

}  // namespace dqueue::cmd
