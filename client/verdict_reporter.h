// Tells the cluster what became of jobs: gathers verdicts into CompleteJobs, FailJobs and
// ReleaseJobs calls, and repeats them through changes of leader until the answer is definite or the
// lease is long gone.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "client/retry.h"
#include "client/worker.h"

namespace dqueue::client {

class VerdictReporter {
 public:
  struct Report {
    std::string id;
    FencingToken token;
    Verdict verdict;
    // When the verdict cannot count any more: the lease has run out long ago.
    Clock::time_point give_up;
  };
  // `counted`: false if the lease was lost before. Called on the reporter's thread.
  using Settled = std::function<void(const Report& report, bool counted)>;

  VerdictReporter(Client* client, Settled settled);
  ~VerdictReporter();  // Finish() with no more time
  VerdictReporter(const VerdictReporter&) = delete;
  VerdictReporter& operator=(const VerdictReporter&) = delete;

  void Add(Report report);
  size_t pending() const;
  // Returns when every report is settled; those left at `deadline` are settled as lost.
  void Finish(Clock::time_point deadline);

 private:
  void Run();
  // Sends the reports; those whose outcome is open come back.
  std::vector<Report> Send(std::vector<Report> reports);

  Client* const client_;
  const Settled settled_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Report> waiting_;
  size_t pending_ = 0;
  bool finish_ = false;
  Clock::time_point deadline_ = Clock::time_point::max();
  std::thread thread_;
};

}  // namespace dqueue::client
