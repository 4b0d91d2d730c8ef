// Reports verdicts to the cluster, on its own thread. Gathers them into CompleteJobs, FailJobs and
// ReleaseJobs calls and repeats each until its answer is definite or its time has passed. Verdicts
// of leases that seem lost are reported, too: only the cluster knows.
// Thread-safe.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "client/client_impl.h"
#include "client/retry.h"
#include "client/worker.h"

namespace dqueue::client {

class VerdictReporter {
 public:
  struct Report {
    std::string id;
    FencingToken token;
    Verdict verdict;
    // The lease expired so long before this time that the verdict can have no effect.
    Clock::time_point give_up;
  };
  // Called once per report, on the reporter's thread. `counted`: the verdict took effect.
  using Settled = std::function<void(const Report& report, bool counted)>;

  // Makes its calls with `control`, except that it sets CallControl::cancel. `client` must outlive
  // it.
  VerdictReporter(Client::Impl* client, CallControl control, Settled settled);
  ~VerdictReporter();  // calls Finish() with a deadline of now
  VerdictReporter(const VerdictReporter&) = delete;
  VerdictReporter& operator=(const VerdictReporter&) = delete;

  void Add(Report report);
  // The number of reports that are not settled.
  size_t pending() const;
  // Returns when every report is settled. Calls that run at `deadline` are cancelled, and open
  // reports are settled as lost.
  void Finish(Clock::time_point deadline);

 private:
  void Run();
  // Sends the reports. Returns those without a definite answer.
  std::vector<Report> Send(std::vector<Report> reports);

  Client::Impl* const client_;
  CallCancel cancel_;
  const CallControl control_;
  const Settled settled_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Report> waiting_;
  size_t pending_ = 0;
  bool finish_ = false;
  bool ended_ = false;  // the thread settles nothing more
  Clock::time_point deadline_ = Clock::time_point::max();
  std::thread thread_;
};

}  // namespace dqueue::client
