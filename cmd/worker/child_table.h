// The child processes of a worker. Collects orphans: as process 1 of a container, or as a child
// subreaper (prctl(2)), the worker becomes the parent of what its commands leave behind, and each
// of them would remain as a zombie. Takes no status of a child that it started itself.
//
// Thread-safe. At most one in a process, and nothing else in it may wait for children that it did
// not start.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

namespace dqueue::cmd {

class ChildTable {
 public:
  // Makes this process a child subreaper and starts the thread that collects orphans.
  ChildTable();
  ~ChildTable();
  ChildTable(const ChildTable&) = delete;
  ChildTable& operator=(const ChildTable&) = delete;

  // Calls `start`, which starts a child and returns its process id, or -1 if it could not. From
  // then on only Collect() takes the child's status.
  pid_t Start(const std::function<pid_t()>& start);
  // The wait status of a child of Start() that has ended (waitpid(2)); nullopt: it runs.
  std::optional<int> Collect(pid_t pid);

 private:
  void CollectOrphans();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::set<pid_t> own_;  // started and not collected
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace dqueue::cmd
